"""--eval_image_size: runs that are evaluated, finetuned and exported at another size."""

import json
import logging
import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data
from mpl_tf.data.options import DataConfig
from mpl_tf.evaluation import subject
from mpl_tf.networks import find
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, experiment, folder, restore, training

SETTINGS = {
    "method": "supervised",
    "network": "small_2",
    "weak": "resized_crop",
    "image_size": 8,
    "eval_image_size": 12,
    "num_labeled": 20,
    "num_validation": 20,
    "labeled_batch": 10,
    "steps": 2,
    "eval_every": 2,
    "finetune_steps": 4,
    "checkpoint_every": 2,
    "finetune_learning_rate": 0.1,
    "student_warmup_steps": 0,
}
pytestmark = pytest.mark.usefixtures("no_pictures")


def train(path, **changes):
    results = training.train_and_evaluate(config.make({**SETTINGS, **changes}), str(path))
    return results, restore.find(str(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(path, results) of a run from its beginning to its end."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    results, _ = train(path)
    return path, results


def test_networks_are_tested_on_images_of_that_size(whole):
    """Networks that are built for that size, with the weights of the run."""
    path, results = whole
    test = data.DATASETS["digits"].load(DataConfig(image_size=12)).test
    for role, accuracy in results["test_accuracy"].items():
        if role == "teacher":
            assert accuracy is None
            continue
        _, network = restore.restore(restore.find(str(path)), role)
        expected = find("small_2")(10, (12, 12, 1))
        expected.set_weights(network.get_weights())
        answers = np.argmax(expected(test.images.astype(np.float32)), 1)
        assert accuracy == pytest.approx(np.mean(answers == test.labels))
    served = tf.saved_model.load(str(path / "export" / "1")).signatures["serving_default"]
    given = served(images=tf.constant(test.images))["class_ids"]
    assert results["test_accuracy"]["finetuned"] == pytest.approx(np.mean(given == test.labels))


def test_finetuning_moves_the_last_norm_and_the_classifier_alone(whole):
    found = restore.find(str(whole[0]))
    weights = [restore.restore(found, role)[1].weights for role in ("ema", "finetuned")]
    moved = {
        number
        for number, pair in enumerate(zip(*weights, strict=True))
        if not np.array_equal(*map(keras.ops.convert_to_numpy, pair))
    }
    count = len(weights[0])
    assert moved == set(range(count - 6, count))  # four of the norm, and kernel and bias


def test_evaluate_reads_images_of_that_size(whole, messages):
    path, results = whole
    measured = subject.of_run(str(path), "finetuned")
    assert measured.image_shape == (12, 12, 1)
    for source in ("", "digits"):
        images = subject.load_images(measured, source)
        assert images.shape == (12, 12, 1)
        answers = subject.probabilities(measured, images, 500).argmax(1)
        share = np.mean(answers == images.labels)
        assert results["test_accuracy"]["finetuned"] == pytest.approx(share)
    assert subject.load_images(measured, part="validation").shape == (12, 12, 1)
    assert "started with" not in messages(
        logging.WARNING
    )  # the images are the same in another size


def test_a_run_goes_on_in_its_finetuning_to_the_last_bit(whole, tmp_path):
    path, results = whole
    shutil.copytree(path, tmp_path / "again")
    os.remove(tmp_path / "again" / "results.json")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "finetune" / "step-4")
    again, _ = train(tmp_path / "again")
    assert again["resumed_at"] == "finetune step 2"
    assert again["weights_digest"] == results["weights_digest"]


def test_the_size_of_training_and_all_parts_are_a_plain_run(tmp_path):
    """The same phase on the same batches; tests/engine has its steps."""
    same = {"eval_image_size": 8, "finetune_part": "all", "finetune_weak": "resized_crop"}
    for changes in ({"eval_image_size": 0}, same):
        made = config.make({**SETTINGS, **changes, "network": "mlp"})
        digits = data.DATASETS["digits"]
        split = experiment.make_split(made, digits.load(made.data))
        built = experiment.build(made, split, str(tmp_path / "run"))
        assert experiment.with_eval_split(built, digits.load) is built
        phase = building.finetuning_phase(made, built.method)
        batch = next(iter(built.batches(folder.FINETUNE, 3, phase.unlabeled_views)))
        names = [v.path.split("/")[-1] for v in phase.network.trainable_variables]
        about = (phase.compile_arguments() | {"eval_image_size": 0}, len(phase.pass_counts), names)
        if changes is not same:
            plain, about_plain = batch, about
    assert about == about_plain
    assert batch.keys() == plain.keys()
    for name, values in batch.items():
        np.testing.assert_array_equal(values, plain[name])


def test_a_network_for_one_size_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"^eval_image_size=12: student \(mlp\) is made for"):
        train(tmp_path / "run", network="mlp")
    assert not os.listdir(tmp_path)


def test_a_run_says_whether_it_is_finetuned_at_that_size(tmp_path, monkeypatch, messages):
    def stop(experiment):
        raise RuntimeError("started")

    monkeypatch.setattr(training.phases, "fit", stop)
    settings = {k: v for k, v in SETTINGS.items() if not k.startswith("finetune")}
    for steps, text in ((4, "and finetuned there"), (0, "and not (finetune_steps=0) finetuned")):
        made = config.make({**settings, "finetune_steps": steps})
        with pytest.raises(RuntimeError, match="started"):
            training.train_and_evaluate(made, str(tmp_path / str(steps)))
        assert f"evaluated and exported at 12x12 pixels, {text}" in messages(logging.INFO)


def test_images_that_change_between_the_two_readings_are_refused(tmp_path, monkeypatch):
    load = data.DATASETS["digits"].load

    def changing(options):
        source = load(options)
        if options.image_size == 12:
            object.__setattr__(source, "test", source.test.take(slice(1, None)))
        return source

    monkeypatch.setitem(
        data.DATASETS, "digits", data.dataset.Dataset(changing, available=1297, unlabeled=0)
    )
    with pytest.raises(ConfigError, match="the test images have changed since they were read"):
        train(tmp_path / "run")


def test_the_configuration_is_in_the_run_folder(whole):
    flat = json.loads((whole[0] / "config.json").read_text(encoding="utf-8"))
    assert flat["eval_image_size"] == 12 and flat["image_size"] == 8
