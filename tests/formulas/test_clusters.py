"""k-means and the concentration of clusters against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.formulas import clusters

SEED = tf.constant([0, 1], tf.int64)


@pytest.fixture
def heaps(rng):
    """(points [30, 2], the heap that each is of): three heaps of ten that lie far apart."""
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    which = rng.permutation(np.repeat(np.arange(3), 10))
    return centres[which] + 0.3 * rng.normal(size=(30, 2)), which


def lloyd(points, centroids, iterations):
    """Centroids after so many rounds; one without points stays."""
    for _ in range(iterations):
        distance = np.linalg.norm(points[:, None] - centroids[None], axis=2)
        own = distance.argmin(axis=1)
        centroids = np.array(
            [points[own == c].mean(axis=0) if np.any(own == c) else m
             for c, m in enumerate(centroids)]
        )  # fmt: skip
    return centroids


def test_heaps_are_found(heaps):
    """From a start in each of them."""
    points, which = heaps
    starts = (tf.constant([seed, 0], tf.int64) for seed in range(20))
    for seed in starts:
        first, _ = clusters.k_means(tf.constant(points), 3, 1, seed)
        centroids, assigned = clusters.k_means(tf.constant(points), 3, 10, seed)
        pairs = set(zip(which.tolist(), assigned.numpy().tolist(), strict=True))
        if len(pairs) == 3:
            break
    assert len(pairs) == 3 == len(set(assigned.numpy()))
    for heap, cluster in pairs:
        np.testing.assert_allclose(centroids[cluster], points[which == heap].mean(axis=0))
    assert first.shape == centroids.shape


def test_rounds_are_those_of_lloyd(rng):
    points = rng.normal(size=(40, 3))
    start, _ = clusters.k_means(tf.constant(points), 5, 1, SEED)
    for more in (1, 2, 5):
        centroids, assigned = clusters.k_means(tf.constant(points), 5, 1 + more, SEED)
        np.testing.assert_allclose(centroids, lloyd(points, start.numpy(), more), atol=1e-12)
        distance = np.linalg.norm(points[:, None] - centroids[None], axis=2)
        np.testing.assert_array_equal(assigned, distance.argmin(axis=1))


def test_the_first_centroids_are_points_and_depend_on_the_seed(rng):
    points = rng.normal(size=(5, 2))
    centroids, assigned = clusters.k_means(tf.constant(points), 5, 3, SEED)
    assert sorted(assigned.numpy()) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(tf.gather(centroids, assigned), points)
    _, other = clusters.k_means(tf.constant(points), 5, 3, SEED + 1)
    assert not np.array_equal(assigned, other)


def test_a_cluster_without_points_keeps_its_centroid():
    """Of equally near centroids the first one has the points."""
    centroids, assigned = clusters.k_means(tf.ones([3, 1]), 2, 4, SEED)
    np.testing.assert_array_equal(assigned, [0, 0, 0])
    np.testing.assert_array_equal(centroids, [[1.0], [1.0]])


def test_many_points_are_looked_at_in_blocks(rng, monkeypatch):
    points, centroids = rng.normal(size=(23, 3)), rng.normal(size=(4, 3))
    distance = np.linalg.norm(points[:, None] - centroids[None], axis=2)
    for rows in (8192, 23, 10, 1):
        monkeypatch.setattr(clusters, "_ROWS", rows)
        got = clusters.nearest(tf.constant(points), tf.constant(centroids))
        np.testing.assert_array_equal(got, distance.argmin(axis=1))


@pytest.mark.parametrize("sizes", [[7, 1, 4, 2, 0, 9], [7, 2, 4, 2, 3, 5]])
def test_concentration_by_hand(rng, sizes):
    """A cluster of one point, and one of none, count as the most spread one."""
    assigned = rng.permutation(np.repeat(np.arange(6), sizes))
    points, centroids = rng.normal(size=(23, 3)), rng.normal(size=(6, 3))
    spread = np.zeros(6)
    for c, size in enumerate(sizes):
        total = sum(np.sqrt(np.sum((p - centroids[c]) ** 2)) for p in points[assigned == c])
        spread[c] = total / (size * np.log(size + 10)) if size > 1 else 0
    spread[np.array(sizes) < 2] = spread.max()
    clipped = np.clip(spread, np.percentile(spread, 10), np.percentile(spread, 90))
    expected = 0.2 * clipped / clipped.mean()
    values = map(tf.constant, (points, centroids, assigned))
    np.testing.assert_allclose(clusters.concentration(*values, 10.0, 0.2), expected, rtol=1e-9)


def test_without_any_spread_it_is_the_temperature(rng):
    centroids = rng.normal(size=(3, 2))
    for assigned in ([0, 1, 2], [0, 0, 1, 1, 2, 2]):
        points = centroids[assigned]
        got = clusters.concentration(*map(tf.constant, (points, centroids, assigned)), 10.0, 0.2)
        np.testing.assert_allclose(got, [0.2, 0.2, 0.2])


def test_it_is_above_zero_where_some_clusters_have_no_spread():
    points = tf.constant([[0.0], [0.0], [1.0], [1.0], [4.0], [6.0]])
    centroids, assigned = tf.constant([[0.0], [1.0], [5.0]]), tf.constant([0, 0, 1, 1, 2, 2])
    got = clusters.concentration(points, centroids, assigned, 10.0, 0.2).numpy()
    assert np.all(got > 0) and got[2] == got.max()
