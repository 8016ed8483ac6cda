"""Images are as large as the minutes allow, and as large in every start of a search."""

import json
import logging

import keras
import pytest

from mpl_tf.auto import door, forecast, material, search, sizes, starts
from mpl_tf.auto.options import AutoConfig
from mpl_tf.auto.starts import Start
from mpl_tf.console import log
from mpl_tf.data import DATASETS
from mpl_tf.data.dataset import Form
from mpl_tf.data.options import DataConfig
from mpl_tf.options import ConfigError


@pytest.mark.parametrize(
    ("seconds", "side", "share"),
    [
        (0.1, 224, 15),
        (7.3, 224, 15),
        (7.4, 192, 15),
        (14.0, 160, 15),
        (15.0, 224, 4),  # 128 pixels would do for heads, which logistic regression is better than
        (40.0, 160, 4),
        (100.0, 96, 4),
        (1e9, 96, None),
    ],
)
def test_there_is_time_for_heads_or_for_a_regression_on_larger_images(seconds, side, share):
    assert sizes.affordable(seconds, budget=600) == side
    assert share is None or seconds * (side / 96) ** 2 <= 600 / share


@pytest.mark.parametrize(
    ("minutes", "earlier", "side"),
    [(40, None, 224), (20, None, 160), (5, None, 160), (0.1, None, 96)]
    + [(0.1, 192, 192), (0.1, 64, 96)],
)
def test_the_minutes_decide_or_an_earlier_start(monkeypatch, caplog, minutes, earlier, side):
    seen = []

    def pace(network):
        seen.append(network.input_shape[1:])
        return 0.01

    monkeypatch.setattr(forecast, "seconds_per_image", pace)
    start = Start("small_4", "", 96, any_size=True)
    with caplog.at_level(logging.INFO, logger=log.name):
        settled = sizes.settle(start, Form(96, 1, 3, 2500), AutoConfig(minutes=minutes), earlier)
    assert settled.image_size == side
    if earlier == side:
        assert not seen and not caplog.text
        return
    assert seen == [(96, 96, 1)]
    assert f"Images are resized to {side} pixels: 2,500 of them" in caplog.text
    assert ("--image_size=224" in caplog.text) == (side < 224)


def _fixed(path, side):
    inputs = keras.Input((side, side, 3))
    features = keras.layers.AveragePooling2D(2)(keras.layers.Rescaling(1 / 255)(inputs))
    keras.Model(inputs, keras.layers.Flatten()(features)).save(path)
    return Start(f"file:{path}", "", 12, any_size=True)


@pytest.mark.parametrize("side", [12, 16, 24])
def test_a_network_of_one_size_has_that_size(monkeypatch, caplog, tmp_path, side):
    monkeypatch.setattr(sizes, "SIDES", (12, 16, 24))
    start = _fixed(tmp_path / "fixed.keras", side)
    with caplog.at_level(logging.INFO, logger=log.name):
        settled = sizes.settle(start, Form(12, 3, 3, 100), AutoConfig())
    assert settled.image_size == side
    (line,) = caplog.messages
    assert f"resized to {side} pixels" in line and "need more minutes" not in line
    assert (f"takes images of {side}x{side} pixels; received 24x24" in line) == (side < 24)


def test_a_network_of_another_size_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sizes, "SIDES", (12, 16, 24))
    with pytest.raises(ConfigError, match="of 8x8 pixels; received 12x12"):
        sizes.settle(_fixed(tmp_path / "fixed.keras", 8), Form(12, 3, 3, 100), AutoConfig())


def test_weights_that_are_not_there_for_larger_images_are_passed_over(monkeypatch, caplog):
    def backbone(start, num_classes, shape, seed):
        if shape[0] in (128, 224):
            raise ConfigError(f"weights for {shape[0]} are not there")
        return keras.Sequential([keras.Input(shape), keras.layers.Flatten()]), 0

    monkeypatch.setattr(starts, "backbone", backbone)
    monkeypatch.setattr(forecast, "seconds_per_image", lambda network: 0.01)
    start = Start("keras:MobileNetV2", "imagenet", 96, any_size=True)
    for minutes, side in [(10, 192), (4, 96), (0.1, 96)]:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger=log.name):
            options = AutoConfig(minutes=minutes)
            assert sizes.settle(start, Form(96, 3, 3, 2500), options).image_size == side
        assert ("are not there" in caplog.text) == (minutes > 1)


def test_without_their_number_images_have_the_least_side():
    start = Start("small_4", "", 96, any_size=True)
    assert sizes.settle(start, Form(96, 3, 3), AutoConfig()) == start


@pytest.mark.parametrize(
    ("settings", "side", "is_open"),
    [
        ({"network": "keras:MobileNetV2"}, 0, True),
        ({"network": "keras:MobileNetV2", "image_size": 64}, 0, False),
        ({"network": "keras:MobileNetV2"}, 32, False),
        ({"network": "keras:MobileNetV2", "network_weights": ""}, 0, False),
        ({"network": "small"}, 0, False),
        ({}, 0, True),
        ({"image_size": 64}, 0, False),
    ],
)
def test_a_size_that_is_asked_for_stays(monkeypatch, settings, side, is_open):
    monkeypatch.setattr(starts.networks, "check", lambda *arguments: None)
    assert starts.choose(AutoConfig(**settings), side).any_size is is_open


@pytest.mark.parametrize(
    ("name", "count"), [("digits", 1797), ("cifar10", 60_000), ("stl10", 113_000)]
)
def test_named_sets_know_how_many_images_they_have(name, count):
    assert DATASETS[name].form(DataConfig(image_size=48)).num_images == count


@pytest.mark.usefixtures("no_pictures")
def test_a_search_goes_on_with_the_size_that_it_began_with(
    colored_folder, tiny_network, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(sizes, "SIDES", (12, 16, 24))
    monkeypatch.setattr(starts, "_SIDE", 12)
    monkeypatch.setattr(material, "prepare", lambda source, *_: seen.append(source.train.shape))
    monkeypatch.setattr(search, "find_best", lambda *arguments: None)

    def run(pace, **settings):
        monkeypatch.setattr(forecast, "seconds_per_image", lambda network: pace)
        values = {"minutes": 1, "workdir": str(tmp_path / "auto"), "network": tiny_network}
        door.run(AutoConfig(f"folder:{colored_folder}", **{**values, **settings}), 0.0)

    run(15 / 69 / 2)  # 69 images; at 16 pixels a pass takes 13 seconds, at 24 pixels 30
    assert seen == [(16, 16, 3)]
    assert json.loads((tmp_path / "auto" / "journal.json").read_text())["of"]["image_size"] == 16
    run(1e-9)
    run(15.0, minutes=100)
    assert seen == [(16, 16, 3)] * 3
    with pytest.raises(ConfigError, match="image_size is 16 there and 24 here"):
        run(1e-9, image_size=24)
    (tmp_path / "auto" / "journal.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        run(1e-9)
