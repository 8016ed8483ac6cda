"""What methods say at the start of a training that is too short for what they are named for."""

import logging

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.console import log
from mpl_tf.methods import METHODS

POOL, UNLABELED_BATCH = 60, 6


@pytest.fixture
def model(linear):
    """model(name, **arguments): a method on a pool of 60 images of 5 numbers, 3 classes."""

    def make(name, pool=POOL, **arguments):
        return METHODS[name](linear(5, 3), num_unlabeled=pool, **arguments)

    return make


# Fashion-MNIST in 300 steps of 112 unlabeled images: no image comes twice, and no class of ten can
# have enough of them. Ten steps of 6 show 60 images once.
@pytest.mark.parametrize(
    ("name", "arguments", "steps", "unlabeled_batch", "sentence"),
    [
        ("temporal_ensembling", {}, 10, 6, "more than 10 steps"),
        ("temporal_ensembling", {}, 11, 6, ""),
        ("temporal_ensembling", {}, 1, 60, "more than 1 steps"),
        ("temporal_ensembling", {"pool": 59_000}, 300, 112, "more than 526 steps"),
        # n steps before: 2 n images a class, 60 - 6 n not learned; 0.95 * convex passes 1 / 3.
        ("pcl", {"cluster_from": 10}, 10, 6, "begin at step 10, and there are 10: it is MoCo v2"),
        ("pcl", {"cluster_from": 10}, 11, 6, ""),
        ("pcl", {"cluster_from": 9}, 11, 6, "it has seen 54 of 60 images"),
        ("flexmatch", {}, 7, 6, "step 8 is the first"),
        ("flexmatch", {}, 8, 6, ""),
        ("flexmatch", {"pool": 59_000}, 300, 112, "above 1/3, which every prediction reaches"),
        ("flexmatch", {"threshold_warmup": False}, 1, 6, ""),
        ("flexmatch", {"threshold_mapping": "concave"}, 6, 6, ""),
        ("flexmatch", {"threshold": 0.3}, 1, 6, ""),  # asked for: no number of steps changes it
    ],
)
def test_too_few_steps_are_told_of_with_what_helps(
    model, name, arguments, steps, unlabeled_batch, sentence
):
    text = model(name, **arguments).shortfall(steps, unlabeled_batch)
    assert sentence in text
    assert bool(text) == bool(sentence)


@pytest.mark.parametrize(
    ("method", "decay", "average"),
    [
        (mpl_tf.FreeMatch, "threshold_decay", "confidence"),
        (mpl_tf.SoftMatch, "average_decay", "variance"),
    ],
)
@pytest.mark.parametrize("steps", [2, 3])
def test_averages_that_are_mostly_their_start_are_told_of(
    method, decay, average, steps, linear, random_batch, endless
):
    """Of 0.75 decay 56% is left after two steps, and 42% after three."""
    student = linear(5, 3)
    student.set_weights([np.zeros((5, 3)), np.array([90.0, 0.0, 0.0])])  # sure, and of no variance
    model = method(student, **{decay: 0.75})
    model.compile(keras.optimizers.SGD(0.0))
    text = model.shortfall(steps, 6)
    model.fit(endless(random_batch((5,))), steps_per_epoch=steps, verbose=0)
    value = float(getattr(model, average))
    left = (1 - value) / (1 - 1 / 3) if average == "confidence" else value
    np.testing.assert_allclose(left, 0.75**steps, atol=1e-6)
    assert (f"{left:.0%} of their start" in text) == bool(text) == (steps == 2)


@pytest.fixture
def pool_of_numbers(rng):
    """Batches of 4 labeled and 6 of 60 unlabeled images, with the attributes of data of `pair`."""
    images = rng.integers(0, 256, (64, 4, 4, 1), np.uint8)
    labels = np.where(np.arange(64) < 4, np.arange(64) % 3, -1)

    def make(method):
        return mpl_tf.data.pair(
            (images, labels),
            method=method,
            labeled_batch=3,
            unlabeled_ratio=2,
            exclude_labeled=True,
            weak=None,
            strong=None,
        )

    return make


@pytest.fixture
def warnings(caplog, monkeypatch):
    """The library's warnings so far, a list of str."""
    monkeypatch.setattr(log, "propagate", True)  # which a verb in this process turns off
    caplog.set_level(logging.WARNING, logger=log.name)
    return lambda: [text for name, _, text in caplog.record_tuples if name == log.name]


def fitted(method, data, steps):
    """Logged values of the last step of a method that is fitted to data, then for a step more."""
    student = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model = method(student, num_unlabeled=data.num_unlabeled)
    model.compile("sgd")
    history = model.fit(data, steps_per_epoch=1, epochs=steps, verbose=0).history
    model.fit(data, steps_per_epoch=1, verbose=0)
    return {name: values[-1] for name, values in history.items()}


@pytest.mark.parametrize("steps", [10, 11])
def test_the_first_image_with_a_target_comes_when_the_sentence_says(
    pool_of_numbers, warnings, steps
):
    data = pool_of_numbers(mpl_tf.TemporalEnsembling)
    logged = fitted(mpl_tf.TemporalEnsembling, data, steps)
    assert len(warnings()) == (steps == 10)  # once
    assert (logged["unlabeled_loss"] == 0) == (steps == 10)


def test_all_images_are_taught_where_the_sentence_says_so(pool_of_numbers, warnings):
    logged = fitted(mpl_tf.FlexMatch, pool_of_numbers(mpl_tf.FlexMatch), 7)
    assert [text.split(":")[0] for text in warnings()] == ["FlexMatch"]
    assert logged["mask_rate"] == 1


def test_a_method_without_such_a_limit_says_nothing(linear):
    assert mpl_tf.FixMatch(linear(5, 3)).shortfall(1, 1) == ""
