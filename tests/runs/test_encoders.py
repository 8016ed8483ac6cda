"""`--pretrain`: an encoder is taught, handed over to all networks, kept in a file, and drawn."""

import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, networks
from mpl_tf.engine import projections
from mpl_tf.options import ConfigError
from mpl_tf.runs import encoders, folder, metrics_log, phases, restore, training
from mpl_tf.runs.checkpoint import Checkpoints

SETTINGS = {
    "dataset": "digits",
    "network": "small_8",
    "num_labeled": 20,
    "num_validation": 20,
    "labeled_batch": 10,
    "steps": 4,
    "eval_every": 2,
    "log_every": 1,
    "pretrain": "moco_v2:steps=3:unlabeled_ratio=2:queue=30:target_momentum=0.5",
    "method": "finetune",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The folder of a finished run."""
    path = str(tmp_path_factory.mktemp("runs") / "run")
    training.train_and_evaluate(config.make(SETTINGS), path)
    return path


def build(path, **more):
    settings = config.make({**SETTINGS, **more})
    source = training._load(settings, path)
    split = training.make_split(settings, source)
    return training.build(settings, split, path)


def encoder_of(network):
    return projections.parts(network)[0].get_weights()


def test_all_networks_begin_with_the_encoder_and_heads_of_their_own(path):
    experiment = build(path, method="mpl")
    heads = [
        projections.parts(network)[1].get_weights()
        for _, network in experiment.method.starting_networks()
    ]
    first = experiment.pretraining.method
    phase = os.path.join(path, folder.CHECKPOINTS, folder.PRETRAIN)
    assert Checkpoints(first, phase).restore(3) == 3
    assert np.abs(encoder_of(first.student)[0] - encoder_of(experiment.method.student)[0]).max() > 0
    encoders.hand_over(first, experiment.method)
    for (_, network), head in zip(experiment.method.starting_networks(), heads, strict=True):
        for actual, expected in zip(encoder_of(network), encoder_of(first.student), strict=True):
            np.testing.assert_array_equal(actual, expected)
        for actual, expected in zip(projections.parts(network)[1].get_weights(), head, strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_its_file_is_a_network_to_start_from(path):
    experiment = build(path)
    first = experiment.pretraining.method
    Checkpoints(first, os.path.join(path, folder.CHECKPOINTS, folder.PRETRAIN)).restore(3)
    file = os.path.join(path, folder.ENCODER)
    images = experiment.split.validation.images
    features = keras.models.load_model(file)(images)
    expected = projections.parts(first.student)[0](images, training=False)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    network = networks.find(f"file:{file}")(10, images.shape[1:], seed=0)
    assert network(tf.constant(images)).shape == (20, 10)


def test_its_rows_pictures_and_checkpoints_are_there(path):
    tables = metrics_log.read_curves(os.path.join(path, folder.METRICS), folder.PRETRAIN)
    assert "unlabeled_loss" in tables and tables["student_loss"].shape == (2, 3)
    for name in (folder.NEIGHBOURS, folder.PRETRAIN_VIEWS, folder.REPORT):
        assert os.path.getsize(os.path.join(path, name)) > 1000
    restore.restore(restore.find(path))  # `export` and `evaluate` need no pretraining


def test_a_run_that_stops_between_the_phases_goes_on_to_the_last_bit(path, tmp_path):
    again = str(tmp_path / "again")
    shutil.copytree(path, again)
    shutil.rmtree(os.path.join(again, folder.CHECKPOINTS, folder.TRAIN))
    for name in (folder.RESULTS, folder.ENCODER):
        os.remove(os.path.join(again, name))
    rows = (tmp_path / "again" / folder.METRICS).read_text().splitlines()
    kept = [rows[0], *(row for row in rows[1:] if row.startswith(folder.PRETRAIN))]
    (tmp_path / "again" / folder.METRICS).write_text("\n".join(kept) + "\n")
    summary = training.train_and_evaluate(config.make(SETTINGS), again)
    expected = training.train_and_evaluate(config.make(SETTINGS), path)
    assert summary["resumed_at"] == "pretrain step 3"
    assert summary["weights_digest"] == expected["weights_digest"]
    assert os.path.exists(os.path.join(again, folder.ENCODER))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train": "head"}, "pretrain teaches the encoder, and train=head leaves it as it is"),
        ({"head_init": "probe"}, "head_init=probe is computed on the features before pretraining"),
        ({"optimizer": "lars", "backbone_rate": 0.5}, "backbone_rate=0.5 is for optimizer=sgd"),
        (
            {"method": "simclr", "pretrain": "", "train": "head"},
            "method=simclr teaches the encoder",
        ),
    ],
)
def test_what_has_an_encoder_already_is_refused(path, more, message):
    file = f"file:{os.path.join(path, folder.ENCODER)}"
    with pytest.raises(ConfigError, match=message):
        config.make({**SETTINGS, "method": "mpl", "network": file, **more})


def test_a_fault_before_the_end_leaves_no_file(path, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(phases.encoders, "hand_over", fail)
    settings = config.make({**SETTINGS, "pretrain": "simclr:steps=2"})
    with pytest.raises(RuntimeError, match="in the middle"):
        training.train_and_evaluate(settings, str(tmp_path / "run"))
    assert folder.ENCODER not in os.listdir(tmp_path / "run")


def test_a_run_does_not_replace_the_encoder_that_it_starts_from(path):
    file = os.path.join(path, folder.ENCODER)
    settings = config.make({**SETTINGS, "network": f"file:{file}", "pretrain": ""})
    with pytest.raises(ConfigError, match=r"network is in the run folder .* it would replace"):
        training.train_and_evaluate(settings, path, overwrite=True)
    assert os.path.exists(file)


def test_lars_trains_a_network_that_starts_from_a_file(path):
    file = os.path.join(path, folder.ENCODER)
    experiment = build(path, network=f"file:{file}", pretrain="", optimizer="lars")
    assert experiment.method.backbone_rate == 1.0


def test_images_of_another_size_for_evaluation_are_those_of_the_phase_too(path):
    settings = config.make({**SETTINGS, "eval_image_size": 12})
    experiment = training._build(
        settings, training.make_split(settings, training._load(settings, path)), path, None
    )
    assert experiment.pretraining.evaluated.validation.shape == (12, 12, 1)
