"""Losses on logits: pure functions, one value an example, nothing averaged.

Every cross entropy here is written out as -sum(target * log_softmax(logits)). TensorFlow's fused
softmax cross entropy returns a silent zero when it is differentiated twice through its target, and
the exact feedback of Meta Pseudo Labels is such a second derivative.
"""

from typing import Any

import tensorflow as tf


def one_hot(
    label: tf.Tensor,
    num_classes: int,
    smoothing: float = 0.0,
    dtype: tf.DType = tf.float32,
    class_weights: Any = None,
) -> tf.Tensor:
    """Class ids as distributions, `smoothing` of their mass spread evenly over all classes.

    Cross entropy is linear in its target: with `class_weights` a row is multiplied by the weight of
    its class, and so is the example's loss.

    >>> one_hot(tf.constant([1]), 2, smoothing=0.5).numpy().tolist()
    [[0.25, 0.75]]
    >>> one_hot(tf.constant([0, 1]), 2, class_weights=[1.0, 4.0]).numpy().tolist()
    [[1.0, 0.0], [0.0, 4.0]]

    Args:
      label: integer [B], class ids in [0, num_classes).
      num_classes: number of classes K.
      smoothing: in [0, 1), the share of mass that goes to the uniform distribution.
      dtype: floating, of the result.
      class_weights: floating [K], at least 0; None is 1 for each class.

    Returns:
      [B, K] of `dtype`, rows sum to 1 or to their weight.
    """
    target = smooth(tf.one_hot(label, num_classes, dtype=dtype), smoothing)
    if class_weights is None:
        return target
    return tf.gather(tf.cast(class_weights, dtype), label)[..., None] * target


