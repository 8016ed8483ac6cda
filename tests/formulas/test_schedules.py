"""Schedules at their corners."""

import itertools
import math

import keras
import pytest
import tensorflow as tf

from mpl_tf.formulas import schedules


def test_wait_then_warm_up_then_cosine():
    schedule = schedules.WarmupCosine(0.8, steps=100, wait=10, warmup=20)
    expected = {0: 0, 9: 0, 10: 0, 11: 0.04, 20: 0.4, 30: 0.8, 65: 0.4, 100: 0, 150: 0}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, abs=1e-6), step


def test_no_jump_after_the_wait():
    schedule = schedules.WarmupCosine(1.0, steps=1000, wait=300, warmup=50)
    rates = [float(schedule(step)) for step in range(1001)]
    assert max(abs(a - b) for a, b in itertools.pairwise(rates)) <= 1 / 50 + 1e-6


def test_without_wait_and_warm_up_it_starts_at_the_peak():
    assert float(schedules.WarmupCosine(0.5, steps=10)(0)) == 0.5


def test_schedule_survives_serialisation():
    optimizer = keras.optimizers.SGD(schedules.WarmupCosine(0.5, steps=10, wait=2, warmup=3))
    twin = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    for step in range(12):
        for each in (optimizer, twin):
            each.iterations.assign(step)
        assert float(twin.learning_rate) == float(optimizer.learning_rate)


def test_ramp():
    assert [float(schedules.linear_ramp(t, 4)) for t in (0, 1, 4, 9)] == [0.0, 0.25, 1.0, 1.0]
    assert float(schedules.linear_ramp(0, 0)) == 1.0


def test_ema_decay_is_young_first():
    assert float(schedules.ema_decay(0, 0.995)) == pytest.approx(0.1)
    assert float(schedules.ema_decay(10**6, 0.995)) == pytest.approx(0.995)
    assert float(schedules.ema_decay(5, 0.0)) == 0.0


def test_gaussian_ramp():
    ramp = [float(schedules.gaussian_ramp(t, 10)) for t in (0, 5, 10, 20)]
    assert ramp == pytest.approx([math.exp(-5), math.exp(-1.25), 1, 1], abs=1e-6)
    assert float(schedules.gaussian_ramp(0, 0)) == 1


@pytest.mark.parametrize(
    ("growth", "half"), [("linear", 0.5), ("log", 1 - math.exp(-2.5)), ("exp", math.exp(-2.5))]
)
def test_signal_annealing_by_hand(growth, half):
    rises = [float(schedules.training_signal(tf.constant(t), 100, growth, 4)) for t in (0, 50, 100)]
    assert rises[1] == pytest.approx(0.25 + 0.75 * half, abs=1e-6)
    assert rises == sorted(rises)
    assert rises[2] == pytest.approx(1, abs=0.01)


def test_signal_annealing_is_clipped_at_its_end():
    assert float(schedules.training_signal(tf.constant(900), 100, "linear", 4)) == 1.0
