"""From images to what is delivered, with a made-up backbone: means over squares of the image."""

import csv
import dataclasses
import json
import logging
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.auto import contest, material, search, staging, tables
from mpl_tf.auto.ladder import Ladder
from mpl_tf.data.arrays import arrays
from mpl_tf.data.dataset import Source
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.serving import loading

CLASSES = ("red", "green", "blue")


@pytest.fixture
def backbone():
    inputs = keras.Input((9, 9, 3))
    thirds = keras.layers.AveragePooling2D(3)(inputs)
    return keras.Model(inputs, keras.layers.Flatten()(thirds), name=parts.BACKBONE)


def colored(rng, labels, noise=60):
    """Images in which one colour is a little brighter."""
    images = 100 + noise * rng.normal(size=(len(labels), 9, 9, 3))
    images[..., :] += 40 * np.eye(3)[labels][:, None, None, :]
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture
def source(rng):
    labels = np.arange(30) % 3
    labels[29] = 0  # which looks blue
    images = arrays(colored(rng, np.arange(30) % 3), labels)
    pool = arrays(colored(rng, np.arange(50) % 3), np.full(50, -1))
    test = arrays(colored(rng, np.arange(60) % 3), np.arange(60) % 3)
    return Source(images, CLASSES, unlabeled=pool, test=test)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def find(source, backbone, tmp_path, seconds=60.0, seed=0):
    made = material.prepare(source, backbone, str(tmp_path / "features"), seed=0)
    folder = tmp_path / "auto"
    folder.mkdir(exist_ok=True)
    ladder = Ladder(str(folder), {"seed": seed}, seconds)
    outcome = search.find_best(made, contest.Plan({}, (), 0), ladder, str(folder), 5)
    return folder, outcome, json.loads((folder / staging.RESULTS).read_text())


def test_what_is_delivered(source, backbone, tmp_path, messages):
    folder, outcome, summary = find(source, backbone, tmp_path)
    said = messages(logging.INFO)
    assert f"On 60 test images it is right in {summary['test_accuracy']:.1%}." in said
    assert "labels are suspicious to a classifier that is right in" in said
    assert "% of the 30 that were held out: look" in said
    assert "longer than --minutes" not in said
    assert (
        repr(outcome)
        == f"Outcome({outcome.delivered!r}, {outcome.accuracy:.1%}, in {str(folder)!r})"
    )
    assert str(outcome.candidates[0].estimate) in summary["verdict"]
    assert sorted(os.listdir(folder)) == [
        "candidates.csv",
        "candidates.png",
        "export",
        "held_out",
        "journal.json",
        "label_next.csv",
        "label_next.png",
        "predictions.csv",
        "predictions.png",
        "results.json",
        "suspicious_labels.csv",
        "suspicious_labels.png",
    ]
    assert summary["delivered"] == "logistic regression" and summary["accuracy"] > 0.8
    assert summary["run"] is outcome.run is None and summary["accuracy"] == outcome.accuracy
    assert summary["test_accuracy"] > 0.9
    export = loading.load(str(folder / summary["export"]))
    assert export.class_names == CLASSES
    assert export.calibration_temperature == summary["calibration_temperature"]
    answers = export.signatures["serving_default"](images=tf.constant(source.unlabeled.images))
    predictions = rows(folder / tables.PREDICTIONS)
    assert [row["file"] for row in predictions] == [str(name) for name in source.unlabeled.ids]
    assert [row["predicted"] for row in predictions] == [
        label.decode() for label in answers["labels"].numpy()
    ]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in predictions],
        answers["probabilities"].numpy().max(axis=1),
        atol=1e-3,
    )
    assert [row["predicted"] for row in predictions] == outcome.predicted.tolist()
    logits = outcome.network(source.unlabeled.images.astype(np.float32)) / outcome.temperature
    np.testing.assert_allclose(keras.ops.softmax(logits), outcome.probabilities, atol=1e-3)
    assert list(outcome.files[outcome.label_next].astype(str)) == [
        row["file"] for row in rows(folder / tables.LABEL_NEXT)
    ]
    assert len(rows(folder / tables.LABEL_NEXT)) == 5
    suspicious = rows(folder / tables.SUSPICIOUS)
    assert [(row["file"], row["label"], row["predicted"]) for row in suspicious[:1]] == [
        ("29", "red", "blue")
    ]


@pytest.mark.usefixtures("no_pictures")
def test_the_same_command_gives_the_same_again_without_trying_again(
    source, backbone, tmp_path, monkeypatch
):
    exported = []
    export = search.delivery.saved_model.export
    monkeypatch.setattr(
        search.delivery.saved_model, "export", lambda *a, **k: exported.append(1) or export(*a, **k)
    )
    folder, _, first = find(source, backbone, tmp_path)
    journal = (folder / "journal.json").read_text()
    _, _, second = find(source, backbone, tmp_path)
    assert second == first
    assert json.loads((folder / "journal.json").read_text())["done"] == json.loads(journal)["done"]
    assert os.listdir(folder / "export") == ["1"] and len(exported) == 1
    (folder / "export" / "1" / "saved_model.pb").write_bytes(b"")
    _, outcome, third = find(source, backbone, tmp_path)
    assert third == {**first, "export": "export/2"} and len(exported) == 2
    assert loading.load(outcome.export).class_names == CLASSES
    assert os.listdir(folder / "export") == ["2"]
    with pytest.raises(ConfigError, match="seed is 0 there and 1 here"):
        find(source, backbone, tmp_path, seed=1)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("moment", ["lists.write", "delivery.export", "files.write_json"])