def smooth(probs: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Label smoothing: `(1 - smoothing) * probs + smoothing / K`.

    Szegedy et al. 2016, section 7.

    >>> smooth(tf.constant([[1.0, 0.0]]), 0.5).numpy().tolist()
    [[0.75, 0.25]]

    Args:
      probs: floating [B, K], rows sum to 1.
      smoothing: in [0, 1).

    Returns:
      [B, K], the dtype of `probs`.
    """
    if not smoothing:
        return probs
    return (1 - smoothing) * probs + smoothing / probs.shape[-1]


def cross_entropy(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross entropy of each example: `-sum_k target_k * log_softmax(logits)_k`.

    Twice differentiable in both arguments.

    >>> round(float(cross_entropy(tf.constant([[1.0, 0.0]]), tf.zeros([1, 2]))[0]), 4)  # log(2)
    0.6931

    Args:
      target: floating [B, K], target distributions.
      logits: floating [B, K], unnormalised log probabilities, the dtype of `target`.

    Returns:
      [B], in nats.
    """
    return -tf.reduce_sum(target * tf.nn.log_softmax(logits), axis=-1)


def label_loss(
    label: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0, class_weights: Any = None
) -> tf.Tensor:
    """Cross entropy of each labeled example with its smoothed label, times its class's weight.

    >>> round(float(label_loss(tf.constant([1]), tf.zeros([1, 4]))[0]), 4)  # log(4)
    1.3863

    Args:
      label: integer [B], class ids.
      logits: floating [B, K].
      smoothing, class_weights: as in `one_hot`.

    Returns:
      [B], in nats.
    """
    target = one_hot(label, logits.shape[-1], smoothing, logits.dtype, class_weights)
    return cross_entropy(target, logits)


def most_probable(probs: tf.Tensor) -> tf.Tensor:
    """Hard pseudo labels: each distribution becomes one-hot at its largest probability.

    >>> most_probable(tf.constant([[0.2, 0.5, 0.3]])).numpy().tolist()
    [[0.0, 1.0, 0.0]]

    Args:
      probs: floating [B, K]; logits do as well.

    Returns:
      [B, K], the dtype of `probs`, without gradient.
    """
    return tf.one_hot(tf.argmax(probs, axis=-1), probs.shape[-1], dtype=probs.dtype)


def squared_error(probs: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Squared difference of two distributions, `mean_k (probs_k - others_k)^2`, of each example.

    >>> squared_error(tf.constant([[1.0, 0.0]]), tf.constant([[0.5, 0.5]])).numpy().tolist()
    [0.25]

    Args:
      probs: floating [B, K].
      others: floating [B, K].

    Returns:
      [B], in [0, 2 / K].
    """
    return tf.reduce_mean((probs - others) ** 2, axis=-1)


def divergence(target_logits: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence `sum_k p_k (log p_k - log q_k)` of two predictions.

    >>> float(divergence(tf.ones([1, 3]), tf.zeros([1, 3]))[0])  # equal predictions
    0.0

    Args:
      target_logits: floating [B, K], of p.
      logits: floating [B, K], of q.

    Returns:
      [B], in nats.
    """
    log_p, log_q = tf.nn.log_softmax(target_logits), tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def divergence_from(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """`divergence` of a distribution, which may have zeros, and a prediction.

    >>> sure = tf.constant([[1.0, 0.0]])
    >>> round(float(divergence_from(sure, tf.zeros([1, 2]))[0]), 4)  # log(2)
    0.6931

    Args:
      target: floating [B, K], rows sum to 1.
      logits: floating [B, K].

    Returns:
      [B], in nats.
    """
    return tf.reduce_sum(tf.math.xlogy(target, target), axis=-1) + cross_entropy(target, logits)


def entropy(logits: tf.Tensor) -> tf.Tensor:
    """Entropy of each prediction, [B] in nats, of logits [B, K]: `-sum_k p_k log p_k`.

    Grandvalet & Bengio 2005 minimise it.

    >>> round(float(entropy(tf.zeros([1, 4]))[0]), 4)  # log(4)
    1.3863
    """
    return cross_entropy(tf.nn.softmax(logits), logits)


def align(probs: tf.Tensor, expected: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Distribution alignment: `probs * expected / predicted`, made to sum to 1 again.

    Berthelot et al. 2020, section 3.1.

    >>> probs, uniform = tf.constant([[0.5, 0.5]]), tf.constant([0.5, 0.5])
    >>> aligned = align(probs, uniform, predicted=tf.constant([0.75, 0.25]))
    >>> [round(float(p), 3) for p in aligned[0]]
    [0.25, 0.75]

    Args:
      probs: floating [B, K], rows sum to 1.
      expected: floating [K], the class shares that there should be.
      predicted: floating [K], those that the network's predictions have had.

    Returns:
      [B, K].
    """
    ratio = (expected + 1e-6) / (predicted + 1e-6)  # neither may be 0
    weighted = probs * ratio
    return weighted / tf.reduce_sum(weighted, axis=-1, keepdims=True)


def sharpen(logits: tf.Tensor, temperature: float) -> tf.Tensor:
    """`softmax(logits / temperature)`: below 1 sharper, above 1 flatter.

    Berthelot et al. 2019, section 3.2: `p^(1/temperature)` of `p = softmax(logits)`, made to sum
    to 1.

    >>> cold, warm = (float(sharpen(tf.constant([[0.0, 1.0]]), t)[0, 1]) for t in (0.5, 2.0))
    >>> round(cold, 2), round(warm, 2)
    (0.88, 0.62)

    Args:
      logits: floating [B, K].
      temperature: above 0.

    Returns:
      [B, K], rows sum to 1.
    """
    return tf.nn.softmax(logits / temperature)


def confidence_mask(probs: tf.Tensor, threshold: float) -> tf.Tensor:
    """1 for each example whose largest probability reaches the threshold, else 0.

    >>> confidence_mask(tf.constant([[0.9, 0.1], [0.4, 0.6]]), 0.8).numpy().tolist()
    [1.0, 0.0]

    Args:
      probs: floating [B, K], rows sum to 1.
      threshold: 0 or less keeps every example, above 1 none.

    Returns:
      [B], the dtype of `probs`.
    """
    return tf.cast(tf.reduce_max(probs, axis=-1) >= threshold, probs.dtype)


def consistency(
    weak_logits: tf.Tensor,
    strong_logits: tf.Tensor,
    temperature: float,
    threshold: float,
    sharpened_confidence: bool = True,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Consistency loss of two views of the same images (UDA; Xie et al. 2020, section 2.2).

        target     = stop_gradient(softmax(weak_logits / temperature))
        confidence = max_k target,  or max_k softmax(weak_logits) if not sharpened_confidence
        mask       = confidence >= threshold
        loss       = mask * cross_entropy(target, strong_logits)

    The gradient reaches the strong view only.

    >>> weak, strong = tf.constant([[0.0, 1.0]]), tf.zeros([1, 2])
    >>> loss, mask = consistency(weak, strong, temperature=0.5, threshold=0.8)
    >>> round(float(loss[0]), 4), float(mask[0])
    (0.6931, 1.0)

    Args:
      weak_logits: floating [U, K], logits of the weakly augmented view.
      strong_logits: floating [U, K], logits of the strongly augmented view.
      temperature: above 0, sharpens the target.
      threshold: least confidence for an example to count.
      sharpened_confidence: whether confidence is that of the sharpened target, as in Meta
        Pseudo Labels, or that of the prediction itself, as in UDA.

    Returns:
      (loss, mask), each [U]; where the mask is 0 the loss is 0.
    """
    target = tf.stop_gradient(sharpen(weak_logits, temperature))
    probs = target if sharpened_confidence else tf.stop_gradient(tf.nn.softmax(weak_logits))
    mask = confidence_mask(probs, threshold)
    return mask * cross_entropy(target, strong_logits), mask
