"""What a run says of its images before it trains."""

import logging

import keras
import numpy as np
import PIL.Image
import pytest

from mpl_tf import config
from mpl_tf.runs import training

SMALL = {"method": "supervised", "network": "mlp", "image_size": 8, "labeled_batch": 2, "steps": 4}
NONE = "No validation images, and so no accuracy in the curves"


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """In place of training."""


@pytest.fixture
def announced(tmp_path, monkeypatch, messages):
    """announced(counts, parts, **settings): what a start says, of so many images of the classes.

    `by_hand=False` is a start by a program, such as `auto`, which has chosen the settings.
    """

    def stop(experiment):
        raise Stopped

    monkeypatch.setattr(training.phases, "fit", stop)
    monkeypatch.setattr(training.views_grid, "draw", lambda path, experiment: None)
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)

    def start(counts, parts=("labeled",), by_hand=True, **settings):
        for part in parts:
            for name, count in zip("abc", counts, strict=True):
                (tmp_path / "images" / part / name).mkdir(parents=True)
                for index in range(count):
                    path = tmp_path / "images" / part / name / f"{index}.bmp"
                    PIL.Image.fromarray(pixels + np.uint8(index)).save(path)
        explicit = {**SMALL, "dataset": f"folder:{tmp_path / 'images'}", **settings}
        explicit = {name: value for name, value in explicit.items() if value is not None}
        messages(logging.INFO)
        with pytest.raises(Stopped):
            made = config.make(explicit)
            chosen = explicit if by_hand else None
            training.train_and_evaluate(made, str(tmp_path / "run"), explicit=chosen)
        return messages(logging.INFO)

    return start


def test_a_folder_with_few_labels_says_that_nothing_is_validated(announced):
    said = announced((9, 12, 30))
    assert said.count(NONE) == 1
    assert f"{NONE}: a class has 9 labels, and of fewer than 10 none are set aside. " in said
    assert "--num_validation=N takes N of the labeled images, a multiple of 3" in said


def test_one_label_cannot_be_spared(announced):
    said = announced((1, 12, 30))
    assert f"{NONE}: a class has one label alone, which training needs" in said
    assert "--num_validation" not in said


def test_all_labels_that_are_asked_for_are_for_training(announced):
    said = announced((10, 10, 10), num_labeled=30)
    assert f"{NONE}. --num_validation=N takes" in said


@pytest.mark.parametrize(
    ("counts", "parts", "settings"),
    [
        ((10, 12, 30), ("labeled",), {}),
        ((9, 9, 9), ("labeled", "validation"), {}),
        ((9, 9, 9), ("labeled",), {"num_validation": 0}),
        ((9, 9, 9), ("labeled",), {"num_validation": 6}),
    ],
)
def test_nothing_is_said_where_there_are_some_or_somebody_chose(announced, counts, parts, settings):
    said = announced(counts, parts, **settings)
    assert "Network mlp" in said and NONE not in said


@pytest.mark.parametrize(
    ("counts", "settings", "is_said"),
    [
        ((3, 9, 5), {}, True),
        ((4, 9, 11), {}, False),
        ((3, 9, 5), {"logit_adjustment": 1.0}, False),
        ((3, 9, 5), {"class_weight": "balanced"}, False),
        ((3, 9, 5), {"balance_labels": True}, False),
        ((3, 9, 5), {"num_labeled": 9}, False),
    ],
)
def test_rare_labels_are_pointed_at(announced, counts, settings, is_said):
    said = announced(counts, **settings)
    assert said.count("Classes have 3 to 9 labels. If the rare ones count as much, --") == is_said


def save_taught(tmp_path):
    """A network with weights in a file, as `--network` takes it."""
    images = keras.Input([None, None, 3])
    keras.Model(images, keras.layers.Conv2D(2, 3)(images)).save(tmp_path / "taught.keras")
    return f"file:{tmp_path / 'taught.keras'}"


@pytest.mark.parametrize(
    ("pretrained", "image_size", "by_hand", "is_said"),
    [
        (True, None, True, True),
        (True, 8, True, False),
        (True, 128, True, False),
        (False, None, True, False),
        (True, None, False, False),
    ],
)
def test_small_images_of_a_pretrained_network_are_pointed_at(
    announced, tmp_path, pretrained, image_size, by_hand, is_said
):
    network = save_taught(tmp_path) if pretrained else "mlp"
    said = announced((9, 9, 9), by_hand=by_hand, network=network, image_size=image_size)
    assert said.count("--image_size=224 is worth many points") == is_said


@pytest.mark.parametrize(
    ("settings", "is_said"),
    [
        ({}, True),
        ({"pretrain": "simclr"}, False),
        ({"method": "finetune"}, False),
        ({"network": "taught"}, False),
        ({"network": "taught", "train": "head"}, False),
    ],
)
def test_a_probe_of_an_untrained_encoder_says_so(announced, tmp_path, settings, is_said):
    if "network" in settings:
        settings = {**settings, "network": save_taught(tmp_path)}
    parts = ("labeled", "unlabeled")
    said = announced((9, 9, 9), parts, **{"method": "linear_probe", **settings})
    assert said.count("The encoder is untrained, and stays so: --pretrain teaches") == is_said
