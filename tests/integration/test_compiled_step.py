"""XLA compiles one replica's whole training step, and trains what the ordinary step trains.

A TPU runs nothing else: everything between two batches is one program of static shapes, without a
call to the host.
"""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf

# Operations that leave the device, or whose output has a shape that only running them tells.
HOST = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "Print", "PrintV2", "StringFormat", "HostCall"}
# What could run on one replica and not on another: a collective under it would wait for ever.
CONDITIONAL = {"If", "StatelessIf", "Case", "StatelessCase", "Switch", "While", "StatelessWhile"}
DYNAMIC = {"Where", "Unique", "UniqueV2", "UniqueWithCounts", "DynamicPartition", "SetDiff1D"}


@pytest.fixture(scope="module")
def batches():
    """Endless batches of 6 labeled and 12 unlabeled images of 8x8 pixels, as `fit` gets them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
    labels = np.concatenate([rng.integers(3, size=30), np.full(30, -1)])
    data = mpl_tf.data.pair(
        (images, labels), labeled_batch=6, unlabeled_ratio=2, num_classes=3, seed=1
    )
    assert all(spec.shape.is_fully_defined() for spec in data.element_spec.values())
    drawn = list(data.take(3).as_numpy_iterator())  # once for all tests
    rows = {name: np.stack([batch[name] for batch in drawn]) for name in drawn[0]}
    return tf.data.Dataset.from_tensor_slices(rows).repeat()


def mlp(seed):
    return mpl_tf.NETWORKS["mlp"](3, (8, 8, 1), seed=seed, dropout=0.0)


def normalised(seed):
    """Convolutions and batch normalisation, as in a residual network."""
    layers = keras.layers
    seeds = (keras.initializers.GlorotUniform(seed=3 * seed + i) for i in range(3))
    x = inputs = keras.Input((8, 8, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for strides in (1, 2):
        x = layers.Conv2D(4, 3, strides, use_bias=False, kernel_initializer=next(seeds))(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.LeakyReLU(negative_slope=0.1)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, kernel_initializer=next(seeds))(x))


def make(build, jit_compile, **options):
    """A model, compiled; XLA draws other dropout masks, so there are none."""
    pair = (build(seed) for seed in (1, 2))
    model = mpl_tf.MetaPseudoLabels(*pair, uda_ramp_steps=2, uda_threshold=0.3, **options)
    schedules = (keras.optimizers.schedules.CosineDecay(0.1, 20) for _ in range(2))
    optimizers = (keras.optimizers.SGD(s, momentum=0.9, nesterov=True) for s in schedules)
    named = dict(zip(model.optimizers, optimizers, strict=True))
    model.compile(**named, weight_decay=1e-3, clip_norm=1.0, jit_compile=jit_compile)
    return model


def state(model):
    """dict of name -> value of all that a step moves."""
    holders = {
        **model.networks,
        "student_optimizer": model.student_optimizer,
        "teacher_optimizer": model.teacher_optimizer,
    }
    values = {
        f"{holder}/{i}": v.numpy()
        for holder, owner in holders.items()
        for i, v in enumerate(owner.variables)
    }
    scalars = (model.step, model.feedback_average, model.feedback_count)
    return values | {v.name: v.numpy() for v in scalars}


def step_functions(model, batches):
    """Definitions of the function that XLA compiles in `model.train_function`, and of its callees.

    Output shapes are in the attribute `_output_shapes` of every node.
    """
    graph = model.make_train_function().get_concrete_function(iter(batches)).graph
    definition = graph.as_graph_def(add_shapes=True)
    library = {function.signature.name: function for function in definition.library.function}
    called = {name for node in definition.node for name in callees(node)}
    waiting = [name for name in called & library.keys() if compiled(library[name])]
    reached = {}
    while waiting:
        name = waiting.pop()
        if name in library and name not in reached:
            reached[name] = library[name]
            waiting += [callee for node in library[name].node_def for callee in callees(node)]
    return list(reached.values())


def callees(node):
    """Names of the functions that a node calls or hands on."""
    values = node.attr.values()
    return {node.op} | {f.name for v in values for f in (v.func, *v.list.func) if f.name}


def compiled(function):
    return function.attr["_XlaMustCompile"].b


@pytest.mark.parametrize(
    ("build", "feedback"),
    [(mlp, "exact"), (mlp, "sampled"), (normalised, "exact"), (normalised, "sampled")],
)
def test_the_compiled_step_equals_the_ordinary_one(build, feedback, batches):
    ordinary, xla = (make(build, jit, feedback=feedback) for jit in (False, True))
    start = state(xla)
    for model in (ordinary, xla):
        model.fit(batches, steps_per_epoch=3, verbose=0)
    ordinary, xla = state(ordinary), state(xla)
    for name, value in ordinary.items():
        np.testing.assert_allclose(xla[name], value, rtol=1e-5, atol=5e-6, err_msg=name)
    moved = {name.split("/")[0] for name in start if not np.array_equal(start[name], xla[name])}
    learned = {"feedback_average", "feedback_count"} if feedback == "sampled" else set()
    assert moved == learned | {
        *("teacher", "student", "ema", "student_optimizer", "teacher_optimizer", "step")
    }


@pytest.mark.parametrize("options", [{}, {"feedback": "sampled", "joint_views": False}])
def test_nothing_in_the_compiled_step_leaves_the_device_or_has_a_shape_of_its_own(options, batches):
    model = make(normalised, True, **options)
    functions = step_functions(model, batches)
    nodes = [node for function in functions for node in function.node_def]
    assigned = {node.input[0] for node in nodes if node.op.startswith("Assign")}
    assert len(assigned) >= len(state(model)) - 4, "the whole step"  # rates and baseline may rest
    assert not {node.op for node in nodes} & (HOST | DYNAMIC | CONDITIONAL)
    for function in functions:
        types = [arg.type for arg in function.signature.input_arg]
        shapes = function.attr["_input_shapes"].list.shape
        assert len(shapes) == len(types) and not any(map(unknown, shapes))
    for node in nodes:
        shapes = node.attr["_output_shapes"].list.shape
        assert not any(map(unknown, shapes)), node
    without = [n.op for n in nodes if "_output_shapes" not in n.attr]
    assert set(without) <= {"NoOp", "AssignVariableOp", "AssignAddVariableOp"}  # they have none


def unknown(shape):
    """Whether a TensorShapeProto leaves a size open."""
    return shape.unknown_rank or any(dim.size < 0 for dim in shape.dim)


# For each kind of feedback, how many passes run forward, how many of them backward too, and whether
# one of these is differentiated once more.
@pytest.mark.parametrize(
    ("feedback", "forward", "backward", "twice"),
    [("exact", 3, 3, 1), ("dot", 3, 3, 0), ("sampled", 4, 2, 0), ("none", 2, 2, 0)],
)
@pytest.mark.parametrize("joint", [True, False])
def test_no_pass_runs_whose_result_is_not_needed(
    feedback, forward, backward, twice, joint, batches
):
    model = make(normalised, True, feedback=feedback, joint_views=joint)
    (function,) = step_functions(model, batches)
    ran = collections.Counter(node.op for node in executed(function))
    forward += not joint  # the weak view, which is a target and needs no gradient
    # The network has two convolutions, and its images need no gradient. Differentiating once more
    # adds a convolution along each kernel and one along what the second of them is given.
    assert ran["Conv2D"] == 2 * forward + 3 * twice
    assert ran["Conv2DBackpropFilter"] == 2 * backward
    assert ran["Conv2DBackpropInput"] == backward


def executed(function):
    """The nodes of a function definition on which a result or an assignment depends."""
    nodes = {node.name: node for node in function.node_def}
    waiting = [value.partition(":")[0] for value in function.ret.values()]
    waiting += [node.name for node in function.node_def if node.op.startswith("Assign")]
    reached = {}
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in reached:
            reached[name] = nodes[name]
            waiting += [source.lstrip("^").partition(":")[0] for source in nodes[name].input]
    return reached.values()
