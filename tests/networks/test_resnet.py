"""Residual networks: numbers of parameters, blocks, strides, names."""

import keras
import numpy as np
import pytest

from mpl_tf.networks import find, parts, resnet
from mpl_tf.options import ConfigError

SMALL = {"depth": 14, "width": 0.125}


def backbone(**arguments):
    return parts.backbone(resnet.build(3, **arguments))


def convolutions(network):
    return [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet_50", 25_557_032),
        ("resnet_152", 60_192_808),
        ("resnext_101_32x48d", 828_411_176),
        ("resnext_101_64x4d", 83_455_272),
        ("se_resnext_50_32x4d", 27_559_896),
        ("senet_154", 115_088_984),
    ],
)
def test_number_of_parameters(name, parameters, count):
    assert count(name) == parameters


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet_18", 11_689_512),
        ("resnet_34", 21_797_672),
        ("resnet_101", 44_549_160),
        ("resnet_152_v1", 60_192_808),
        ("resnext_50_32x4d", 25_028_904),
        ("resnext_101_32x8d", 88_791_336),
        ("resnext_101_32x16d", 194_026_792),
        ("resnext_101_32x32d", 468_530_472),
        ("se_resnet_50", 28_088_024),
    ],
)
def test_number_of_parameters_of_others(name, parameters, count):
    assert count(name) == parameters


def test_counts_without_weights_are_those_of_built_networks(count):
    network = find("senet_16x0.5")(1000, (64, 64, 3))
    built = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert count("senet_16x0.5", 64) == built


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("v1.5", [(1, 1, 16), (1, 1, 64), (1, 2, 64), (3, 2, 16)]),
        ("v1", [(1, 1, 64), (1, 2, 16), (1, 2, 64), (3, 1, 16)]),
        ("senet", [(1, 1, 8), (1, 1, 64), (3, 2, 16), (3, 2, 64)]),
    ],
)
def test_kernels_strides_and_channels_of_a_block(variant, expected):
    network = backbone(input_shape=(32, 32, 3), variant=variant, **SMALL)
    start, end = [x for x in network.layers if isinstance(x, keras.layers.Add)][:2]
    second_stage = keras.Model(start.output, end.output)
    made = [(x.kernel_size[0], x.strides[0], x.filters) for x in convolutions(second_stage)]
    assert sorted(made) == expected


@pytest.mark.parametrize(
    ("side", "stem", "depth", "more", "sizes"),
    [
        (32, "auto", 10, {}, [32, 16, 8, 4]),
        (63, "auto", 10, {}, [63, 32, 16, 8]),
        (64, "auto", 10, {}, [16, 8, 4, 2]),
        (32, "large", 10, {}, [8, 4, 2, 1]),
        (64, "small", 10, {}, [64, 32, 16, 8]),
        (64, "large", 14, {"variant": "senet"}, [16, 8, 4, 2]),
    ],
)
def test_the_stem_and_the_stages_divide_the_image(side, stem, depth, more, sizes):
    made = backbone(input_shape=(side, side, 3), stem=stem, depth=depth, width=0.125, **more)
    added = [x.output.shape[1] for x in made.layers if isinstance(x, keras.layers.Add)]
    assert added == sizes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet_51", "depth of a ResNet must be one of 10, 14, 18, 26, 34, 50, .*received 51"),
        ("resnet_50x0", "at least one group, one channel in the first stage .*received width=0"),
        ("resnet_50x1000", "width, which is at most 64.*width=1000"),
        ("resnext_50", "resnext names its groups, and no other does: resnext_50_32x4d"),
        ("resnet_50_32x4d", "resnext names its groups, and no other does: .*see resnet_50"),
        ("resnext_50_0x4d", "at least one group"),
        ("resnext_50_2x1dx0.5", r"one in a group there .*width=0.5, groups=2, group_width=1"),
        ("resnext_18_2x4d", "of 18 layers has blocks of two 3x3 .*are those of 14, 26, 50"),
        ("resnet_18_v1", "_v1, the stride in the first 1x1 .* is for resnet_ of 14.*resnet_18_v1"),
        ("senet_50", "senet_DEPTH has one of 16, 28, 52, 103, 154, 202 layers; received senet_50"),
        ("senet_16x0.25", "groups of a SENet are an even number of channels .*width=0.25"),
        ("se_senet_154", "received se_senet_154"),
    ],
)
def test_other_networks_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find(name)


def test_stem_and_variant_are_checked():
    with pytest.raises(ConfigError, match="stem must be one of auto, small, large; received 'tin"):
        backbone(input_shape=(8, 8, 1), stem="tiny", **SMALL)
    with pytest.raises(ConfigError, match=r"variant must be one of v1\.5, v1, senet; received"):
        backbone(input_shape=(8, 8, 1), variant="v2", **SMALL)
