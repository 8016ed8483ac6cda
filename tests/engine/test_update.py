"""float16: losses are scaled, and an overflow leaves an update out and nothing broken."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import networks

SHAPE, K = (6, 6, 1), 3


@pytest.fixture
def data(rng):
    sizes = {"labeled": 4, "weak": 8, "strong": 8}
    batch = {k: rng.uniform(0, 255, (n, *SHAPE)).astype("float32") for k, n in sizes.items()}
    batch["label"] = rng.integers(K, size=4)
    return tf.data.Dataset.from_tensors(batch).repeat()


def model(precision, feedback="exact", rate=0.05):
    with networks.precision(precision):
        made = [networks.NETWORKS["mlp"](K, SHAPE, seed=seed, dropout=0.0) for seed in (1, 2)]
    method = mpl_tf.MetaPseudoLabels(
        *made, feedback=feedback, feedback_weight=3.0, uda_weight=1.0, uda_ramp_steps=0
    )
    method.compile(**{o: keras.optimizers.SGD(rate, momentum=0.5) for o in method.optimizers})
    return method


def scales(method):
    return [float(o.dynamic_scale) for o in (method.student_optimizer, method.teacher_optimizer)]


def set_scales(method, scale):
    for optimizer in (method.student_optimizer, method.teacher_optimizer):
        optimizer.dynamic_scale.assign(scale)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("feedback", ["exact", "sampled"])
def test_few_digits_lead_where_many_do(data, precision, feedback):
    """Losses of the first steps agree with float32 as far as the digits reach."""
    logs = []
    for dtype in ("float32", precision):
        method = model(dtype, feedback)
        if dtype == "float16":
            set_scales(method, 256.0)
        logs.append(method.fit(data, steps_per_epoch=3, verbose=0).history)
    for name in ("student_loss", "teacher_loss"):
        assert logs[1][name][0] == pytest.approx(logs[0][name][0], rel=0.03), name


def test_logits_and_weights_are_float32_whatever_layers_compute_in(data):
    for precision in ("bfloat16", "float16"):
        method = model(precision)
        assert {v.dtype for v in method.student.trainable_variables} == {"float32"}
        assert method.student.output.dtype == "float32"
        assert method.student.layers[3].compute_dtype == precision
    assert keras.config.dtype_policy().name == "float32"


def test_both_optimizers_scale_in_float16_alone():
    scaled = keras.optimizers.LossScaleOptimizer
    for precision, expected in (("float32", False), ("bfloat16", False), ("float16", True)):
        method = model(precision)
        assert isinstance(method.student_optimizer, scaled) == expected
        assert isinstance(method.teacher_optimizer, scaled) == expected


@pytest.mark.parametrize("feedback", ["exact", "dot", "sampled"])
def test_an_overflow_leaves_the_update_out_and_halves_the_scale(data, feedback):
    method = model("float16", feedback)
    set_scales(method, 2.0**40)
    before = [w for n in (method.teacher, method.student) for w in n.get_weights()]
    history = method.fit(data, steps_per_epoch=1, verbose=0).history
    after = [w for n in (method.teacher, method.student) for w in n.get_weights()]
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert scales(method) == [2.0**39, 2.0**39]
    assert all(np.isfinite(v).all() for v in history.values())
    assert np.isfinite(float(method.feedback_average))


def test_an_overflow_of_the_student_alone_leaves_the_teacher_learning(data):
    method = model("float16")
    set_scales(method, 128.0)
    method.student_optimizer.dynamic_scale.assign(2.0**40)
    teacher, student = method.teacher.get_weights(), method.student.get_weights()
    method.fit(data, steps_per_epoch=1, verbose=0)
    assert all((a == b).all() for a, b in zip(method.student.get_weights(), student, strict=True))
    assert not all(
        (a == b).all() for a, b in zip(method.teacher.get_weights(), teacher, strict=True)
    )
    assert scales(method) == [2.0**39, 128.0]


def test_steps_go_on_after_overflows(data):
    method = model("float16")
    set_scales(method, 2.0**24)
    losses = [method.fit(data, steps_per_epoch=1, verbose=0).history["supervised_loss"][0]]
    for _ in range(40):
        losses += method.fit(data, steps_per_epoch=1, verbose=0).history["supervised_loss"]
    assert max(scales(method)) < 2.0**24
    assert losses[-1] < losses[0]
    assert int(method.student_optimizer.iterations) > 20


def test_scaling_changes_no_gradient(data):
    """Scales are powers of two: with one and with another the weights are nearly the same."""
    weights = []
    for scale in (64.0, 512.0):
        method = model("float16", rate=0.01)
        set_scales(method, scale)
        method.fit(data, steps_per_epoch=2, verbose=0)
        weights.append(np.concatenate([w.ravel() for w in method.teacher.get_weights()]))
        assert scales(method) == [scale, scale]
    start = np.concatenate([w.ravel() for w in model("float16").teacher.get_weights()])
    moved = weights[0] - start
    assert np.linalg.norm(weights[1] - weights[0]) < 0.02 * np.linalg.norm(moved)
