"""What float16 cannot hold is counted in the logs, and warned of where it is all."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import networks
from mpl_tf.engine.overflow import Overflow

SHAPE, K = (8, 8, 1), 4
TOO_HIGH = 2.0**40


@pytest.fixture
def data(rng):
    sizes = {"labeled": 8, "weak": 16, "strong": 16}
    batch = {k: rng.uniform(0, 255, (n, *SHAPE)).astype("float32") for k, n in sizes.items()}
    batch["label"] = np.arange(8) % K
    return tf.data.Dataset.from_tensors(batch).repeat()


def method(precision, name="mpl", **hyperparameters):
    method_class = mpl_tf.METHODS[name]
    with networks.precision(precision):
        build = networks.NETWORKS["small"]
        made = [build(K, SHAPE, seed=s, dropout=0.0) for s, _ in enumerate(method_class.optimizers)]
    model = method_class(*made, **hyperparameters)
    model.compile(**{name: keras.optimizers.SGD(0.1) for name in model.optimizers})
    return model


def logs(model, data):
    history = model.fit(data, steps_per_epoch=1, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    return {name: values[-1] for name, values in history.items()}


def shares(values):
    return {name: value for name, value in values.items() if name.endswith("_overflown")}


# The share of what overflows at a scale that is too high. Exact credit is scaled in float32 alone.
UPDATES = {"student_updates_overflown": 1, "teacher_updates_overflown": 1}
CASES = [
    ("mpl", {"feedback": "exact"}, {"credits_overflown": 0, **UPDATES}),
    ("mpl", {"feedback": "dot"}, {"credits_overflown": 1, **UPDATES}),
    ("vat", {}, {"image_gradients_overflown": 1, "student_updates_overflown": 1}),
]


@pytest.mark.parametrize(("name", "hyperparameters", "expected"), CASES)
def test_overflows_are_counted_and_warned_of(name, hyperparameters, expected, data, caplog):
    model = method("float16", name, **hyperparameters)
    assert shares(logs(model, data)) == dict.fromkeys(expected, 0)  # where training starts
    for _ in range(2):
        for optimizer in model.optimizers:
            getattr(model, optimizer).dynamic_scale.assign(TOO_HIGH)
        assert shares(logs(model, data)) == expected
    warnings = [record.message for record in caplog.records if "mpl_tf" in record.name]
    overflown = [share for share, value in expected.items() if value]
    assert len(warnings) == len(overflown)  # once each
    for share in overflown:
        assert any(f"have no effect ({share} is 1)" in message for message in warnings)


def test_what_comes_several_times_a_step_is_averaged(data):
    model = method("float16", "vat", power_iterations=2)  # as many image gradients a step
    model.student_optimizer.dynamic_scale.assign(TOO_HIGH)
    values = shares(logs(model, data))
    # The first leaves the direction at 0, where the second is finite.
    assert values == {"image_gradients_overflown": 0.5, "student_updates_overflown": 1}


def test_nothing_is_counted_without_loss_scaling(data):
    assert not shares(logs(method("float32"), data))


def test_feedback_moves_the_teacher_in_float16_as_in_float32_from_the_first_step_on(data):
    """By the scale that training starts with."""
    moves = []
    for precision in ("float32", "float16"):
        model = method(precision, feedback="exact", supervised_weight=0.0, uda_weight=0.0)
        before = [w.copy() for w in model.teacher.get_weights()]
        assert logs(model, data)["positive_credit"] > 0
        after = model.teacher.get_weights()
        moves.append(np.concatenate([(a - b).ravel() for a, b in zip(after, before, strict=True)]))
    many_digits, few_digits = moves
    cosine = many_digits @ few_digits / np.linalg.norm(many_digits) / np.linalg.norm(few_digits)
    assert cosine > 0.99


def test_only_what_is_not_finite_becomes_0_and_is_counted():
    logged = {}
    optimizer = keras.optimizers.SGD(loss_scale_factor=8.0)
    values = tf.constant([1.0, np.inf, np.nan, -2.0])
    finite = Overflow(logged.update).finite(values, optimizer, "credits")
    np.testing.assert_array_equal(finite, [1, 0, 0, -2])
    assert logged == {"credits_overflown": 0.5}
    plain = Overflow(logged.update).finite(values, keras.optimizers.SGD(), "credits")
    np.testing.assert_array_equal(plain, values)
