"""Losses on logits: pure functions, one value an example, nothing averaged.

Every cross entropy here is written out as -sum(target * log_softmax(logits)). TensorFlow's fused
softmax cross entropy returns a silent zero when it is differentiated twice through its target, and
the exact feedback of Meta Pseudo Labels is such a second derivative.
"""

import tensorflow as tf


def one_hot(label, num_classes, smoothing=0.0, dtype=tf.float32):
    """Class ids as distributions, `smoothing` of their mass spread evenly over all classes.

    Args:
      label: integer [B], class ids in [0, num_classes).
      num_classes: int, number of classes K.
      smoothing: float in [0, 1), the share of mass that goes to the uniform distribution.
      dtype: floating dtype of the result.

    Returns:
      [B, K] of `dtype`, rows sum to 1.
    """
    return smooth(tf.one_hot(label, num_classes, dtype=dtype), smoothing)


def smooth(probs, smoothing):
    """Label smoothing: `(1 - smoothing) * probs + smoothing / K`.

    Args:
      probs: floating [B, K], rows sum to 1.
      smoothing: float in [0, 1).

    Returns:
      [B, K], the dtype of `probs`.
    """
    if not smoothing:
        return probs
    return (1 - smoothing) * probs + smoothing / probs.shape[-1]


def cross_entropy(target, logits):
    """Cross entropy of each example: `-sum_k target_k * log_softmax(logits)_k`.

    Twice differentiable in both arguments.

    Args:
      target: floating [B, K], target distributions.
      logits: floating [B, K], unnormalised log probabilities, the dtype of `target`.

    Returns:
      [B], in nats.
    """
    return -tf.reduce_sum(target * tf.nn.log_softmax(logits), axis=-1)


def label_loss(label, logits, smoothing=0.0):
    """Cross entropy of each labeled example with its smoothed label.

    Args:
      label: integer [B], class ids.
      logits: floating [B, K].
      smoothing: float in [0, 1), as in `one_hot`.

    Returns:
      [B], in nats.
    """
    return cross_entropy(one_hot(label, logits.shape[-1], smoothing, logits.dtype), logits)


def most_probable(probs):
    """Hard pseudo labels: each distribution becomes one-hot at its largest probability.

    Args:
      probs: floating [B, K]; logits do as well.

    Returns:
      [B, K], the dtype of `probs`, without gradient.
    """
    return tf.one_hot(tf.argmax(probs, axis=-1), probs.shape[-1], dtype=probs.dtype)


def squared_error(probs, others):
    """Squared difference of two distributions, `mean_k (probs_k - others_k)^2`, of each example.

    Args:
      probs, others: floating [B, K].

    Returns:
      [B], in [0, 2 / K].
    """
    return tf.reduce_mean((probs - others) ** 2, axis=-1)


def divergence(target_logits, logits):
    """Kullback-Leibler divergence `sum_k p_k (log p_k - log q_k)` of two predictions.

    Args:
      target_logits: floating [B, K], of p.
      logits: floating [B, K], of q.

    Returns:
      [B], in nats.
    """
    log_p, log_q = tf.nn.log_softmax(target_logits), tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def entropy(logits):
    """Entropy of each prediction, [B] in nats, of logits [B, K]."""
    return cross_entropy(tf.nn.softmax(logits), logits)


def align(probs, wanted, found):
    """Distribution alignment: `probs * wanted / found`, made to sum to 1 again.

    Berthelot et al. 2020, section 3.1.

    Args:
      probs: floating [B, K], rows sum to 1.
      wanted: floating [K], the class shares that there should be.
      found: floating [K], those that the network's predictions have had.

    Returns:
      [B, K].
    """
    ratio = (wanted + 1e-6) / (found + 1e-6)  # neither may be 0
    weighted = probs * ratio
    return weighted / tf.reduce_sum(weighted, axis=-1, keepdims=True)


def sharpen(logits, temperature):
    """`softmax(logits / temperature)`: below 1 sharper, above 1 flatter.

    Args:
      logits: floating [B, K].
      temperature: float above 0.

    Returns:
      [B, K], rows sum to 1.
    """
    return tf.nn.softmax(logits / temperature)


def confidence_mask(probs, threshold):
    """1 for each example whose largest probability reaches the threshold, else 0.

    Args:
      probs: floating [B, K], rows sum to 1.
      threshold: float; 0 or less keeps every example, above 1 none.

    Returns:
      [B], the dtype of `probs`.
    """
    return tf.cast(tf.reduce_max(probs, axis=-1) >= threshold, probs.dtype)


def consistency(weak_logits, strong_logits, temperature, threshold, sharpened_confidence=True):
    """Consistency loss of two views of the same images (UDA; Xie et al. 2020, section 2.2).

        target     = stop_gradient(softmax(weak_logits / temperature))
        confidence = max_k target,  or max_k softmax(weak_logits) if not sharpened_confidence
        mask       = confidence >= threshold
        loss       = mask * cross_entropy(target, strong_logits)

    The gradient reaches the strong view only.

    Args:
      weak_logits: floating [U, K], logits of the weakly augmented view.
      strong_logits: floating [U, K], logits of the strongly augmented view.
      temperature: float above 0, sharpens the target.
      threshold: float, least confidence for an example to count.
      sharpened_confidence: bool, whether confidence is that of the sharpened target, as in Meta
        Pseudo Labels, or that of the prediction itself, as in UDA.

    Returns:
      (loss, mask), each [U]; where the mask is 0 the loss is 0.
    """
    target = tf.stop_gradient(sharpen(weak_logits, temperature))
    probs = target if sharpened_confidence else tf.stop_gradient(tf.nn.softmax(weak_logits))
    mask = confidence_mask(probs, threshold)
    return mask * cross_entropy(target, strong_logits), mask
