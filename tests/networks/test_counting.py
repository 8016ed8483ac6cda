"""Multiply-adds of layers, against the numbers that their shapes give by hand."""

import keras
import pytest
import tensorflow as tf
from keras import layers

from mpl_tf.networks import NETWORKS
from mpl_tf.networks.passes import Passes
from mpl_tf.networks.unallocated import unallocated
from mpl_tf.options import ConfigError


def network(*made):
    model = keras.Sequential([keras.Input((8, 6, 4)), *made])
    return Passes(model)


def counted(operations):
    return sum(each.multiply_adds.of(1) for each in operations)


def nested():
    return keras.Sequential([keras.Input((8, 6, 4)), layers.Conv2D(5, 3), layers.ReLU()])


class Attention(layers.Layer):
    """Self-attention of 8 * 6 places, 2 heads of 3."""

    def __init__(self):
        super().__init__()
        self.places = layers.Reshape((48, 4))
        self.attention = layers.MultiHeadAttention(2, 3)

    def call(self, x):
        x = self.places(x)
        return self.attention(x, x)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([layers.Flatten(), layers.Dense(7)], 192 * 7),
        ([layers.Dense(7)], 48 * 4 * 7),
        ([layers.Conv2D(5, 3)], 6 * 4 * 5 * 9 * 4),
        ([layers.Conv2D(5, (3, 1), strides=2, padding="same")], 4 * 3 * 5 * 3 * 4),
        ([layers.Conv2D(6, 3, groups=2, padding="same")], 48 * 6 * 9 * 2),
        ([layers.Conv2D(5, 3, dilation_rate=2, padding="same")], 48 * 5 * 9 * 4),
        ([layers.DepthwiseConv2D(3, depth_multiplier=2)], 6 * 4 * 4 * 2 * 9),
        ([layers.SeparableConv2D(5, 3, padding="same")], 48 * 4 * 9 + 48 * 4 * 5),
        ([layers.Conv2DTranspose(5, 2, strides=2)], 48 * 5 * 4 * 4),
        ([layers.Reshape((48, 4)), layers.Conv1D(5, 3)], 46 * 5 * 3 * 4),
        ([layers.TimeDistributed(layers.Conv1D(5, 2))], 8 * 5 * 5 * 2 * 4),
        ([layers.EinsumDense("bhwc,hcd->bhd", (8, 5))], 8 * 6 * 4 * 5),
        ([Attention()], 4 * 48 * 4 * 6 + 2 * 2 * 48 * 48 * 3),
        ([nested(), layers.Flatten(), layers.Dense(2)], 6 * 4 * 5 * 36 + 120 * 2),
        (
            [
                layers.BatchNormalization(),
                layers.MaxPooling2D(),
                layers.AveragePooling2D(2),
                layers.Activation("gelu"),
                layers.Dropout(0.5),
                layers.GlobalAveragePooling2D(),
                layers.Softmax(),
                layers.Rescaling(2.0),
            ],
            0,
        ),
    ],
)
def test_a_layer_by_hand(made, expected):
    assert counted(network(*made).inference) == expected


def test_what_is_not_known_is_named_and_not_left_out():
    turned = layers.Lambda(lambda x: tf.cast(tf.signal.fft2d(tf.cast(x, tf.complex64)), tf.float32))
    turned.name = "turned"
    with pytest.raises(ConfigError, match=r"turned.*FFT2D, is not among the operations"):
        _ = network(turned).inference


def test_a_network_by_hand():
    passes = Passes(NETWORKS["wide_resnet_10_1"](10, (8, 8, 3)))
    first = 64 * 16 * 9 * 3
    group = 2 * 64 * 16 * 16 * 9
    halved = sum(
        places * (9 * c * c // 2 + c * c // 2 + 9 * c * c) for places, c in ((16, 32), (4, 64))
    )
    assert counted(passes.inference) == first + group + halved + 64 * 10


def test_a_published_count():
    with unallocated():
        passes = Passes(NETWORKS["resnet_50"](1000, (224, 224, 3)))
    assert passes.trainable == 25_557_032
    assert counted(passes.inference) == 4_089_184_256  # "4.1 G"


def test_backward_is_twice_forward_but_for_the_gradient_by_images():
    made = [layers.Conv2D(5, 3, groups=1), layers.DepthwiseConv2D(3), layers.Flatten()]
    passes = network(*made, layers.Dense(2))
    convolution, depthwise, dense = 24 * 5 * 36, 8 * 5 * 9, 40 * 2
    forward = convolution + depthwise + dense
    again = [counted(part) for part in passes.by_weights_twice.operations]
    assert again == [forward, 2 * forward - convolution, 2 * forward - convolution]
    assert [counted(part) for part in passes.by_images.operations] == [forward, forward, 0]


def test_kernels_that_are_not_held():
    with unallocated():
        inputs = keras.Input((60_000,))
        x = layers.Dense(80_000, name="large")(inputs)
        model = keras.Model(inputs, layers.Dense(2)(layers.BatchNormalization()(x)))
    passes = Passes(model)
    assert passes.trainable == 60_001 * 80_000 + 2 * 80_000 + 160_002
    assert passes.other == 160_000
    assert counted(passes.inference) == 80_000 * 60_002
    kernel, bias = model.get_layer("large").get_weights()
    assert kernel.shape == (60_000, 80_000) and kernel.strides == (0, 0) and not bias.any()
    assert layers.Dense(2)(tf.ones((1, 3))).shape == (1, 2)  # as always outside