def test_a_start_that_is_stopped_leaves_the_delivery_that_is_there(
    source, backbone, tmp_path, monkeypatch, moment
):
    folder, _, _ = find(source, backbone, tmp_path)

    def whole():
        names = [*folder.glob("*.csv"), *folder.glob("export/**/*"), folder / staging.RESULTS]
        return {name: name.read_bytes() for name in names if name.is_file()}

    before = whole()

    def stop(*arguments):
        raise KeyboardInterrupt

    module, name = moment.split(".")
    monkeypatch.setattr(getattr(search, module), name, stop)
    with pytest.raises(KeyboardInterrupt):
        find(source, backbone, tmp_path)
    assert whole() == before and len(before) > 8


@pytest.mark.usefixtures("no_pictures")
def test_with_validation_images_candidates_are_compared_on_them(source, backbone, tmp_path, rng):
    validation = arrays(colored(rng, np.arange(21) % 3), np.arange(21) % 3)
    source = Source(source.train, CLASSES, unlabeled=source.unlabeled, validation=validation)
    folder, _, summary = find(source, backbone, tmp_path)
    (row,) = rows(folder / tables.CANDIDATES)
    assert row["images"] == "21" and summary["test_accuracy"] is None


@pytest.mark.usefixtures("no_pictures")
def test_one_label_a_class_is_delivered_without_an_estimate(source, backbone, tmp_path):
    source = Source(source.train.take(np.arange(3)), CLASSES, unlabeled=source.unlabeled)
    folder, _, summary = find(source, backbone, tmp_path)
    assert (
        summary["accuracy"] is None
        and summary["calibration"] is None
        and summary["calibration_temperature"] == 1
    )
    assert "not measured: each class has a single label" in summary["verdict"]
    assert not rows(folder / tables.SUSPICIOUS)
    assert len(rows(folder / tables.PREDICTIONS)) == 50


@pytest.mark.usefixtures("no_pictures")
def test_what_is_too_late_is_delivered_all_the_same(source, backbone, tmp_path, messages):
    folder, _, summary = find(source, backbone, tmp_path, seconds=0.0)
    assert summary["delivered"] == "logistic regression"
    (row,) = rows(folder / tables.CANDIDATES)
    assert float(row["seconds"]) > 0
    said = messages(logging.INFO)
    assert "no time is left, and it is tried all the same" in said and "passed over" not in said


@pytest.mark.usefixtures("no_pictures")
def test_a_class_without_labels_is_named(source, backbone, tmp_path):
    wrong = Source(source.train, (*CLASSES, "grey"), unlabeled=source.unlabeled)
    with pytest.raises(ConfigError, match="class grey has no labeled image"):
        find(wrong, backbone, tmp_path)


def test_the_digest_follows_the_images(source, rng):
    first = material.digest(source.contents())
    assert first == material.digest(source.contents())
    relabeled = Source(source.train.relabel(np.arange(30) % 3), CLASSES, source.unlabeled)
    fewer = Source(source.train, CLASSES, source.unlabeled.take(slice(49)))
    others = [material.digest(s.contents()) for s in (relabeled, fewer)]
    assert len({first, *others}) == 3


def warn(source):
    material.warn_of_copies(source, source.contents())


def test_images_that_are_trained_on_and_held_out_are_warned_of(source, messages):
    warn(source)
    assert not messages(30)
    labeled = source.train
    copies = arrays(labeled.images[[*range(30), 7, 8]], labeled.labels[[*range(30), 7, 8]])
    warn(Source(copies, CLASSES))
    assert messages(30).startswith("2 of 32 labeled images are copies of others: where they are in")
    of_validation = Source(copies, CLASSES, validation=labeled.take(np.arange(4)))
    warn(of_validation)
    assert messages(30).startswith("4 of 4 validation images are in train too")


@pytest.mark.usefixtures("no_pictures")
def test_unlabeled_copies_of_labeled_images_are_predicted_and_not_proposed(
    source, backbone, tmp_path, messages
):
    """Of train and test: all five images with the least sure answers are proposed otherwise."""
    pool = source.unlabeled.images
    pool[:30], pool[30:45] = source.train.images, source.test.images[:15]
    source = dataclasses.replace(source, unlabeled=arrays(pool, np.full(50, -1)))
    warn(source)
    expected = "45 of 50 unlabeled images are copies of labeled ones: they are predicted, but"
    assert messages(logging.INFO).startswith(expected)
    warn(source)
    assert not messages(logging.WARNING)
    folder, outcome, _ = find(source, backbone, tmp_path)
    assert sorted(outcome.label_next) == [*range(45, 50)]
    assert len(rows(folder / tables.PREDICTIONS)) == 50
    made = material.prepare(source, backbone, str(tmp_path / "features"), seed=0)
    assert made.pool_size == 5
