"""Losses of self-supervised learning on representations of views: pure functions.

Representations are rows. `normalize` gives them length 1, after which inner products are cosines.
"""

import tensorflow as tf

from mpl_tf.formulas import losses


def normalize(rows: tf.Tensor) -> tf.Tensor:
    """`rows / |rows|`, each row by its own length, which counts as 1e-12 where it is less.

    >>> normalize(tf.constant([[3.0, 4.0], [0.0, 0.0]])).numpy().round(3)
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)

    Args:
      rows: floating [N, D].

    Returns:
      Tensor like `rows`.
    """
    squares = tf.reduce_sum(rows**2, axis=-1, keepdims=True)
    return rows * tf.math.rsqrt(tf.maximum(squares, tf.constant(1e-24, rows.dtype)))


def nt_xent(
    own: tf.Tensor, others: tf.Tensor, siblings: tf.Tensor, place: tf.Tensor, temperature: float
) -> tf.Tensor:
    """The normalised, temperature-scaled cross entropy of one view of each image.

        -log( exp(own_i . siblings_i' / t)
              / (sum_j exp(own_i . siblings_j / t) + sum_{j != i'} exp(own_i . others_j / t)) )

    with i' = place + i. Chen et al. 2020 (arXiv 2002.05709), equation 1.

    >>> one, two = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])
    >>> nt_xent(one, tf.concat([one, two], 0), tf.concat([one, two], 0), 0, 1.0).numpy().round(4)
    array([0.5514], dtype=float32)

    Args:
      own: floating [U, D], of length 1, one view of some of the images.
      others: floating [N, D], the same view of all images; those of `own` from row `place` on.
      siblings: floating [N, D], the other view of all images.
      place: integer scalar.
      temperature: above 0.

    Returns:
      [U], in nats.
    """
    images = place + tf.range(tf.shape(own)[0])  # [U]
    of_siblings = tf.matmul(own, siblings, transpose_b=True) / temperature  # [U, N]
    of_others = tf.matmul(own, others, transpose_b=True) / temperature
    itself = tf.one_hot(images, tf.shape(others)[0], dtype=own.dtype)
    far = tf.constant(-1e9, own.dtype)
    logits = tf.concat([of_siblings, of_others + far * itself], axis=1)  # [U, 2N]
    return tf.nn.sparse_softmax_cross_entropy_with_logits(images, logits)


def info_nce(
    queries: tf.Tensor,
    keys: tf.Tensor,
    negatives: tf.Tensor,
    temperature: float,
    excluded: tf.Tensor | None = None,
) -> tf.Tensor:
    """The cross entropy of telling a query's key from negatives.

        -log( exp(q_i . k_i / t) / (exp(q_i . k_i / t) + sum_j exp(q_i . negatives_j / t)) )

    van den Oord et al. 2018; He et al. 2020 (arXiv 1911.05722), equation 1.

    >>> one, two = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])
    >>> info_nce(one, one, two, 1.0).numpy().round(4)
    array([0.3133], dtype=float32)

    Args:
      queries, keys: floating [U, D], of length 1.
      negatives: floating [Q, D], of length 1.
      temperature: above 0.
      excluded: bool [U, Q], negatives that do not count for a query; None: all count.

    Returns:
      [U], in nats.
    """
    positive = tf.reduce_sum(queries * keys, axis=-1, keepdims=True)  # [U, 1]
    negative = tf.matmul(queries, negatives, transpose_b=True)  # [U, Q]
    if excluded is not None:
        negative = tf.where(excluded, tf.constant(-1e9, negative.dtype), negative)
    logits = tf.concat([positive, negative], axis=1) / temperature
    return tf.reduce_logsumexp(logits, axis=1) - logits[:, 0]


def cosine_error(predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """`|p/|p| - t/|t||^2 = 2 - 2 cos(p, t)`, from 0 to 4.

    Grill et al. 2020 (arXiv 2006.07733), equation 2.

    >>> rows = tf.constant([[2.0, 0.0], [0.0, 3.0]])
    >>> cosine_error(rows, tf.constant([[5.0, 0.0], [1.0, 0.0]])).numpy().round(6).tolist()
    [0.0, 2.0]

    Args:
      predictions, targets: floating [U, D], of any length.

    Returns:
      [U].
    """
    return 2 - 2 * tf.reduce_sum(normalize(predictions) * normalize(targets), axis=-1)


def prototype_loss(
    queries: tf.Tensor, prototypes: tf.Tensor, concentration: tf.Tensor, assigned: tf.Tensor
) -> tf.Tensor:
    """The cross entropy of telling the prototype of an image's cluster from all others.

        -log( exp(q_i . c_s / phi_s) / sum_c exp(q_i . c_c / phi_c) ),  s = assigned_i

    Li et al. 2021 (arXiv 2005.04966), equation 11, with every other prototype as a negative.

    >>> q, c = tf.constant([[1.0, 0.0]]), tf.constant([[1.0, 0.0], [0.0, 1.0]])
    >>> prototype_loss(q, c, tf.ones(2), tf.constant([0])).numpy().round(4)
    array([0.3133], dtype=float32)

    Args:
      queries: floating [U, D], of length 1.
      prototypes: floating [k, D], of length 1.
      concentration: floating [k], above 0, the temperature of each cluster.
      assigned: integer [U], the cluster of each image.

    Returns:
      [U], in nats.
    """
    logits = tf.matmul(queries, prototypes, transpose_b=True) / concentration
    return losses.label_loss(assigned, logits)
