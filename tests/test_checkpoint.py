"""Checkpoints hold everything that the next step depends on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.checkpoint import Checkpoints


@pytest.fixture
def endless(rng):
    batch = {
        "labeled": rng.normal(size=(4, 6, 6, 1)),
        "label": rng.integers(3, size=4),
        "weak": rng.normal(size=(6, 6, 6, 1)),
        "strong": rng.normal(size=(6, 6, 6, 1)),
    }
    return tf.data.Dataset.from_tensors(batch).repeat()


@pytest.fixture
def build(convolutional):
    """A compiled model with batch normalisation, dropout, momentum, schedules and baseline."""

    def build():
        model = mpl_tf.MetaPseudoLabels(
            convolutional(1), convolutional(2), feedback="sampled", uda_ramp_steps=10
        )

        def optimizer():
            schedule = mpl_tf.WarmupCosine(0.1, steps=20)
            return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)

        model.compile(student_optimizer=optimizer(), teacher_optimizer=optimizer())
        return model

    return build


def state(model):
    optimizers = model.student_optimizer.variables + model.teacher_optimizer.variables
    return [v.numpy() for v in [*model.weights, *optimizers]]


def test_three_steps_and_two_equal_five(build, endless, tmp_path):
    straight = build()
    straight.fit(endless, steps_per_epoch=5, verbose=0)
    first = build()
    first.fit(endless, steps_per_epoch=3, verbose=0)
    Checkpoints(first, str(tmp_path)).save(3)
    second = build()
    assert Checkpoints(second, str(tmp_path)).restore() == 3
    second.fit(endless, steps_per_epoch=2, verbose=0)
    for a, b in zip(state(straight), state(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_newest_of_several_is_restored_and_older_ones_go(build, endless, tmp_path):
    model = build()
    checkpoints = Checkpoints(model, str(tmp_path), keep=2)
    assert checkpoints.restore() == 0
    for step in (2, 4, 6):
        checkpoints.save(step)
    assert Checkpoints(build(), str(tmp_path)).restore() == 6
    assert {p.stem for p in tmp_path.glob("*.index")} == {"ckpt-4", "ckpt-6"}
