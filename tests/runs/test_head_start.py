"""Heads that start from a logistic regression on the features of the labeled images."""

import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config
from mpl_tf.features import probe
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.runs import head_start, phases, views_grid
from mpl_tf.runs.building import derived_seed


@pytest.fixture
def begin(run, monkeypatch):
    """begin(**settings): the experiment of a run, before its first step."""

    class BegunError(Exception):
        """In place of the steps."""

    def stop(experiment):
        raise BegunError(experiment)

    monkeypatch.setattr(phases, "fit", stop)
    monkeypatch.setattr(views_grid, "draw", lambda *_: False)

    def until_then(**settings):
        with pytest.raises(BegunError) as raised:
            run(head_init="probe", **settings)
        return raised.value.args[0]

    return until_then


def images_of(split, part):
    images = getattr(split, part)
    return tf.constant(images.store.read(images.positions))


def expected_head(experiment, standard_parts):
    """The probe on the features that the backbone gives."""
    split, network = experiment.split, experiment.whole(experiment.method.student)
    features = [parts.backbone(network)(images_of(split, part)).numpy() for part in standard_parts]
    seed = derived_seed(0, "probe")
    standard = probe.moments(features)
    return probe.calibrated(features[0], split.labeled.labels, 3, seed, standard).head


@pytest.mark.parametrize(
    ("more", "standard_parts"),
    [
        ({"cache_dtype": "float32", "method": "mean_teacher"}, ("labeled", "unlabeled")),
        ({"train": "lora_2", "method": "mpl", "student_init": "teacher"}, ("labeled",)),
    ],
)
def test_the_logits_of_all_networks_are_those_of_the_probe(begin, more, standard_parts):
    experiment = begin(head_temperature=0.25, **more)
    assert_starts_from_the_probe(experiment, standard_parts)


def test_the_probe_takes_the_place_of_a_head_that_is_kept(begin, tmp_path, messages):
    path = tmp_path / "pretrained.keras"
    features = keras.models.load_model(path)
    x = keras.layers.Dense(3, name="colours")(features.output)
    keras.Model(features.inputs, x).save(path)
    experiment = begin(cache_dtype="float32", method="mean_teacher")
    assert_starts_from_the_probe(experiment, ("labeled", "unlabeled"))
    said = messages(logging.INFO)
    assert "'colours' of 3 classes is kept for the head to start from; with head_init=new" in said
    assert "Head: a logistic regression on" in said


def assert_starts_from_the_probe(experiment, standard_parts):
    """All networks have the probe's logits."""
    fitted = expected_head(experiment, standard_parts)
    images = images_of(experiment.split, "validation")
    starting = [*experiment.method.starting_networks()]
    assert len(starting) > 1
    for _, network in starting:
        whole = experiment.whole(network)
        features = parts.backbone(whole)(images)
        expected = fitted.logits(features)
        assert np.ptp(expected) > 1
        np.testing.assert_allclose(whole(images), expected, atol=1e-4)


def test_a_class_without_a_label_is_refused_before_any_work(run, tmp_path):
    split = tmp_path / "split.json"
    names = [f"labeled/{name}/{n}.png" for name in ("red", "blue") for n in range(3)]
    split.write_text(json.dumps({"labeled": names, "validation": []}))
    with pytest.raises(ConfigError, match=r"a label of each class; 1 have none, such as green\. L"):
        run(head_init="probe", split_file=str(split))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "head_init=probe, or a head_temperature below 1"),
        ({"head_temperature": 0.5}, "head_init=probe, or a head_temperature below 0.5"),
        ({"head": "mlp_4"}, "a head_temperature below 1"),
        ({"head_init": "probe"}, ""),
        ({"network": "small", "train": "all"}, ""),
    ],
)
def test_what_to_try_where_nothing_is_confident(settings, more, words):
    assert head_start.remedy(config.make({**settings, **more})) == words
