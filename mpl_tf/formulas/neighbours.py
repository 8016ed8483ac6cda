"""Nearest neighbours by the direction of features, and what they say of a class."""

import numpy as np

_BLOCK = 2**24  # similarities that are in memory at once


def nearest(features: np.ndarray, bank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of a bank with the greatest cosine similarity to each row of features.

        similarity = x . y / (|x| |y|)        0 for a row of zeros

    >>> index, similarity = nearest(np.array([[2.0, 0.0]]), np.array([[0, 1], [1, 0], [1, 1]]), 2)
    >>> index.tolist(), [round(float(value), 4) for value in similarity[0]]
    ([[1, 2]], [1.0, 0.7071])

    Args:
      features: floating [N, F].
      bank: floating [M, F].
      k: from 1 to M.

    Returns:
      (index, similarity): int64 and float32 [N, k], the greatest first, of equal ones the earlier
      row of the bank.

    Raises:
      ValueError: k is out of range, or the features do not have the same size.
    """
    if not 1 <= k <= len(bank):
        raise ValueError(f"k must be from 1 to the {len(bank)} rows of the bank; received {k}.")
    if features.shape[1:] != bank.shape[1:]:
        raise ValueError(
            f"features and bank must have rows of one size; received {list(features.shape)} and "
            f"{list(bank.shape)}."
        )
    columns = _directions(bank).T
    index = np.empty([len(features), k], np.int64)
    similarity = np.empty([len(features), k], np.float32)
    step = max(1, _BLOCK // len(bank))
    for first in range(0, len(features), step):
        rows = slice(first, first + step)
        all_of = _directions(features[rows]) @ columns
        index[rows] = _greatest(all_of, k)
        similarity[rows] = np.take_along_axis(all_of, index[rows], axis=1)
    return index, similarity


def knn_probs(
    features: np.ndarray,
    bank: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    k: int = 200,
    temperature: float = 0.07,
) -> np.ndarray:
    """The weighted vote of the nearest neighbours (Wu et al. 2018, arXiv 1805.01978, section 3.4).

        p_c  ~  sum over the k nearest i with label c of exp(similarity_i / temperature)

    >>> bank, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    >>> knn_probs(np.array([[1.0, 0.0]]), bank, labels, 2, temperature=1.0).round(3).tolist()
    [[0.731, 0.269]]

    Args:
      features: floating [N, F], of what is classified.
      bank: floating [M, F], M at least 1.
      labels: integer [M], class ids of the bank.
      num_classes: K.
      k: neighbours that vote, at least 1; all of the bank where it has fewer.
      temperature: over 0; the paper's is 0.07.

    Returns:
      float64 [N, K], rows of sum 1.

    Raises:
      ValueError: as `nearest`, or there is not one label for each row of the bank.
    """
    if len(labels) != len(bank):
        raise ValueError(f"the bank has {len(bank)} rows and {len(labels)} labels.")
    index, similarity = nearest(features, bank, min(k, len(bank)))
    # The greatest weight is 1: exp(1 / 0.07) is large, and small temperatures would overflow.
    weights = np.exp((similarity.astype(np.float64) - similarity[:, :1]) / temperature)
    votes = np.zeros([len(features), num_classes])
    np.add.at(votes, (np.arange(len(features))[:, None], labels[index]), weights)
    return votes / votes.sum(axis=1, keepdims=True)


def _directions(rows: np.ndarray) -> np.ndarray:
    """Rows float32 of length 1; those of zeros as they are."""
    rows = np.asarray(rows, np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def _greatest(values: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k greatest values of each row, the greatest first, of equal ones the first."""
    least = np.partition(values, -k, axis=1)[:, -k, None]  # of those that are taken
    above = values > least
    # Of the equal ones at the edge the first are taken: as many as there is room for.
    equal = values == least
    room = k - above.sum(axis=1, keepdims=True)
    taken = above | (equal & (np.cumsum(equal, axis=1) <= room))
    columns = np.nonzero(taken)[1].reshape(-1, k)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
