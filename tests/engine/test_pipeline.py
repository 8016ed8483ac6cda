"""Networks in stages train as on one device, on several devices at once."""

import functools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import pipeline
from mpl_tf.runs.checkpoint import Checkpoints

layers = keras.layers
B, U, K = 4, 8, 3


def network(seed, noise=True):
    """Three layers with weights and a skip, in float64; with `noise` batch norm and dropout."""
    first, second, last = (keras.initializers.GlorotUniform(seed=seed + i) for i in range(3))
    x = inputs = keras.Input([3, 3, 1], dtype="float64")
    x = layers.Flatten(dtype="float64")(x)
    y = layers.Dense(9, kernel_initializer=first, dtype="float64")(x)
    if noise:
        y = layers.BatchNormalization(momentum=0.9, dtype="float64")(y)
        y = layers.Dropout(0.3, seed=seed, dtype="float64")(y)
    y = layers.Dense(9, "tanh", kernel_initializer=second, dtype="float64")(y)
    x = layers.Add(dtype="float64")([x, y])
    return keras.Model(inputs, layers.Dense(K, kernel_initializer=last, dtype="float64")(x))


def batches(rng):
    sizes = {"labeled": B, "weak": U, "strong": U}
    arrays = {k: rng.normal(size=(3, n, 3, 3, 1)) for k, n in sizes.items()}
    arrays["label"] = rng.integers(K, size=(3, B))
    return tf.data.Dataset.from_tensor_slices(arrays).repeat()


def trained(data, method, compute, make=network, steps=3, **hyperparameters):
    """A method after a few steps with momentum, L2 and clipping."""
    method_class = mpl_tf.METHODS[method]
    made = [make(1), make(5)][-len(method_class.optimizers) :]
    sgd = [keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True) for _ in made]
    model = method_class(*made, **hyperparameters)
    named = dict(zip(method_class.optimizers, sgd, strict=True))
    model.compile(**named, weight_decay=1e-3, clip_norm=1.0, **compute)
    model.fit(data, steps_per_epoch=steps, verbose=0)
    return model


MPL = {"feedback_weight": 5.0, "uda_ramp_steps": 2, "uda_threshold": 0.4}


@pytest.fixture(scope="module")
def data():
    return batches(np.random.default_rng(0))


@pytest.fixture(scope="module")
def exact(data):
    """Meta Pseudo Labels with exact feedback and two microbatches: on one device, in two stages."""
    arguments = [{}, {"stages": 2}]
    return [
        trained(data, "mpl", {"accumulate_steps": 2, **each}, feedback="exact", **MPL)
        for each in arguments
    ]


def check_equal(one, other, tolerance=1e-12):
    assert one.keys() == other.keys() if isinstance(one, dict) else len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def device(variable):
    return variable.value.device[-5:]


def test_two_stages_train_what_one_device_does(exact):
    """Second-order feedback, batch statistics and dropout of each microbatch, EMA and momentum."""
    one, two = (model.get_weights() for model in exact)
    assert np.abs(exact[1].student.get_weights()[0] - network(5).get_weights()[0]).max() > 0.01
    check_equal(one, two)
    for role in ("student_optimizer", "teacher_optimizer"):
        moments = [[np.array(v) for v in getattr(model, role).variables] for model in exact]
        check_equal(*moments)


def test_four_stages_without_batch_norm_train_what_the_whole_batch_does(data):
    plain = functools.partial(network, noise=False)
    one, four = (
        trained(data, "supervised", compute, plain)
        for compute in ({}, {"stages": 4, "accumulate_steps": 4})
    )
    assert {device(v) for v in four.student.variables} == {"CPU:1", "CPU:2", "CPU:3"}
    check_equal(one.get_weights(), four.get_weights())


@pytest.mark.parametrize("role", ["teacher", "student", "ema"])
def test_weights_and_momentum_are_divided(exact, role):
    _, model = exact
    of_weights = {v.path: device(v) for v in model.networks[role].variables}
    assert set(of_weights.values()) == {"CPU:0", "CPU:1"}
    if role == "ema":
        return
    weights = model.networks[role].trainable_variables
    optimizer = getattr(model, f"{role}_optimizer")
    assert [device(v) for v in optimizer.momentums] == [device(v) for v in weights]


def test_updates_are_computed_where_the_weights_are(exact, data):
    """What a kernel is assigned, by optimizers and by the moving average, is on its device."""
    _, model = exact
    graph = model.train_function.get_concrete_function(iter(data)).graph
    kernel = model.student.trainable_variables[0].shape
    assigned = [
        operation.inputs[1].op
        for operation in graph.get_operations()
        if operation.type.startswith("Assign") and operation.inputs[1].shape == kernel
    ]
    assert len(assigned) == 2 * (2 + 2 + 1)  # two kernels: of both networks, momentum, average
    places = [operation.device[-5:] for operation in assigned]
    assert places.count("CPU:0") == places.count("CPU:1") == 5


def test_what_was_divided_predicts_and_evaluates_alike(exact, rng):
    images, labels = rng.normal(size=(5, 3, 3, 1)), rng.integers(K, size=5)
    one, four = (model.predict(images, verbose=0) for model in exact)
    np.testing.assert_allclose(one, four, atol=1e-12)
    one, four = (model.evaluate(images, labels, verbose=0) for model in exact)
    np.testing.assert_allclose(one, four, atol=1e-6)


