"""A run on cached features is a run like any other, and leaves backbone and head together."""

import json
import os
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mpl_tf import config, networks
from mpl_tf.evaluation import subject
from mpl_tf.features import compute
from mpl_tf.networks import heads, parts
from mpl_tf.networks.architecture import Architecture
from mpl_tf.options import ConfigError
from mpl_tf.runs import callbacks, restore, training
from mpl_tf.serving import loading

SETTINGS = {
    "network": "two_parts",
    "train": "head",
    "method": "fixmatch",
    "steps": 6,
    "eval_every": 3,
    "labeled_batch": 4,
    "unlabeled_ratio": 2,
    "finetune_steps": 2,
    "finetune_batch": 4,
    "log_every": 1,
    "student_learning_rate": 10.0,
    "student_warmup_steps": 0,
}
ADDED = []  # to every weight of the backbone


def build(num_classes, input_shape, seed=0, dropout=0.2, synchronized=False, head="linear"):
    """A network of two parts, its backbone the same for all seeds."""
    x = inputs = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 255)(x)
    initial = keras.initializers.GlorotUniform(0)
    x = keras.layers.Conv2D(6, 3, activation="relu", kernel_initializer=initial)(x)
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="backbone")
    for added in ADDED:
        backbone.set_weights([value + added for value in backbone.get_weights()])
    return parts.join(backbone, heads.build(num_classes, 6, seed, dropout, head))


@pytest.fixture(autouse=True)
def two_parts(monkeypatch):
    """`--network=two_parts`."""
    made = Architecture(
        build, "two_parts", ("two_parts",), "a made-up one", two_parts=True, pretrained=True
    )
    known = (*networks._ARCHITECTURES, made)
    monkeypatch.setattr(networks, "_ARCHITECTURES", known)
    ADDED.clear()


@pytest.fixture(scope="module")
def my_images(tmp_path_factory):
    """A folder of images whose class is their colour, with all parts."""
    path = tmp_path_factory.mktemp("data") / "my_images"
    rng = np.random.default_rng(0)
    for part, count in (("labeled", 6), ("unlabeled", 40), ("validation", 4), ("test", 6)):
        for label, name in enumerate(("red", "green", "blue")):
            folder = path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 60, (12, 12, 3))
                pixels[..., label] += 150
                PIL.Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return path


@pytest.fixture
def run(my_images, tmp_path):
    """run(name, **settings): results of a run in the folder `name` of the test."""

    def train(name="run", overwrite=False, **more):
        settings = config.make({"dataset": f"folder:{my_images}", **SETTINGS, **more})
        return training.train_and_evaluate(settings, str(tmp_path / name), [], overwrite)

    return train


def test_a_run_its_folder_and_what_is_made_of_it(run, my_images, tmp_path):
    results = run()
    path = tmp_path / "run"
    assert results["test_accuracy"]["finetuned"] > 0.6
    kept = json.loads((path / "features.json").read_text())
    assert kept["directory"] == str(tmp_path / "features")
    assert len(os.listdir(tmp_path / "features")) == 6  # weak and strong of both pools, plain
    for name in ("report.png", "views.png", "metrics.csv", "run.flags", "export/1/saved_model.pb"):
        assert (path / name).exists(), name

    # The export takes image files, and answers as the restored network and as the run measured.
    which, network = restore.restore(restore.find(str(path)))
    assert which == "finetuned"
    assert parts.has_parts(network)
    export = loading.load(str(path / "export"))
    files = sorted((my_images / "test").rglob("*.png"))
    answers = export.signatures["serving_bytes"](
        image_bytes=tf.constant([file.read_bytes() for file in files])
    )
    pixels = np.stack([np.array(PIL.Image.open(file)) for file in files])
    probs = tf.nn.softmax(network(pixels, training=False))
    np.testing.assert_allclose(answers["probabilities"], probs, atol=1e-5)
    names = [export.class_names[k] for k in np.argmax(probs, -1)]
    accuracy = np.mean([name == file.parent.name for name, file in zip(names, files, strict=True)])
    assert accuracy == pytest.approx(results["test_accuracy"]["finetuned"])

    measured = subject.of_run(str(path), "ema")
    images = subject.load_images(measured)
    found = subject.probabilities(measured, images, 8)
    accuracy = np.mean(np.argmax(found, -1) == images.labels)
    assert accuracy == pytest.approx(results["test_accuracy"]["ema"])

    # Other weights, or none, are said.
    ADDED.append(0.5)
    with pytest.raises(ConfigError, match=r"run was trained on features of a backbone with other"):
        restore.restore(restore.find(str(path)))


def test_an_interrupted_run_ends_as_an_uninterrupted_one(run, tmp_path, monkeypatch):
    whole = run("whole")
    real, count = compute.pixels, 0

    def stopping(*arguments):
        nonlocal count
        for views in real(*arguments):
            count += 1
            if count == 4:
                raise KeyboardInterrupt
            yield views

    monkeypatch.setattr(compute, "pixels", stopping)
    shutil.rmtree(tmp_path / "features")
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    monkeypatch.setattr(compute, "pixels", real)
    went_on = callbacks.StopOnNonFinite.on_train_batch_end

    def stop(self, batch, logs=None):
        if self.phase == "train" and self.step == 4:
            raise KeyboardInterrupt
        went_on(self, batch, logs)

    monkeypatch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    monkeypatch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", went_on)
    continued = run("stopped")
    assert continued["resumed_at"] == "train step 3"
    assert continued["weights_digest"] == whole["weights_digest"]
    assert continued["test_accuracy"] == whole["test_accuracy"]


def test_runs_share_what_was_computed(run, monkeypatch):
    run()
    monkeypatch.setattr(compute, "fill", None)  # nothing is computed
    run("other_seed", seed=1, method="mean_teacher")
    run("other_head", head="mlp_4", steps=3, finetune_steps=0)


def test_weights_that_changed_while_a_run_was_stopped(run, monkeypatch, tmp_path):
    monkeypatch.setattr("mpl_tf.runs.phases.fit", lambda experiment: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    ADDED.append(0.5)
    with pytest.raises(ConfigError, match="other weights than those of two_parts here"):
        run()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "small"}, r"train=head is for networks that start from learned weights"),
        ({"features": "cache", "train": "all"}, r"features=cache is for train=head, where the ba"),
        (
            {"method": "mpl", "teacher_network": "small"},
            r"one network, .* network=two_parts, teacher_network=small\. features=off takes two",
        ),
    ],
)
def test_what_cannot_be_cached_is_refused_before_any_work(run, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        run(**settings)
    assert not (tmp_path / "run").exists()
