"""What a classifier gets right and wrong, by its probabilities.

They are finite, where a function does not say what NaN counts for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def accuracy(probs: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows of `probs` [N, K] whose largest entry is at `labels` [N].

    A row with NaN has no largest entry, and is wrong.

    >>> accuracy(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
    0.5
    """
    return float(np.mean(_has_order(probs) & (np.argmax(probs, axis=-1) == labels)))


def top_k_accuracy(probs: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows of `probs` [N, K] that have `labels` [N] among the `k` largest entries.

    Of equal entries the first counts as the larger one, as for `accuracy`. A row with NaN has no
    order, and is wrong.

    >>> probs = np.array([[0.5, 0.3, 0.2]])
    >>> top_k_accuracy(probs, np.array([1]), 1), top_k_accuracy(probs, np.array([1]), 2)
    (0.0, 1.0)
    """
    of_truth = probs[np.arange(len(labels)), labels][:, None]
    is_before = np.arange(probs.shape[-1]) < labels[:, None]
    ahead = (probs > of_truth) | (is_before & (probs == of_truth))
    return float(np.mean(_has_order(probs) & (np.sum(ahead, axis=-1) < k)))


def _has_order(probs: np.ndarray) -> np.ndarray:
    return ~np.any(np.isnan(probs), axis=-1)


def class_accuracy(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`accuracy` of each class's own rows: float [K], NaN for a class that is not in `labels`.

    >>> class_accuracy(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1])).tolist()
    [1.0, 0.5]
    """
    counts = confusion_matrix(probs, labels)
    with np.errstate(invalid="ignore"):
        return np.diag(counts) / counts.sum(axis=1)


def reliability(
    probs: np.ndarray, labels: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How confident a classifier is, and how often it is right, by its confidence.

    >>> probs, labels = np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([0, 0])
    >>> [column.tolist() for column in reliability(probs, labels, bins=2)]
    [[0, 2], [0.0, 0.75], [0.0, 0.5]]

    Args:
      probs: floating [N, K]; the largest entry of a row is its confidence.
      labels: integer [N].
      bins: into how many equal intervals (i / bins, (i + 1) / bins] confidences fall.

    Returns:
      (counts, confidence, accuracy): [bins] each, the rows in a bin and their means; 0 in empty
      ones.
    """
    confidence = np.max(probs, axis=-1).astype(np.float64)
    right = np.argmax(probs, axis=-1) == labels
    bin_index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts, sure, hits = (
        np.bincount(bin_index, weights, minlength=bins) for weights in (None, confidence, right)
    )
    return counts, sure / np.maximum(counts, 1), hits / np.maximum(counts, 1)


def calibration_error(probs: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3), in [0, 1].

        sum_b count_b / N * |accuracy_b - confidence_b|

    Arguments as for `reliability`.

    >>> calibration_error(np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([0, 0]))
    0.25
    """
    counts, confidence, hits = reliability(probs, labels, bins)
    return float(np.sum(counts * np.abs(hits - confidence)) / len(labels))


def real_accuracy(
    probs: np.ndarray, real_labels: Sequence[Sequence[int]]
) -> tuple[float | None, int]:
    """Precision@1 on "reassessed" labels (Beyer et al. 2020), of which an image may have several.

    >>> real_accuracy(np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]), [[0, 1], [1], []])
    (0.5, 2)

    Args:
      probs: floating [N, K].
      real_labels: N sequences of class ids; rows without any are left out.

    Returns:
      (accuracy, count): the share of rows whose largest entry is at one of its labels, None
      if no row has labels, and how many rows have labels.
    """
    guesses = np.argmax(probs, axis=-1)
    hits = [guess in set(ids) for guess, ids in zip(guesses, real_labels, strict=True) if len(ids)]
    return (float(np.mean(hits)) if hits else None), len(hits)


def measure(probs: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """The numbers of an evaluation, as JSON takes them.

    >>> result = measure(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), ["cat", "dog"])
    >>> result["accuracy"], result["class_accuracy"], result["confusion_matrix"]
    (0.5, {'cat': 1.0, 'dog': 0.0}, [[1, 0], [1, 0]])

    Args:
      probs: floating [N, K], finite.
      labels: integer [N].
      class_names: K names.

    Returns:
      `accuracy`, `top_5_accuracy` (None for up to five classes), `calibration_error`,
      `class_accuracy` (name -> float, None where no image is of the class) and
      `confusion_matrix` (rows are true classes).
    """
    of_class = class_accuracy(probs, labels).tolist()
    or_none = [None if np.isnan(value) else value for value in of_class]
    return {
        "accuracy": accuracy(probs, labels),
        "top_5_accuracy": top_k_accuracy(probs, labels, 5) if len(class_names) > 5 else None,
        "calibration_error": calibration_error(probs, labels),
        "class_accuracy": dict(zip(class_names, or_none, strict=True)),
        "confusion_matrix": confusion_matrix(probs, labels).tolist(),
    }


def confusion_matrix(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts [K, K]: row true class, column predicted class.

    >>> confusion_matrix(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])).tolist()
    [[1, 0], [1, 0]]

    Args:
      probs: floating [N, K].
      labels: integer [N].
    """
    classes = probs.shape[-1]
    flat = labels * classes + np.argmax(probs, axis=-1)
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def most_wrong(probs: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of wrongly classified rows, least probability of the truth first.

    >>> probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> most_wrong(probs, np.array([0, 1, 0]), 5).tolist()
    [2, 1]

    Args:
      probs: floating [N, K].
      labels: integer [N].
      count: how many at most.

    Returns:
      Integer [at most count].
    """
    of_truth = probs[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(np.argmax(probs, axis=-1) != labels)
    return wrong[np.argsort(of_truth[wrong], kind="stable")][:count]
