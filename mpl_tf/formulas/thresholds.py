"""Which unlabeled images count, and how much, by what a network has learned: pure functions.

Thresholds of confidence: FreeMatch's from moving averages of its predictions (Wang et al. 2023),
FlexMatch's from how many unlabeled images of each class it has become sure of (Zhang et al. 2021).
SoftMatch's weights by confidence (Chen et al. 2023). And Noisy Student's balance of classes (Xie et
al. 2020).
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_SHAPES: dict[str, Callable[[Any], Any]] = {
    "convex": lambda b: b / (2 - b),
    "linear": lambda b: b,
    "concave": lambda b: tf.math.log(b + 1) / tf.math.log(2.0),
}
MAPPINGS = tuple(_SHAPES)


def shares(one_hot: tf.Tensor) -> tf.Tensor:
    """The share of each class among labels [U, K], one-hot or all 0: floating [K].

    >>> shares(tf.constant([[1.0, 0.0], [0.0, 0.0]])).numpy().tolist()
    [0.5, 0.0]
    """
    return tf.reduce_mean(one_hot, axis=0)


def self_adaptive(
    confidence: tf.Tensor | float,
    class_probs: tf.Tensor,
    least: float = 0.0,
    greatest: float = 1.0,
) -> tf.Tensor:
    """FreeMatch's thresholds: the mean confidence, less for classes that are predicted less.

        threshold_k = clip(confidence * class_probs_k / max_j class_probs_j, least, greatest)

    Wang et al. 2023, equations 5, 7 and 8.

    >>> self_adaptive(0.75, tf.constant([0.5, 0.25, 0.25])).numpy().tolist()
    [0.75, 0.375, 0.375]

    Args:
      confidence: floating scalar, moving average of the largest probability.
      class_probs: floating [K], moving average of the predictions.
      least: thresholds are not below it.
      greatest: thresholds are not above it.

    Returns:
      [K].
    """
    local = confidence * class_probs / tf.reduce_max(class_probs)
    return tf.clip_by_value(local, least, greatest)


def fairness(
    class_probs: tf.Tensor, class_shares: tf.Tensor, mean_probs: tf.Tensor, mean_shares: tf.Tensor
) -> tf.Tensor:
    """FreeMatch's self-adaptive fairness (Wang et al. 2023, equation 11).

        P = sum_norm(class_probs / class_shares),  moving averages
        Q = sum_norm(mean_probs / mean_shares),    of the batch, its selected images
        loss = sum_k P_k * log Q_k,  over classes among the batch's selected predictions

    That is the negated cross entropy of P and Q, as the paper prints it and its authors' code
    computes it. Minimised, it raises Q_k where Q_k > P_k and lowers it elsewhere: away from P,
    although the paper describes it as drawing Q closer (issue 182 of that code's repository,
    microsoft/Semi-supervised-learning, asks). Its gradient reaches `mean_probs` only; it is 0 if
    nothing was selected.

    >>> even = tf.constant([0.5, 0.5])
    >>> round(float(fairness(even, even, even, even)), 4)  # log(1 / 2)
    -0.6931

    Args:
      class_probs: floating [K], moving average of predictions on weak views.
      class_shares: floating [K], moving average of the shares of classes among pseudo labels.
      mean_probs: floating [K], mean of predictions on strong views, not selected ones as 0.
      mean_shares: floating [K], shares of classes among these predictions, in the same way.

    Returns:
      Scalar.
    """
    expected = tf.stop_gradient(_sum_norm(tf.math.divide_no_nan(class_probs, class_shares)))
    mean_shares = tf.stop_gradient(mean_shares)
    predicted = _sum_norm(tf.math.divide_no_nan(mean_probs, mean_shares))
    logs = tf.math.log(tf.where(mean_shares > 0, predicted, tf.ones_like(predicted)))
    return tf.reduce_sum(expected * logs)


def truncated_gaussian(
    confidence: tf.Tensor,
    mean: tf.Tensor | float,
    variance: tf.Tensor | float,
    deviation: float = 1.0,
) -> tf.Tensor:
    """SoftMatch's weights: 1 from the mean confidence on, below it those of a Gaussian.

        exp(-min(confidence - mean, 0)^2 / (2 * deviation^2 * variance))

    Chen et al. 2023, equation 6.

    >>> weights = truncated_gaussian(tf.constant([0.25, 0.5, 0.75]), 0.5, 0.03125)
    >>> [round(float(w), 4) for w in weights]  # exp(-1) where it is below
    [0.3679, 1.0, 1.0]

    Args:
      confidence: floating [U], in [0, 1].
      mean: floating scalar.
      variance: floating scalar, at least 0; with 0 only the mean and what is above it count.
      deviation: above 0, the standard deviation of the Gaussian in those of the confidence.

    Returns:
      [U], in [0, 1].
    """
    below = tf.minimum(confidence - mean, 0.0)
    return tf.exp(-(below**2) / tf.maximum(2 * deviation**2 * variance, 1e-12))


def _sum_norm(values: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(values, tf.reduce_sum(values))


def balance(class_shares: tf.Tensor, limit: float) -> tf.Tensor:
    """Weights of classes that make them all count alike: `min(limit, mean share / share_k)`.

    Xie et al. 2020 (Noisy Student) balance classes by repeating images, where this weights them.

    >>> balance(tf.constant([0.5, 0.25, 0.0]), 4.0).numpy().tolist()
    [0.5, 1.0, 4.0]

    Args:
      class_shares: floating [K], shares of classes among pseudo labels.
      limit: above 0, the greatest weight.

    Returns:
      [K]; `limit` for a class that has no share, 0 if none has.
    """
    mean = tf.reduce_mean(class_shares)
    return tf.minimum(tf.math.divide_no_nan(mean, tf.maximum(class_shares, mean / limit)), limit)


def remember(learned: tf.Tensor, index: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """The confident class of each image of a pool, after a batch.

    >>> learned, index, label = tf.constant([2, -1, 0]), tf.constant([0, 1]), tf.constant([-1, 1])
    >>> remember(learned, index, label).numpy().tolist()
    [2, 1, 0]

    Args:
      learned: integer [N], the last class predicted with confidence for each image; -1: never.
      index: integer [U], the images of the batch.
      label: integer [U], the classes predicted for them, -1 without confidence.

    Returns:
      [N], the dtype of `learned`. Of an image that is twice in the batch the greater class counts.
    """
    label = tf.cast(label, learned.dtype)
    news = tf.math.unsorted_segment_max(label, index, learned.shape[0])  # below -1 if not in it
    return tf.where(news >= 0, news, learned)


def curriculum(
    learned: tf.Tensor, num_classes: int, threshold: float, warmup: bool, mapping: str
) -> tf.Tensor:
    """FlexMatch's thresholds: lower for classes of which fewer images are learned.

        count_k = number of images learned as k
        beta_k  = count_k / max(max_j count_j, number of images not learned, if warmup)
        threshold_k = threshold * mapping(beta_k)
        convex: b / (2 - b);   linear: b;   concave: log(b + 1) / log(2)

    Zhang et al. 2021, equations 5 to 7 and 11.

    >>> curriculum(tf.constant([0, 0, 1, -1]), 2, 0.5, True, "linear").numpy().tolist()
    [0.5, 0.25]

    Args:
      learned: integer [N], as from `remember`.
      num_classes: K.
      threshold: of a class that is learned best.
      warmup: whether thresholds start low, while most images are not learned.
      mapping: one of MAPPINGS.

    Returns:
      float32 [K].
    """
    ones = tf.ones(learned.shape, tf.float32)
    counts = tf.math.unsorted_segment_sum(ones, learned + 1, num_classes + 1)
    most = tf.reduce_max(counts if warmup else counts[1:])
    beta = tf.math.divide_no_nan(counts[1:], most)
    return threshold * _SHAPES[mapping](beta)


def curriculum_limit(
    share: float, num_classes: int, threshold: float, warmup: bool, mapping: str
) -> float:
    """FlexMatch's thresholds when a share of the pool is learned, equally many images a class.

    >>> curriculum_limit(0.5, 2, 0.5, True, "linear")  # a quarter a class, half is not learned
    0.25

    Args:
      share: in [0, 1].
      num_classes, threshold, warmup, mapping: as for `curriculum`.
    """
    of_a_class = share / num_classes
    beta = of_a_class / max(of_a_class, 1 - share) if warmup else 1.0
    return threshold * float(_SHAPES[mapping](beta))


def above(probs: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """1 for each example whose largest probability reaches its class's threshold, else 0.

    >>> probs = tf.constant([[0.75, 0.25], [0.25, 0.75]])
    >>> above(probs, tf.constant([0.7, 0.8])).numpy().tolist()
    [1.0, 0.0]

    Args:
      probs: floating [U, K].
      thresholds: floating [K].

    Returns:
      [U], the dtype of `probs`.
    """
    of_class = tf.gather(tf.cast(thresholds, probs.dtype), tf.argmax(probs, axis=-1))
    return tf.cast(tf.reduce_max(probs, axis=-1) >= of_class, probs.dtype)
