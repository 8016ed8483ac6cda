"""Networks that users bring: what is refused, and copies that answer alike."""

import keras
import numpy as np
import pytest

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
    np.testing.assert_allclose(copy_network(model)(images), model(images), rtol=1e-5)
    method = mpl_tf.FixMatch(model)
    np.testing.assert_allclose(method.ema(images), model(images), rtol=1e-5)


def test_a_state_that_is_no_weight_is_refused():
    layer = Remembering()
    layer.offset = 300.0
    with pytest.raises(ConfigError, match=r"differ by up to .*a state that is no weight"):
        mpl_tf.FixMatch(network(layer))


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


@pytest.mark.parametrize("freeze", [True, False])
def test_layers_frozen_or_unfrozen_after_compile_are_refused(freeze, rng):
    layer = keras.layers.Conv2D(2, 3)
    layer.trainable = freeze
    images = rng.integers(0, 256, (12, *SHAPE)).astype(np.uint8)
    data = mpl_tf.data.pair((images, np.arange(12) % K), labeled_batch=3, unlabeled_ratio=1)
    method = mpl_tf.FixMatch(network(layer))
    method.compile("sgd")
    layer.trainable = not freeze
    with pytest.raises(ValueError, match="frozen or unfrozen after compile: optimizer was made"):
        method.fit(data, steps_per_epoch=1)
