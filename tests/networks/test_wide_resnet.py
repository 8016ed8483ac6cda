"""Wide-ResNet: size, wiring and initial weights."""

import keras
import numpy as np
import pytest

from mpl_tf.networks import wide_resnet
from mpl_tf.options import ConfigError


@pytest.fixture(scope="module")
def network():
    return wide_resnet.build(10, (32, 32, 3), seed=1)


def convolutions(network, size):
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    return [x for x in convolutions if x.kernel_size == (size, size)]


def trainable(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def test_the_number_of_parameters_of_28_2_is_this_sum(network):
    kernels = 9 * (
        (3 * 16)
        + (16 * 32 + 7 * 32 * 32)  # four blocks of two convolutions in each group
        + (32 * 64 + 7 * 64 * 64)
        + (64 * 128 + 7 * 128 * 128)
    )
    shortcuts = 16 * 32 + 32 * 64 + 64 * 128
    # Scale and offset, before each convolution of a block and at the end.
    batch_norm = 2 * ((16 + 7 * 32) + (32 + 7 * 64) + (64 + 7 * 128) + 128)
    head = 128 * 10 + 10
    assert (kernels, shortcuts, batch_norm, head) == (1_451_952, 10_752, 3_616, 1_290)
    assert trainable(network) == kernels + shortcuts + batch_norm + head == 1_467_610


@pytest.mark.parametrize(("depth", "blocks", "width"), [(10, 1, 1), (16, 2, 2), (10, 1, 3)])
def test_depth_gives_the_blocks_and_width_the_channels(depth, blocks, width):
    network = wide_resnet.build(4, (8, 8, 1), depth=depth, width=width)
    assert len(convolutions(network, 3)) == 1 + 3 * blocks * 2
    groups = {16 * width, 32 * width, 64 * width}
    assert {x.filters for x in convolutions(network, 3)} == groups | {16}
    assert len(convolutions(network, 1)) == (2 if width == 1 else 3)
    assert network.output_shape == (None, 4)


def test_a_shortcut_convolution_takes_what_the_blocks_first_convolution_takes(network):
    shortcuts = convolutions(network, 1)
    assert len(shortcuts) == 3
    for shortcut in shortcuts:
        twins = [x for x in convolutions(network, 3) if x.input is shortcut.input]
        assert [(x.strides, x.filters) for x in twins] == [(shortcut.strides, shortcut.filters)]
        maker = shortcut.input._keras_history.operation
        assert isinstance(maker, keras.layers.LeakyReLU)
        assert maker.negative_slope == pytest.approx(0.2)


def test_the_second_and_third_group_halve_the_image(network):
    sizes = [x.output.shape[1] for x in convolutions(network, 3)]
    assert sizes == [32] * 9 + [16] * 8 + [8] * 8


def test_kernels_are_normal_with_variance_two_over_fan_out(network):
    for layer in convolutions(network, 3)[1:]:
        kernel = np.asarray(layer.kernel)
        expected = np.sqrt(2 / (9 * layer.filters))
        # Four standard errors of a standard deviation; then tails that truncation would cut off.
        assert kernel.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * kernel.size))
        assert np.abs(kernel).max() > 2.5 * expected


def test_dropout_is_before_the_head_alone():
    network = wide_resnet.build(3, (8, 8, 1), depth=10, width=1, dropout=0.3)
    drops = [x for x in network.layers if isinstance(x, keras.layers.Dropout)]
    assert [x.rate for x in drops] == [0.3]
    assert network.layers.index(drops[0]) == len(network.layers) - 2


@pytest.mark.parametrize(
    ("depth", "nearest"), [(27, "28"), (25, "22 or 28"), (9, "10"), (4, "10"), (-3, "10")]
)
def test_other_depths_are_refused_with_the_nearest(depth, nearest):
    with pytest.raises(ConfigError, match=rf"received {depth}, the nearest is {nearest}\."):
        wide_resnet.build(3, (8, 8, 1), depth=depth)


def test_width_is_at_least_one():
    with pytest.raises(ConfigError, match="at least 1; received 0"):
        wide_resnet.build(3, (8, 8, 1), width=0)
