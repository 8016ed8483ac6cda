"""A network for images of another size, with the same weights."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from mpl_tf import networks
from mpl_tf.networks import parts
from mpl_tf.networks.resized import resized
from mpl_tf.options import ConfigError


def images(side, channels=3):
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "side", "other"),
    [("small_4", 8, 12), ("resnet_14x0.125", 64, 48)],
)
def test_it_is_the_network_that_is_built_for_that_size(name, side, other):
    build = networks.find(name)
    network = build(3, (side, side, 3), seed=1)
    made = resized(network, (other, other))
    # That for images of 64 pixels is not that for smaller ones.
    stem = {"stem": "large"} if networks.takes_stem(name) else {}
    expected = build(3, (other, other, 3), seed=2, **stem)
    expected.set_weights(network.get_weights())
    assert made.input_shape == (None, other, other, 3)
    np.testing.assert_array_equal(made(images(other)), expected(images(other)))
    assert parts.has_parts(made) == parts.has_parts(network)
    assert {id(v) for v in made.variables} == {id(v) for v in network.variables}
    assert len(made.weights) == len(network.weights)
    assert resized(network, (side, side)) is network


def test_models_inside_a_network_are_for_that_size_too():
    inside = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()]
    )
    network = keras.Sequential([keras.Input((8, 8, 3)), inside, layers.Dense(2)])
    made = resized(network, (9, 11))
    x = np.random.default_rng(0).normal(size=(2, 9, 11, 3)).astype(np.float32)
    maps = inside.layers[0](x)
    expected = network.layers[-1](keras.ops.max(maps, axis=(1, 2)))
    np.testing.assert_allclose(made(x), expected, rtol=1e-6)
    assert made.name == network.name


@pytest.mark.parametrize(
    ("name", "side", "other", "reason"),
    [
        ("mlp", 8, 12, r"its layer dense\w* \(Dense\) cannot take \[144\] an image"),
        ("vit_1_8_4", 8, 12, "it learns a position for each patch of its images"),
        # As many patches as in 8 pixels, and two pixels that no patch holds.
        ("vit_1_8_4", 8, 10, "it learns a position for each patch of its images"),
        ("small_4", 8, 1, r"its layer max_pooling\w* \(MaxPooling\) cannot take \[1, 1, 4\] an"),
    ],
)
def test_a_network_for_one_size_is_refused(name, side, other, reason):
    network = networks.find(name)(3, (side, side, 1))
    with pytest.raises(ConfigError) as error:
        resized(network, (other, other))
    message = str(error.value)
    assert f"is made for images of {side}x{side} pixels, and cannot be used on {other}x" in message
    assert re.search(reason, message) and "Keras" not in message and "\x1b" not in message
    assert message.endswith("as resnet_50 does.")


@keras.saving.register_keras_serializable(package="tests")
class Positions(keras.Layer):
    """Adds a weight to each place, and announces a shape without a look at it."""

    def build(self, shape):
        self.positions = self.add_weight(shape=shape[1:])

    def call(self, x):
        return x + self.positions

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_that_announces_another_shape_than_it_computes_is_found():
    x = inputs = keras.Input((4, 4, 1))
    x = layers.GlobalAveragePooling2D()(Positions()(x))
    with pytest.raises(ConfigError, match="cannot be used on 6x6: one of its layers gives another"):
        resized(keras.Model(inputs, x), (6, 6))


def test_a_network_of_features_has_no_size():
    inputs = keras.Input((5,))
    with pytest.raises(ConfigError, match=r"takes no images \[N, H, W, C\]"):
        resized(keras.Model(inputs, layers.Dense(2)(inputs)), (6, 6))
