"""LARS by hand, and within what carries a method."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import update
from mpl_tf.options import ConfigError

KERNEL = np.float32([[3.0, 0.0], [0.0, 4.0]])  # of length 5
BIAS = np.float32([1.0, -2.0])


def variables():
    return [keras.Variable(KERNEL, name="kernel"), keras.Variable(BIAS, name="bias")]


def steps(optimizer, gradients, made=None):
    """The values of the variables after steps with gradients [(of the kernel, of the bias)]."""
    made = made or variables()
    for gradient in gradients:
        optimizer.apply([tf.constant(g, tf.float32) for g in gradient], made)
    return [v.numpy() for v in made]


@pytest.mark.parametrize("nesterov", [False, True])
def test_two_steps_by_hand(nesterov):
    optimizer = mpl_tf.LARS(0.5, weight_decay=0.1, eta=0.2, nesterov=nesterov)
    gradients = [([[0.5, 0.0], [0.0, 0.0]], [1.0, 2.0]), ([[0.0, 0.2], [0.0, 0.1]], [0.0, 1.0])]
    ours = [steps(optimizer, [each], made) for made in [variables()] for each in gradients]
    # Step 1: g = (0.5 + 0.3, 0, 0, 0.4), of length sqrt(0.8), the weights' 5: trust 0.2 * 5 / that.
    move = 0.5 * (1.0 / np.sqrt(0.8)) * np.array([[0.8, 0.0], [0.0, 0.4]])
    velocity, of_bias = move, np.array([0.5, 1.0])
    kernel = KERNEL - (0.9 * velocity + move if nesterov else velocity)
    bias = BIAS - (1.9 * of_bias if nesterov else of_bias)
    np.testing.assert_allclose(ours[0][0], kernel, rtol=1e-6)
    np.testing.assert_allclose(ours[0][1], bias, rtol=1e-6)
    # Step 2, with what the kernel is now.
    g = np.array([[0.0, 0.2], [0.0, 0.1]]) + 0.1 * kernel
    move = 0.5 * 0.2 * np.linalg.norm(kernel) / np.linalg.norm(g) * g
    velocity, of_bias, step = 0.9 * velocity + move, 0.9 * of_bias + [0.0, 0.5], [0.0, 0.5]
    kernel = kernel - (0.9 * velocity + move if nesterov else velocity)
    bias = bias - (0.9 * of_bias + step if nesterov else of_bias)
    np.testing.assert_allclose(ours[1][0], kernel, rtol=1e-6)
    np.testing.assert_allclose(ours[1][1], bias, rtol=1e-6)


def test_a_layer_of_zeros_and_a_gradient_of_zeros_have_trust_1():
    optimizer = mpl_tf.LARS(0.5, momentum=0.0, eta=7.0)
    made = [keras.Variable(np.zeros([2, 2], np.float32)), keras.Variable(KERNEL)]
    gradient = np.float32([[1.0, 0.0], [0.0, -3.0]])
    zeros = np.zeros([2, 2])
    moved, kept = steps(optimizer, [(gradient, zeros)], made)
    np.testing.assert_array_equal(moved, -0.5 * gradient)
    np.testing.assert_array_equal(kept, KERNEL)


@pytest.mark.parametrize("shape", [(), (4,)])
@pytest.mark.parametrize("nesterov", [False, True])
def test_what_has_one_dimension_or_none_is_moved_by_sgd(shape, nesterov, rng):
    start, gradients = rng.normal(size=shape), rng.normal(size=(5, *shape))
    lars = mpl_tf.LARS(0.1, nesterov=nesterov, weight_decay=0.5)
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=nesterov)
    ours, theirs = (
        steps(each, [[g] for g in gradients], [keras.Variable(np.float32(start))])
        for each in (lars, sgd)
    )
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)


def test_a_trust_of_1_is_sgd_with_l2(rng):
    """With eta = |g| / |w| of every step nothing is adapted."""
    kernel = KERNEL.astype(float)
    velocity = np.zeros_like(kernel)
    made = [keras.Variable(KERNEL)]
    for g in rng.normal(size=(3, 2, 2)).astype(np.float32):
        decayed = g + 0.3 * kernel
        lars = mpl_tf.LARS(
            0.1, 0.9, weight_decay=0.3, eta=np.linalg.norm(decayed) / np.linalg.norm(kernel)
        )
        lars.build(made)
        lars.momentums[0].assign(velocity)
        lars.apply([tf.constant(g)], made)
        velocity = 0.9 * velocity + 0.1 * decayed
        kernel = kernel - velocity
        np.testing.assert_allclose(made[0].numpy(), kernel, rtol=1e-5)


def test_decay_is_not_keras_own():
    """Keras's would shrink the kernel by rate * decay, whatever the gradient."""
    optimizer = mpl_tf.LARS(1.0, momentum=0.0, weight_decay=0.5, eta=0.1)
    zeros = (np.zeros([2, 2]), np.zeros([2]))
    kernel, bias = steps(optimizer, [zeros])
    np.testing.assert_allclose(kernel, 0.9 * KERNEL, rtol=1e-6)  # |0.5 w| cancels in the trust
    np.testing.assert_array_equal(bias, BIAS)
    assert optimizer.weight_decay is None


