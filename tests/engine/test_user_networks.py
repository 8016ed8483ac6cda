"""Networks that users bring: what is refused, and copies that answer alike."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine.user_networks import copy_network
from mpl_tf.options import ConfigError

SHAPE, K = (6, 6, 1), 3


def network(*middle, **head):
    inputs = keras.Input(SHAPE)
    x = inputs
    for layer in middle:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(K, **head)(keras.layers.Flatten()(x)))


@keras.saving.register_keras_serializable("tests")
class Remembering(keras.layers.Layer):
    """Adds a number that is no weight."""

    offset = 0.0

    def call(self, x):
        return x + self.offset


@keras.saving.register_keras_serializable("tests")
class AddsLoss(keras.layers.Layer):
    """Has a loss of its own."""

    def call(self, x):
        self.add_loss(keras.ops.mean(x))
        return x


def normalization(rng, nested=False):
    layer = keras.layers.Normalization()
    layer.adapt(rng.uniform(0, 255, (50, *SHAPE)))
    return keras.Sequential([keras.Input(SHAPE), layer]) if nested else layer


@pytest.mark.parametrize("nested", [False, True])
def test_an_adapted_normalization_is_copied(nested, rng):
    model = network(normalization(rng, nested))
    images = rng.uniform(0, 255, (4, *SHAPE))
    np.testing.assert_allclose(copy_network(model)(images), model(images), rtol=1e-5, atol=1e-5)
    method = mpl_tf.FixMatch(model)
    np.testing.assert_allclose(method.ema(images), model(images), rtol=1e-5, atol=1e-5)


def test_a_state_that_is_no_weight_is_refused():
    layer = Remembering()
    layer.offset = 300.0
    with pytest.raises(ConfigError, match=r"differ by up to .*a state that is no weight"):
        mpl_tf.FixMatch(network(layer))


class Subclassed(keras.Model):
    """A network that hides its layers."""

    def __init__(self, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(K, activation=activation)

    def call(self, x):
        return self.dense(self.flatten(x))


class WithoutConfig(keras.layers.Layer):
    """Does not say what it was made of."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return self.factor * x


class Failing(keras.layers.Layer):
    """Cannot be called on images."""

    def call(self, x):
        if tf.executing_eagerly():
            raise RuntimeError("no such luck")
        return x


def called(model):
    model(np.zeros([1, *SHAPE], np.float32))
    return model


def of_inputs(*shapes):
    inputs = [keras.Input(shape, name=f"input_{number}") for number, shape in enumerate(shapes)]
    pooled = [keras.layers.GlobalAveragePooling2D()(each) for each in inputs]
    joint = keras.layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], keras.layers.Dense(K)(joint))


def wrapped(model):
    """As the messages advise."""
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, model(inputs))


REFUSED = {
    "a subclass": (
        lambda: called(Subclassed()),
        "received Subclassed, a subclass. Wrap it: inputs",
    ),
    "images of any size": (
        lambda: of_inputs((None, None, 1)),
        r"one size, which its export needs too; received \(None, None, 1\). Wrap it: inputs",
    ),
    "two inputs": (lambda: of_inputs(SHAPE, SHAPE), "network of 2 inputs: input_0, input_1"),
    "hidden softmax": (lambda: wrapped(Subclassed("softmax")), "its outputs are probabilities"),
    "no get_config": (
        lambda: network(WithoutConfig(2.0)),
        r"layer 'without_config', a WithoutConfig, cannot be copied.*get_config\(\)",
    ),
    "a layer that fails": (
        lambda: network(Failing()),
        r"fails on images of shape \(6, 6, 1\): .*no such luck",
    ),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_networks_that_no_method_can_use_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        mpl_tf.FixMatch(build())


@pytest.mark.parametrize("model", [Subclassed(), "small", keras.layers.Dense(K)])
def test_what_is_no_built_model_is_refused(model):
    with pytest.raises(
        ValueError, match=r"student must be a keras.Model that is built, .* received"
    ):
        mpl_tf.FixMatch(model)


TAKEN = {
    "a wrapped subclass": lambda: wrapped(Subclassed()),
    "a wrapped one of any size": lambda: wrapped(of_inputs((None, None, 1))),
    "lambdas": lambda: network(
        keras.layers.Lambda(lambda x: x / 255.0),
        keras.layers.Lambda(lambda x, by: x[:, ::by], arguments={"by": 2}),
    ),
    "a nested lambda": lambda: network(
        keras.Sequential([keras.Input(SHAPE), keras.layers.Lambda(lambda x: x - 1.0)])
    ),
}


@pytest.mark.parametrize("build", TAKEN.values(), ids=TAKEN)
def test_networks_that_are_taken_train_and_export(build, rng, tmp_path):
    images = rng.integers(0, 256, (12, *SHAPE)).astype(np.uint8)
    method = mpl_tf.Supervised(build())
    method.compile("sgd")
    data = mpl_tf.data.pair((images, np.arange(12) % K), labeled_batch=3, method=method)
    method.fit(data, steps_per_epoch=1, verbose=0)
    probabilities = method.predict(images, verbose=0)
    serve = tf.saved_model.load(method.export(str(tmp_path))).signatures["serving_default"]
    answer = serve(images=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(answer, probabilities, atol=1e-5)


def test_networks_made_outside_of_the_scope_or_of_another_are_refused():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        inside = network()
    message = r"student must be made in the scope of the method's strategy, {}"
    with pytest.raises(ConfigError, match=message.format("OneDeviceStrategy")):
        mpl_tf.FixMatch(network(), strategy=strategy)
    with pytest.raises(ConfigError, match=message.format("_DefaultDistributionStrategy")):
        mpl_tf.FixMatch(inside)
    mpl_tf.FixMatch(inside, strategy=strategy)


@pytest.mark.parametrize("seed", [None, 1.5, "1", 2**63])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ConfigError, match="seed must be a whole number of 64 bits; received"):
        mpl_tf.FixMatch(network(), seed=seed)


def frozen():
    model = network()
    model.trainable = False
    return model


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: network(kernel_regularizer="l2"), r"losses of its own \(dense.*weight_decay"),
        (lambda: network(AddsLoss()), r"losses of its own \(by add_loss\)"),
        (lambda: network(activity_regularizer="l1"), "losses of its own"),
    ],
)
def test_networks_whose_settings_have_no_effect_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        mpl_tf.Supervised(build())


