"""The random numbers of a batch: the same however it is divided, and independent of each other."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment.draws import Draws

SEED = tf.constant([3, 4], tf.int64)


def drawn(draws):
    """Draws of both types, and of children."""
    return [
        draws.uniform(0),
        draws.uniform(1, -2.0, 3.0, [2, 3]),
        draws.integers(2, -4, 5, [2]),
        draws.child(3).uniform(0),
        draws.child(3).child(1).integers(1, 0, 1000),
    ]


@pytest.mark.parametrize("cuts", [(0, 6, 12), (0, 5, 5, 6, 12), tuple(range(13))])
def test_parts_equal_the_whole(cuts):
    parts = [
        drawn(Draws(SEED, 12, first, last - first)) for first, last in itertools.pairwise(cuts)
    ]
    for i, whole in enumerate(drawn(Draws(SEED, 12))):
        np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), whole)


def test_without_a_count_the_rest_is_drawn():
    for part, whole in zip(drawn(Draws(SEED, 9, 4)), drawn(Draws(SEED, 9)), strict=True):
        np.testing.assert_array_equal(part, whole[4:])


def test_equal_seeds_give_equal_numbers_in_a_graph_too():
    compiled = tf.function(lambda seed: drawn(Draws(seed, 8)))
    other = drawn(Draws(SEED + 1, 8))
    for i, eager in enumerate(drawn(Draws(SEED, 8))):
        np.testing.assert_array_equal(compiled(SEED)[i], eager)
        assert not np.array_equal(other[i], eager)


def test_ranges_and_shapes():
    draws = Draws(SEED, 4000)
    x = draws.uniform(0, -2.0, 3.0, [2]).numpy()
    assert x.shape == (4000, 2) and x.dtype == np.float32
    assert x.min() >= -2 and x.max() < 3
    assert x.mean() == pytest.approx(0.5, abs=0.08) and x.std() == pytest.approx(
        5 / 12**0.5, rel=0.05
    )
    n = draws.integers(0, -1, 3).numpy()
    assert n.shape == (4000,) and n.dtype == np.int32
    np.testing.assert_allclose(np.bincount(n + 1) / 4000, [0.25] * 4, atol=0.035)


def test_indices_children_and_rows_are_independent():
    draws = Draws(SEED, 20000)
    streams = [draws.uniform(i) for i in range(4)]
    streams += [draws.child(i).uniform(j) for i in range(3) for j in range(3)]
    streams += [draws.child(0).child(0).uniform(0), draws.uniform(5, columns=[2])[:, 1]]
    correlations = np.corrcoef(np.stack(streams)) - np.eye(len(streams))
    assert np.abs(correlations).max() < 5 / 20000**0.5
    first = np.asarray(streams[0])
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 5 / 20000**0.5


def test_a_child_keeps_its_rows():
    child = Draws(SEED, 10, 2, 5).child(7)
    assert (child.total, child.first, child.count) == (10, 2, 5)


def test_no_rows_are_no_numbers():
    assert [tuple(x.shape) for x in drawn(Draws(SEED, 0))] == [(0,), (0, 2, 3), (0, 2), (0,), (0,)]
    assert Draws(SEED, 6, 3, 0).uniform(0).shape == (0,)