def made_network(dtype="float32"):
    layers = [
        keras.layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(3)),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(4)),
    ]
    for layer in layers:
        layer.dtype_policy = dtype
    return keras.Sequential([keras.Input([3]), *layers])


def test_it_is_saved_and_restored_with_its_momentum(tmp_path, rng):
    schedule = mpl_tf.WarmupCosine(0.5, steps=20, warmup=4)
    optimizer = mpl_tf.LARS(schedule, momentum=0.8, nesterov=True, weight_decay=0.01, eta=0.05)
    network = made_network()
    network.compile(optimizer, "mse")
    x, y = rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 2)).astype("float32")
    network.fit(x, y, epochs=3, verbose=0, shuffle=False)
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    assert type(again.optimizer) is mpl_tf.LARS
    assert again.optimizer.get_config() == optimizer.get_config()
    assert again.optimizer.get_config()["weight_decay"] == 0.01
    for each in (network, again):
        each.fit(x, y, epochs=2, verbose=0, shuffle=False)
    for ours, theirs in zip(again.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_has_its_momentum(tmp_path):
    gradients = [(np.full([2, 2], 0.3), np.full([2], 0.2))] * 2
    optimizer, made = mpl_tf.LARS(0.5), variables()
    steps(optimizer, gradients, made)
    parts = {"optimizer": optimizer, **{v.name: v.value for v in made}}
    path = tf.train.Checkpoint(**parts).save(str(tmp_path / "state"))
    expected = steps(optimizer, gradients, made)
    other, fresh = mpl_tf.LARS(0.5), variables()
    other.build(fresh)
    parts = {"optimizer": other, **{v.name: v.value for v in fresh}}
    tf.train.Checkpoint(**parts).restore(path).assert_consumed()
    for ours, theirs in zip(steps(other, gradients, fresh), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_a_compiled_step_of_an_engine_is_an_eager_one(dtype, jit):
    """Through `prepare_optimizer` and `apply`; float16 gets a loss scale, which changes nothing."""
    networks = [made_network(dtype) for _ in range(2)]
    lars = [mpl_tf.LARS(0.5, weight_decay=0.01, eta=0.1) for _ in networks]
    eager, compiled = (
        update.prepare_optimizer(optimizer, network, "optimizer")
        for optimizer, network in zip(lars, networks, strict=True)
    )
    assert isinstance(eager, keras.optimizers.LossScaleOptimizer) == (dtype == "mixed_float16")
    gradient = [
        tf.fill(v.shape, 0.1 * (i + 1)) for i, v in enumerate(networks[0].trainable_weights)
    ]
    start = [v.numpy() for v in networks[0].trainable_weights]

    @tf.function(jit_compile=jit)
    def step():
        update.apply(compiled, gradient, networks[1].trainable_variables)

    for _ in range(3):
        update.apply(eager, gradient, networks[0].trainable_variables)
        step()
    pairs = zip(*(network.trainable_variables for network in networks), start, strict=True)
    for one, other, before in pairs:
        np.testing.assert_allclose(other.numpy(), one.numpy(), rtol=1e-5, atol=1e-7)
        assert not np.allclose(one.numpy(), before)


def test_an_overflow_leaves_it_as_it_is():
    network = made_network("mixed_float16")
    optimizer = update.prepare_optimizer(mpl_tf.LARS(0.5), network, "optimizer")
    start = [v.numpy() for v in network.trainable_variables]
    gradient = [tf.fill(v.shape, np.float32("inf")) for v in network.trainable_variables]
    update.apply(optimizer, gradient, network.trainable_variables)
    for variable, before in zip(network.trainable_variables, start, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.5}, "momentum must be a number from 0 to 1; received 1.5"),
        ({"eta": 0}, "eta must be a number over 0; received 0"),
        ({"weight_decay": -1e-6}, "weight_decay must be a number at least 0; received -1e-06"),
        ({"weight_decay": None}, "weight_decay.*received None"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        mpl_tf.LARS(0.1, **arguments)
