"""k-means, and how dense its clusters are: pure functions of their arguments and a seed."""

import tensorflow as tf

from mpl_tf.formulas import random

_ROWS = 8192  # whose distances to all centroids are in memory at once


def k_means(
    points: tf.Tensor, count: int, iterations: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Lloyd's algorithm from random points.

        assigned_i <- argmin_c |x_i - m_c|;  m_c <- mean of the points assigned to c

    A cluster that loses its last point keeps its centroid.

    >>> points = tf.constant([[0.0], [0.1], [5.0], [5.1]])
    >>> centroids, assigned = k_means(points, 2, 10, tf.constant([0, 1]))
    >>> [round(each, 2) for each in sorted(centroids.numpy().ravel().tolist())]
    [0.05, 5.05]

    Args:
      points: floating [N, D] with static N.
      count: from 1 to N, the number of clusters k.
      iterations: at least 1.
      seed: integer tensor [2], from which the first centroids are drawn.

    Returns:
      (centroids [k, D], the cluster of each point for them int32 [N]).
    """
    first = tf.gather(points, random.permutation(seed, points.shape[0])[:count])

    def improved(done, centroids):
        assigned = nearest(points, centroids)
        sizes = tf.math.unsorted_segment_sum(tf.ones_like(points[:, 0]), assigned, count)
        sums = tf.math.unsorted_segment_sum(points, assigned, count)
        means = tf.math.divide_no_nan(sums, sizes[:, None])
        return done + 1, tf.where(sizes[:, None] > 0, means, centroids)

    start = tf.constant(0), tf.ensure_shape(first, [count, points.shape[1]])
    _, centroids = tf.while_loop(lambda done, _: done < iterations, improved, start)
    return centroids, nearest(points, centroids)


def nearest(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """Which centroid is nearest to each point; of equally near ones the first.

    >>> nearest(tf.constant([[0.0], [4.0]]), tf.constant([[1.0], [5.0]])).numpy().tolist()
    [0, 1]

    Args:
      points: floating [N, D] with static N.
      centroids: floating [k, D].

    Returns:
      int32 [N].
    """
    norms = tf.reduce_sum(centroids**2, axis=1)

    def of_rows(rows):
        distances = norms - 2 * tf.matmul(rows, centroids, transpose_b=True)
        return tf.argmin(distances, axis=1, output_type=tf.int32)

    size = points.shape[0]
    if size <= _ROWS:
        return of_rows(points)
    padded = tf.pad(points, [[0, -size % _ROWS], [0, 0]])
    blocks = tf.reshape(padded, [-1, _ROWS, points.shape[1]])
    assigned = tf.map_fn(of_rows, blocks, fn_output_signature=tf.int32, parallel_iterations=1)
    return tf.reshape(assigned, [-1])[:size]


def concentration(
    points: tf.Tensor,
    centroids: tf.Tensor,
    assigned: tf.Tensor,
    smoothing: float,
    temperature: float,
) -> tf.Tensor:
    """How spread the points of each cluster are, as temperatures.

        phi_c = sum of |x - m_c| over its Z points / (Z log(Z + smoothing))

    Clusters of one point, or none, have the greatest phi. Then phi is clipped to its 10th and 90th
    percentiles, and scaled so that its mean is `temperature`. Li et al. 2021 (arXiv 2005.04966),
    equation 12, and the authors' code.

    >>> points, centroids = tf.constant([[0.0], [2.0], [8.0], [8.2]]), tf.constant([[1.0], [8.1]])
    >>> concentration(points, centroids, tf.constant([0, 0, 1, 1]), 10.0, 0.2).numpy().round(3)
    array([0.331, 0.069], dtype=float32)

    Args:
      points: floating [N, D].
      centroids: floating [k, D].
      assigned: integer [N], the cluster of each point.
      smoothing: at least 0, the paper's alpha.
      temperature: above 0.

    Returns:
      [k], above 0; `temperature` everywhere if no cluster has any spread.
    """
    count = centroids.shape[0]
    offsets = points - tf.gather(centroids, assigned)
    distances = tf.sqrt(tf.reduce_sum(offsets**2, axis=1))
    sizes = tf.math.unsorted_segment_sum(tf.ones_like(distances), assigned, count)
    sums = tf.math.unsorted_segment_sum(distances, assigned, count)
    spread = tf.math.divide_no_nan(sums, sizes * tf.math.log(sizes + smoothing))
    spread = tf.where(sizes > 1, spread, tf.reduce_max(tf.where(sizes > 1, spread, 0.0)))
    ordered, last = tf.sort(spread), count - 1
    low, high = (_at(ordered, share * last) for share in (0.1, 0.9))
    spread = tf.clip_by_value(spread, low, high)
    mean = tf.reduce_mean(spread)
    usable = tf.where(mean > 0, spread / tf.where(mean > 0, mean, 1.0), tf.ones_like(spread))
    return temperature * tf.maximum(usable, 1e-3)


def _at(ordered, place):
    """The value of a sorted tensor at a place between its rows."""
    below = int(place)
    share = place - below
    above = min(below + 1, ordered.shape[0] - 1)
    return (1 - share) * ordered[below] + share * ordered[above]
