"""Steps of labels that are learned as logits, image by image: pure functions."""

import tensorflow as tf


def through_softmax(gradient: tf.Tensor, probs: tf.Tensor) -> tf.Tensor:
    """A gradient by distributions as the gradient by their logits.

        d / d z_k = p_k * (gradient_k - sum_j p_j * gradient_j),   p = softmax(z)

    >>> probs = tf.constant([[0.5, 0.5]])
    >>> through_softmax(tf.constant([[4.0, 0.0]]), probs).numpy().tolist()
    [[1.0, -1.0]]

    Args:
      gradient: floating [U, K], by `probs`.
      probs: floating [U, K], rows sum to 1.

    Returns:
      [U, K], rows sum to 0.
    """
    mean = tf.reduce_sum(probs * gradient, axis=-1, keepdims=True)
    return probs * (gradient - mean)


def descend(
    logits: tf.Tensor, index: tf.Tensor, gradient: tf.Tensor, learning_rate: float
) -> tf.Tensor:
    """Moves the logits of some images against their gradients.

        logits_i <- logits_i - learning_rate * gradient_i

    An image that is in the batch twice has both gradients.

    >>> rows, gradient = tf.constant([1, 1]), tf.constant([[1.0, -1.0], [2.0, -2.0]])
    >>> descend(tf.zeros([2, 2]), rows, gradient, 0.5).numpy().tolist()
    [[0.0, 0.0], [-1.5, 1.5]]

    Args:
      logits: floating [N, K], of all images.
      index: integer [U], which images, from 0 to N - 1.
      gradient: floating [U, K], theirs, of the dtype of `logits`.
      learning_rate: at least 0.

    Returns:
      [N, K].
    """
    total = tf.math.unsorted_segment_sum(gradient, index, logits.shape[0])
    return logits - learning_rate * total
