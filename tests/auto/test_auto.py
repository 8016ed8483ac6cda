"""`python -m mpl_tf.auto` from its command line, and `mpl_tf.auto(...)` from Python."""

import csv
import inspect
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

import keras
import numpy as np
import PIL.Image
import pytest
from keras.src.utils import io_utils
from sklearn.datasets import load_digits

import mpl_tf
from mpl_tf.auto import __main__ as auto
from mpl_tf.auto import door, estimates, material, recipes, search, starts
from mpl_tf.auto.options import AutoConfig
from mpl_tf.networks import published
from mpl_tf.options import ConfigError
from mpl_tf.runs import restore
from mpl_tf.serving import loading, saved_model

QUICK = {"steps": 8, "labeled_batch": 4, "unlabeled_ratio": 2, "student_learning_rate": 5.0}
QUICK |= {"finetune_steps": 0, "strong": "none"}  # others take seconds to trace


def test_other_weights_under_the_same_name_are_no_continuation(
    colored_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(material, "prepare", lambda *arguments: None)
    monkeypatch.setattr(search, "find_best", lambda *arguments: None)
    chosen = AutoConfig(
        f"folder:{colored_folder}",
        network=f"file:{tmp_path / 'a.keras'}",
        image_size=12,
        workdir=str(tmp_path / "auto"),
    )
    inputs = keras.Input((12, 12, 3))
    network = keras.Model(
        inputs, keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    )
    for change in (0, 1):
        network.set_weights([weight + change for weight in network.get_weights()])
        network.save(tmp_path / "a.keras")
        if change:
            with pytest.raises(ConfigError, match="is of another search: the weights are others"):
                door.run(chosen, time.monotonic())
        else:
            door.run(chosen, time.monotonic())


@pytest.fixture
def quick(monkeypatch):
    """Candidates of few steps."""
    monkeypatch.setattr(recipes, "HEADS", dict.fromkeys(("supervised", "fixmatch"), QUICK))
    monkeypatch.setattr(recipes, "WHOLE", {"supervised": QUICK})
    monkeypatch.setattr(recipes, "DEEPER", QUICK)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_method_that_wins_leaves_its_run(
    colored_folder, tiny_network, tmp_path, monkeypatch, capsys, quick
):
    def deliver(name):
        best = lambda rights: name if name in rights else [*rights][-1]  # noqa: E731
        monkeypatch.setattr(estimates, "best", best)

    deliver("fixmatch, last layer")
    flags = [f"--dataset=folder:{colored_folder}", f"--network={tiny_network}", "--image_size=12"]
    flags += [f"--workdir={tmp_path / 'my auto'}", "--label_next=3", "--minutes=100"]
    assert auto.main(flags) == 0
    output = capsys.readouterr().out
    assert "fixmatch, last layer is delivered" in output
    command = shlex.split(output.splitlines()[-1].partition("For other images: ")[2])
    assert command[1:] == ["-m", "mpl_tf.predict", f"--model={tmp_path / 'my auto'}", "PICTURES"]
    assert "supervised, head: " in output and "expected calibration error" in output
    folder = tmp_path / "my auto"
    summary = json.loads((folder / "results.json").read_text())
    assert summary["delivered"] == "fixmatch, last layer" and summary["run"] == "run"
    for name in ("report.png", "metrics.csv", "checkpoints", "results.json", "run.flags", "export"):
        assert (folder / "run" / name).exists()
    names = [row["candidate"] for row in rows(folder / "candidates.csv")]
    assert len(names) == 5 and names[0] == summary["delivered"]
    export = loading.load(str(folder / summary["export"]))
    assert export.calibration_temperature == summary["calibration_temperature"]
    about = saved_model.read_asset(export.path, saved_model.CONFIG)
    assert about["dataset"] == f"folder:{colored_folder}"  # which `evaluate` compares
    _, network = restore.restore(restore.find(str(folder / "run")))
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)
    probs = keras.ops.softmax(network(images) / export.calibration_temperature)
    answers = export.signatures["serving_default"](images=images)["probabilities"]
    np.testing.assert_allclose(answers, probs, atol=1e-5)
    assert len(rows(folder / "predictions.csv")) == 48

    journal = json.loads((folder / "journal.json").read_text())
    assert auto.main(flags) == 0
    output = capsys.readouterr().out
    assert "fixmatch, head: " in output and "done before" in output
    assert "This run has finished already" in output
    again = json.loads((folder / "journal.json").read_text())
    assert again["done"] == journal["done"] and again["spent"] > journal["spent"]
    assert json.loads((folder / "results.json").read_text()) == summary

    # Another winner, whose run is another one, and then one without a run.
    deliver("fixmatch, head")
    found = mpl_tf.auto(
        str(colored_folder),
        network=tiny_network,
        image_size=12,
        workdir=str(folder),
        minutes=100,
        verbose=False,
    )
    assert not capsys.readouterr().out
    assert found.delivered == "fixmatch, head" and found.run == str(folder / "run")
    options = restore.find(found.run).config.network
    assert options.train == "head" and options.head_init == "new"  # the file has a head
    assert found.predicted.shape == (48,) and set(found.predicted) <= {"red", "green", "blue"}
    probs = keras.ops.softmax(found.network(images) / found.temperature)
    answers = loading.load(found.export).signatures["serving_default"](images=images)
    np.testing.assert_allclose(answers["probabilities"], probs, atol=1e-5)
    deliver("logistic regression")
    assert auto.main(flags) == 0
    assert not (folder / "run").exists()


