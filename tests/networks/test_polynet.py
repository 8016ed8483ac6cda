"""PolyNet: polynomials of units, and their scales."""

import numpy as np
import pytest
from keras import layers

from mpl_tf.networks import parts, polynet


@pytest.fixture(scope="module")
def backbone():
    blocks = (1, 2, 1)
    return parts.backbone(polynet.build(3, (75, 75, 1), blocks=blocks, width=0.0625, drop_path=0.3))


def maker(tensor):
    return tensor._keras_history.operation


def test_the_powers_of_a_poly_3_share_the_convolutions_of_their_branches(backbone):
    convolutions = [x for x in backbone.layers if isinstance(x, layers.Conv2D)]
    shared = [x for x in convolutions if len(x._inbound_nodes) > 1]
    # Stages B and C begin with a poly-3, each of four convolutions in its branches.
    assert [len(x._inbound_nodes) for x in shared] == [3] * 8
    assert sorted(x.kernel_size for x in shared) == sorted(
        [(1, 1), (1, 7), (7, 1), (1, 1), (1, 1), (1, 3), (3, 1), (1, 1)]
    )
    for first in (shared[0], shared[4]):
        taken = [node.input_tensors[0] for node in first._inbound_nodes]
        for power in taken[1:]:  # relu(normalisation(1x1(...))) of the power before
            assert isinstance(maker(power), layers.ReLU)
            normalisation = maker(maker(power).input)
            assert isinstance(normalisation, layers.BatchNormalization)
            assert maker(normalisation.input).filters == taken[0].shape[-1]


def test_a_module_adds_the_scaled_sum_of_its_powers_or_ways(backbone):
    scaled = [x for x in backbone.layers if isinstance(x, layers.Rescaling)][1:]
    np.testing.assert_allclose([x.scale for x in scaled], [1, 0.9, 0.8, 0.7])
    assert [len(maker(x.input).input) for x in scaled] == [2, 3, 2, 3]


def test_a_unit_is_dropped_at_a_rate_that_grows_with_depth(backbone):
    drops = [x for x in backbone.layers if isinstance(x, layers.Dropout)]
    assert all(x.noise_shape == (None, 1, 1, 1) for x in drops)
    rates = np.repeat([0, 0.1, 0.2, 0.3], [2, 3, 2, 3])
    np.testing.assert_allclose(sorted(x.rate for x in drops), rates, atol=1e-9)