def test_a_checkpoint_is_of_any_number_of_stages(data, tmp_path):
    """Written in stages and read without, and the reverse; the slots are where the weights are."""
    compute = {"accumulate_steps": 2}
    divided, whole = (
        trained(data, "supervised", compute | each, steps=1) for each in ({"stages": 2}, {})
    )
    expected = divided.get_weights()
    Checkpoints(divided, str(tmp_path / "divided")).save(1)
    Checkpoints(whole, str(tmp_path / "whole")).save(1)
    whole.set_weights([0 * w for w in expected])
    Checkpoints(whole, str(tmp_path / "divided")).restore()
    check_equal(whole.get_weights(), expected)
    divided.set_weights([0 * w for w in expected])
    Checkpoints(divided, str(tmp_path / "whole")).restore()
    check_equal(divided.get_weights(), expected)
    assert {device(v) for v in divided.student.variables} == {"CPU:0", "CPU:1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "compute", "hyperparameters"),
    [
        ("mpl", {"steps_per_execution": 3}, {"feedback": "sampled", **MPL}),
        ("mpl", {"sam_rho": 0.05}, {"feedback": "dot", **MPL}),
        ("mpl", {"run_eagerly": True}, {"feedback": "exact", **MPL}),
        ("vat", {}, {}),
    ],
    ids=["sampled", "dot", "eagerly", "vat"],
)
def test_other_steps_in_stages_train_what_one_device_does(
    data, method, compute, hyperparameters, optimized_graphs
):
    """`pytest -m slow tests/engine/test_pipeline.py`: two minutes."""
    one, two = (
        trained(data, method, {"accumulate_steps": 2, **compute, **each}, **hyperparameters)
        for each in ({}, {"stages": 2})
    )
    check_equal(one.get_weights(), two.get_weights())


class Marked(layers.Layer):
    """The identity, in whose place a graph has an operation that can be told from all others."""

    def call(self, inputs):
        @tf.custom_gradient
        def mark(x):
            def backward(upstream):
                return tf.raw_ops.PreventGradient(input=upstream, message=f"{self.name} backward")

            return tf.raw_ops.PreventGradient(input=x, message=f"{self.name} forward"), backward

        return mark(inputs)


def marked(seed):
    initial = keras.initializers.GlorotUniform(seed)
    x = inputs = keras.Input([6, 6, 4])
    for number in range(2):
        x = layers.Conv2D(4, 3, padding="same", kernel_initializer=initial)(x)
        x = Marked(name=f"stage_{number}")(x)
        x = layers.Conv2D(4, 3, padding="same", kernel_initializer=initial)(x)
    return keras.Model(inputs, layers.Dense(K)(layers.Flatten()(x)))


def rounds(graph):
    """Name of a pass -> after how many other passes, one after the other, each of its kind is."""
    level, marks = {}, {}
    for operation in graph.get_operations():  # in an order in which they can be computed
        before = [t.op.name for t in operation.inputs]
        before += [each.name for each in operation.control_inputs]
        level[operation.name] = max((level.get(name, 0) for name in before), default=0)
        if operation.type == "PreventGradient":
            name = operation.get_attr("message").decode()
            marks.setdefault(name, []).append(level[operation.name])
            level[operation.name] += 1
    return {name: sorted(levels) for name, levels in marks.items()}


def test_microbatches_are_in_different_stages_at_once(rng):
    """Three microbatches: (stages + microbatches - 1) passes forward one after the other, and as
    many backward; on one device it is their product."""
    arrays = {"labeled": rng.normal(size=(1, 6, 6, 6, 4)), "label": np.zeros([1, 6], int)}
    data = tf.data.Dataset.from_tensor_slices(arrays).repeat()
    levels = {}
    for stages in (1, 2):
        model = mpl_tf.Supervised(marked(0))
        model.compile("sgd", accumulate_steps=3, stages=stages)
        data = data.map(lambda batch: batch | {"labeled": tf.cast(batch["labeled"], tf.float32)})
        function = model.make_train_function().get_concrete_function(iter(data))
        levels[stages] = rounds(function.graph)
    # Forward passes 0, 1, 2; of the gradient each is computed anew, and then backward.
    assert levels[2]["stage_0 forward"][:3] == [0, 1, 2]
    assert levels[2]["stage_1 forward"][:3] == [1, 2, 3]
    assert levels[2]["stage_1 backward"] == [5, 7, 9]
    assert levels[2]["stage_0 backward"] == [7, 9, 11]
    assert levels[1]["stage_0 forward"][:3] == [0, 2, 4]
    assert levels[1]["stage_0 backward"][-1] == 17


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        ({"stages": 5}, "stages=5 needs as many CPUs; TensorFlow has 4"),
        ({"stages": 0}, "stages must be a whole number of at least 1; received 0"),
        ({"stages": 2, "jit_compile": True}, "XLA compiles a step for one device"),
    ],
)
def test_what_cannot_be_divided_is_refused(compute, message):
    model = mpl_tf.Supervised(network(0))
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", **compute)
    assert {device(v) for v in model.student.variables} == {"CPU:0"}


def test_a_network_that_is_neither_teacher_nor_student_is_refused():
    message = "ReMixMatch trains student_with_rotation, which is neither the teacher nor the stud"
    model = mpl_tf.ReMixMatch(network(0, noise=False))
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", stages=2)
    reduced = mpl_tf.ReducedMPL(None, network(0, noise=False), num_unlabeled=8)
    with pytest.raises(ValueError, match="ReducedMPL trains adjuster, which is neither the teach"):
        reduced.compile(student_optimizer="sgd", teacher_optimizer=None, stages=2)


def test_several_replicas_are_refused():
    two = types.SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(ValueError, match=r"stages=2 divides the networks of one replica .* 2 repl"):
        pipeline.divided({}, 2, two, False)