@pytest.mark.usefixtures("no_pictures")
def test_without_learned_weights_a_small_network_is_trained(
    colored_folder, tmp_path, monkeypatch, capsys, quick
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    tried = []

    def unreachable(name, weights, side):
        tried.append(name)
        io_utils.print_msg("Downloading data from https://")
        raise ConfigError(f"the published weights of {name} are not there.")

    monkeypatch.setattr(starts.networks, "check", unreachable)
    monkeypatch.setattr(starts, "_SMALL", "small_4")
    flags = [f"--dataset=folder:{colored_folder}", "--image_size=32", "--minutes=100"]
    flags += [f"--workdir={tmp_path / 'auto'}"]
    assert auto.main(flags) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(
        "No learned weights are used: candidates are logistic regression on "
    )
    assert ". The published weights of keras:EfficientNetV2B0 are not there" in printed.err
    summary = json.loads((tmp_path / "auto" / "results.json").read_text())
    assert summary["network"] == "small_4" and summary["note"].startswith("No learned weights")
    names = [row["candidate"] for row in rows(tmp_path / "auto" / "candidates.csv")]
    assert {*names} == {"logistic regression", "supervised, from scratch"}
    assert tried == ["keras:EfficientNetV2B0"] and "Downloading" not in printed.out
    assert keras.config.is_interactive_logging_enabled()


@pytest.mark.parametrize(
    ("there", "side", "network", "expected"),
    [
        ({"keras:EfficientNetV2B0"}, 8, "", ("small_32", "", 8)),
        ({"keras:EfficientNetV2B0"}, 64, "", ("keras:EfficientNetV2B0", "imagenet", 64)),
        (set(), 64, "", ("small_32", "", 64)),
        (set(), 8, "mlp", ("mlp", "", 8)),
    ],
)
def test_images_of_one_size_alone_have_that_size(monkeypatch, there, side, network, expected):
    def check(name, weights, side):
        if name not in there:
            raise ConfigError("not there")

    monkeypatch.setattr(starts.networks, "check", check)
    start = starts.choose(AutoConfig(dataset="digits", network=network), side)
    assert (start.network, start.weights, start.image_size) == expected
    assert "take 32 pixels or more" in start.note or expected != ("small_32", "", 8)
    assert starts.choose(AutoConfig(network=network or "mlp", image_size=9), side).image_size == 9


def test_digits_have_their_size(monkeypatch):
    sides = []

    def choose(options, side):
        sides.append(side)
        raise ConfigError("enough")

    monkeypatch.setattr(starts, "choose", choose)
    with pytest.raises(ConfigError, match="enough"):
        mpl_tf.auto("digits")
    assert sides == [mpl_tf.data.find("digits").load().train.shape[0]]


@pytest.mark.parametrize(
    ("there", "files", "expected"),
    [
        ({"keras:EfficientNetV2B0"}, [], ("keras:EfficientNetV2B0", "imagenet", 96)),
        ({"keras:MobileNetV2"}, ["m.h5"], ("keras:MobileNetV2", "imagenet", 96)),
        (set(), ["m.h5"], ("small_32", "", 32)),
    ],
)
def test_the_best_weights_that_can_be_reached(tmp_path, monkeypatch, there, files, expected):
    monkeypatch.setattr(published, "folder", lambda: str(tmp_path))
    for name in files:
        (tmp_path / name).write_bytes(b"")

    def check(name, weights, side):
        if name not in there:
            raise ConfigError("not there")

    monkeypatch.setattr(starts.networks, "check", check)
    start = starts.choose(AutoConfig(dataset="digits"))
    assert (start.network, start.weights, start.image_size) == expected
    assert bool(start.note) == (not there) and start.is_pretrained == bool(there)


def test_a_network_that_is_asked_for_must_be_there(monkeypatch):
    def check(name, weights, side):
        raise ConfigError("not there")

    monkeypatch.setattr(starts.networks, "check", check)
    with pytest.raises(ConfigError, match="not there"):
        starts.choose(AutoConfig(network="keras:ResNet50"))
    start = starts.choose(AutoConfig(network="keras:ResNet50", network_weights=""))
    assert not start.is_pretrained and not start.note


@pytest.mark.parametrize(
    "statement",
    [
        "import mpl_tf; call = mpl_tf.auto",
        "import mpl_tf.auto; call = mpl_tf.auto",
        "from mpl_tf import auto as call",
        "import mpl_tf.auto.ladder, mpl_tf; call = mpl_tf.auto",
    ],
)
def test_the_package_is_a_function_too(statement):
    code = f"import inspect, sys; {statement}; print(inspect.signature(call))"
    code += "; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [str(inspect.signature(door.find)), "False"]


def test_from_python_the_options_are_those_of_the_command():
    parameters = inspect.signature(mpl_tf.auto).parameters
    assert [*parameters] == [*vars(AutoConfig()), "verbose"]
    assert all(
        parameter.default == getattr(AutoConfig, name)
        for name, parameter in parameters.items()
        if name not in ("dataset", "verbose")
    )
    with pytest.raises(ConfigError, match="minutes must be at most 10,000 and greater than 0"):
        mpl_tf.auto("digits", minutes=0)
    with pytest.raises(TypeError, match="minute"):
        mpl_tf.auto("digits", minute=1)


def test_from_python_folders_may_be_paths(tmp_path, monkeypatch):
    chosen = []
    monkeypatch.setattr(door, "run", lambda options, start: chosen.append(options))
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (tmp_path / "digits", "~/a"):
        mpl_tf.auto(tmp_path / "digits", workdir=path, cache_dir=path, data_dir=path)
    mpl_tf.auto("digits", network_weights=tmp_path / "w.h5")
    assert [options.dataset for options in chosen] == [f"folder:{tmp_path / 'digits'}"] * 2 + [
        "digits"
    ]
    assert chosen[0].workdir == chosen[0].cache_dir == str(tmp_path / "digits")
    assert chosen[1].workdir == chosen[1].data_dir == str(tmp_path / "a")
    assert chosen[2].network_weights == str(tmp_path / "w.h5")


@pytest.mark.parametrize(
    ("dataset", "arguments", "message"),
    [
        (np.zeros([3, 32, 32, 3], np.uint8), {}, r"type ndarray of shape \(3, 32, 32, 3\). Arrays"),
        (("a", "b"), {}, r"dataset must be a folder .*; received \('a', 'b'\). Arrays are for mpl"),
        (None, {}, "dataset must be a folder of images, or the name of a dataset; received None"),
        ("digits", {"minutes": 300 * "x"}, "received a value of type str."),
        ("digits", {"workdir": 3}, "workdir must be of type str; received 3"),
        ("digits", {"seed": np.zeros(900)}, r"received a value of type ndarray of shape \(900,\)."),
    ],
)
def test_from_python_what_is_no_folder_is_named_by_its_type(dataset, arguments, message):
    with pytest.raises(ConfigError, match=message):
        mpl_tf.auto(dataset, **arguments)


@pytest.mark.slow
def test_real_images_end_within_their_minutes(tmp_path, monkeypatch, capsys):
    """Scanned digits, and a network that has learned from photographs."""
    name = "efficientnet_lite0_imagenet_notop.keras"
    network = pathlib.Path(os.environ.get("MPL_TF_BACKBONES", ""), name)
    if not network.exists():
        pytest.skip(f"$MPL_TF_BACKBONES is no folder with {name}")
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:300]  # writers are in a row
    for number, i in enumerate(order):
        label, image = digits.target[i], (15 * digits.images[i]).astype(np.uint8)
        parts = [(60, f"labeled/{label}"), (200, "unlabeled"), (300, f"test/{label}")]
        path = tmp_path / "my_images" / next(part for end, part in parts if number < end)
        path.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).resize((32, 32)).save(path / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset=folder:my_images", f"--network=file:{network}", "--image_size=32"]
    begin = time.monotonic()
    assert auto.main([*flags, "--minutes=2"]) == 0
    assert time.monotonic() - begin < 120
    summary = json.loads((tmp_path / "runs/auto-my_images/results.json").read_text())
    assert summary["test_accuracy"] > 0.6
    assert len(rows(tmp_path / "runs/auto-my_images/candidates.csv")) >= 2
