"""BiT: numbers of parameters, standardised kernels, names."""

import keras
import numpy as np
import pytest

from mpl_tf.networks import bit, find, parts
from mpl_tf.networks.convolutions import StandardizedConvolution
from mpl_tf.networks.pooling import OverlappingMaxPooling
from mpl_tf.options import ConfigError


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bit_50x1", 25_549_352),
        ("bit_152x4", 936_533_224),
    ],
)
def test_number_of_parameters(name, parameters, count):
    assert count(name) == parameters


def test_a_kernel_is_standardised(rng):
    layer = StandardizedConvolution(4, 3, use_bias=False)
    x = rng.normal(size=(2, 5, 5, 3)).astype(np.float32)
    layer.build(x.shape)
    kernel = rng.normal(2.0, 3.0, size=(3, 3, 3, 4))
    layer.kernel.assign(kernel)
    plain = keras.layers.Conv2D(4, 3, use_bias=False)
    plain.build(x.shape)
    plain.kernel.assign((kernel - kernel.mean((0, 1, 2))) / kernel.std((0, 1, 2)))
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-4, atol=1e-4)


def test_features_do_not_change_with_offset_and_scale_of_kernels(rng):
    backbone = parts.backbone(bit.build(3, (32, 32, 3), depth=14, width=0.5))
    images = rng.integers(0, 256, (2, 32, 32, 3))
    before = np.asarray(backbone(images))
    for layer in backbone.layers:
        if isinstance(layer, StandardizedConvolution):
            layer.kernel.assign(3 * layer.kernel + 0.1)
    np.testing.assert_allclose(backbone(images), before, rtol=1e-3, atol=1e-3 * np.ptp(before))
    kinds = [x for x in backbone.layers if isinstance(x, keras.layers.Conv2D)]
    assert all(isinstance(x, StandardizedConvolution) for x in kinds) and len(kinds) == 17


def test_a_shortcut_is_a_convolution_of_what_the_block_takes():
    backbone = parts.backbone(bit.build(3, (32, 32, 3), depth=14, width=0.5))
    made = [x for x in backbone.layers if isinstance(x, StandardizedConvolution)]
    for add in (x for x in backbone.layers if isinstance(x, keras.layers.Add)):
        (shortcut,) = (x for x in made if x.output is add.input[0])
        twins = [x for x in made if x.input is shortcut.input]
        assert sorted(x.filters for x in twins) == [shortcut.filters // 4, shortcut.filters]


def test_zeros_stand_around_what_the_stem_pools():
    x = -np.ones((1, 4, 4, 1), np.float32)
    expected = [[0, 0], [0, -1]]
    np.testing.assert_array_equal(OverlappingMaxPooling(border=0.0)(x)[0, :, :, 0], expected)
    layers = parts.backbone(bit.build(3, (32, 32, 3), depth=14, width=0.5)).layers
    assert [x.border for x in layers if isinstance(x, OverlappingMaxPooling)] == [0.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bit_51x1", "depth of a BiT must be one of 14, 26, 50, 101, 152, 200; received 51"),
        ("bit_50x0.25", "a multiple of 0.5 and at most 64, .*; received 0.25"),
        ("bit_50x0", "received 0"),
    ],
)
def test_other_networks_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find(name)
