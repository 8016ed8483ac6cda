"""What a classifier gets right and wrong, by its probabilities."""

import numpy as np


def accuracy(probs, labels):
    """Share of rows of `probs` [N, K] whose largest entry is at `labels` [N]; a float."""
    return float(np.mean(np.argmax(probs, axis=-1) == labels))


def top_k_accuracy(probs, labels, k):
    """Share of rows of `probs` [N, K] with less than `k` entries above that at `labels` [N]."""
    of_truth = probs[np.arange(len(labels)), labels]
    return float(np.mean(np.sum(probs > of_truth[:, None], axis=-1) < k))


def class_accuracy(probs, labels):
    """`accuracy` of each class's own rows: float [K], NaN for a class that is not in `labels`."""
    counts = confusion_matrix(probs, labels)
    with np.errstate(invalid="ignore"):
        return np.diag(counts) / counts.sum(axis=1)


def reliability(probs, labels, bins=15):
    """How sure a classifier is, and how often rightly, by how sure it is.

    Args:
      probs: array [N, K]; the largest entry of a row is its confidence.
      labels: integer array [N].
      bins: int, into how many equal intervals (i / bins, (i + 1) / bins] confidences fall.

    Returns:
      (counts, confidence, accuracy): arrays [bins], the rows in a bin and their means; 0 in empty
      ones.
    """
    confidence = np.max(probs, axis=-1).astype(np.float64)
    right = np.argmax(probs, axis=-1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts, sure, hits = (
        np.bincount(place, weights, minlength=bins) for weights in (None, confidence, right)
    )
    return counts, sure / np.maximum(counts, 1), hits / np.maximum(counts, 1)


def calibration_error(probs, labels, bins=15):
    """Expected calibration error (Guo et al. 2017, equation 3), a float in [0, 1].

        sum_b count_b / N * |accuracy_b - confidence_b|

    Arguments as for `reliability`.
    """
    counts, confidence, hits = reliability(probs, labels, bins)
    return float(np.sum(counts * np.abs(hits - confidence)) / len(labels))


def real_accuracy(probs, real_labels):
    """Precision@1 on "reassessed" labels (Beyer et al. 2020), of which an image may have several.

    Args:
      probs: array [N, K].
      real_labels: sequence of N sequences of int, class ids; rows without any are left out.

    Returns:
      (float, int): the share of rows whose largest entry is at one of its labels, NaN if there is
      no such row, and how many rows have labels.
    """
    guesses = np.argmax(probs, axis=-1)
    hits = [guess in set(ids) for guess, ids in zip(guesses, real_labels, strict=True) if len(ids)]
    return (float(np.mean(hits)) if hits else float("nan")), len(hits)


def measure(probs, labels, class_names):
    """The numbers of an evaluation, as JSON takes them.

    Args:
      probs: array [N, K].
      labels: integer array [N].
      class_names: sequence of K str.

    Returns:
      dict: `accuracy`, `top_5_accuracy` (None for up to five classes), `calibration_error`,
      `class_accuracy` (dict of name -> float, None where no image is of the class) and
      `confusion_matrix` (rows are true classes).
    """
    of_class = class_accuracy(probs, labels).tolist()
    known = [None if np.isnan(value) else value for value in of_class]
    return {
        "accuracy": accuracy(probs, labels),
        "top_5_accuracy": top_k_accuracy(probs, labels, 5) if len(class_names) > 5 else None,
        "calibration_error": calibration_error(probs, labels),
        "class_accuracy": dict(zip(class_names, known, strict=True)),
        "confusion_matrix": confusion_matrix(probs, labels).tolist(),
    }


def confusion_matrix(probs, labels):
    """Counts [K, K]: row true class, column predicted class.

    Args:
      probs: array [N, K].
      labels: integer array [N].
    """
    classes = probs.shape[-1]
    flat = labels * classes + np.argmax(probs, axis=-1)
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def most_wrong(probs, labels, count):
    """Positions of wrongly classified rows, least probability of the truth first.

    Args:
      probs: array [N, K].
      labels: integer array [N].
      count: int, how many at most.

    Returns:
      integer array.
    """
    of_truth = probs[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(np.argmax(probs, axis=-1) != labels)
    return wrong[np.argsort(of_truth[wrong], kind="stable")][:count]