def test_a_sequential_model_that_was_built_and_never_called_is_taken(rng):
    sequential = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(K)])
    sequential.build((None, *SHAPE))
    images = rng.uniform(0, 255, (4, *SHAPE)).astype(np.float32)
    probabilities = mpl_tf.Supervised(sequential).predict(images, verbose=0)
    assert probabilities.shape == (4, K)


def test_networks_that_share_weights_are_refused():
    base = keras.layers.Conv2D(2, 3, name="shared")
    with pytest.raises(ValueError, match=r"share 2, for example shared/kernel"):
        mpl_tf.MetaPseudoLabels(network(base), network(base))


def test_a_frozen_student_is_refused_and_a_frozen_teacher_that_comes_trained_is_not():
    with pytest.raises(ValueError, match="optimizer has no weight to train: all layers of"):
        mpl_tf.Supervised(frozen()).compile("sgd")
    method = mpl_tf.PseudoLabel(frozen(), network())
    method.compile(student_optimizer="sgd", teacher_optimizer=None)
    with pytest.raises(ValueError, match="teacher_optimizer has no weight to train"):
        method.compile(student_optimizer="sgd", teacher_optimizer="sgd")


def test_some_layers_may_be_frozen():
    base = keras.layers.Conv2D(2, 3)
    base.trainable = False
    assert len(mpl_tf.FixMatch(network(base)).ema.trainable_variables) == 2


@keras.saving.register_keras_serializable("tests")
class Outer(keras.layers.Layer):
    """A layer with a layer in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Conv2D(2, 3)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)

    def compute_output_shape(self, shape):
        return self.inner.compute_output_shape(shape)


@pytest.mark.parametrize("frozen", [lambda layer: layer, lambda layer: layer.kernel])
def test_a_layer_or_weight_that_is_frozen_inside_of_a_layer_is_not_finetuned(frozen, rng):
    outer = Outer()
    images = rng.integers(0, 256, (12, *SHAPE)).astype(np.uint8)
    data = mpl_tf.data.pair(
        (images, np.arange(12) % K), labeled_batch=3, unlabeled_ratio=1, weak=None, strong=None
    )
    model = network(outer)
    frozen(outer.inner).trainable = False
    method = mpl_tf.FixMatch(model)
    method.compile("sgd")
    names = [variable.name for variable in model.trainable_variables]
    assert [variable.name for variable in method.ema.trainable_variables] == names
    method.finetune(data, steps=2, optimizer=keras.optimizers.SGD(1.0), verbose=0)
    (copy,) = [layer for layer in method.finetuned.layers if isinstance(layer, Outer)]
    np.testing.assert_array_equal(copy.inner.kernel.numpy(), outer.inner.kernel.numpy())


def test_float16_inside_of_a_nested_network_scales_losses():
    inner = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(2, 3, dtype="mixed_float16")])
    method = mpl_tf.Supervised(network(inner, dtype="float32"))
    method.compile("sgd")
    assert isinstance(method.student_optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("freeze", [True, False])
def test_layers_frozen_or_unfrozen_after_compile_are_refused(freeze, rng):
    layer = keras.layers.Conv2D(2, 3)
    layer.trainable = freeze
    images = rng.integers(0, 256, (12, *SHAPE)).astype(np.uint8)
    data = mpl_tf.data.pair(
        (images, np.arange(12) % K), labeled_batch=3, unlabeled_ratio=1, weak=None, strong=None
    )
    method = mpl_tf.FixMatch(network(layer))
    method.compile("sgd")
    layer.trainable = not freeze
    with pytest.raises(ValueError, match="frozen or unfrozen after compile: optimizer was made"):
        method.fit(data, steps_per_epoch=1)


@pytest.mark.parametrize("nested", [False, True])
def test_layers_frozen_before_compile_are_frozen_in_all_copies(nested, rng):
    """In the moving average, which learns its batch statistics alike, and in finetuning."""
    frozen_layer = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input(SHAPE), frozen_layer]) if nested else frozen_layer
    images = rng.integers(0, 256, (12, *SHAPE)).astype(np.uint8)
    data = mpl_tf.data.pair(
        (images, np.arange(12) % K), labeled_batch=3, unlabeled_ratio=1, weak=None, strong=None
    )
    method = mpl_tf.FixMatch(network(inner))
    inner.trainable = False
    method.compile("sgd")
    names = [variable.name for variable in method.student.trainable_variables]
    assert [variable.name for variable in method.ema.trainable_variables] == names
    method.finetune(data, steps=2, optimizer=keras.optimizers.SGD(1.0), verbose=0)
    gamma, beta, *_ = method.finetuned.get_weights()
    np.testing.assert_array_equal([gamma, beta], [[1.0], [0.0]])
    inner.trainable = True
    method.compile("sgd")
    assert len(method.ema.trainable_variables) == len(names) + 2
