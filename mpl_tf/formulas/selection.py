"""Which images of a pool are the surest of each class: pure functions.

Each image stands for the classes that it is likeliest of, and each class keeps the images that are
likeliest of it (Yalniz et al. 2019, arXiv 1905.00546, section 2.2; Pham et al. 2021, section 3.3,
keeps 12,800 images a class).
"""

import numpy as np


def likeliest(probs: np.ndarray, count: int) -> np.ndarray:
    """Which classes images are likeliest of; of classes that are equally likely the first ones.

    >>> probs = np.array([[0.5, 0.1, 0.4], [0.2, 0.6, 0.2]], np.float16)
    >>> likeliest(probs, 2).tolist()
    [[True, False, True], [True, True, False]]

    Args:
      probs: floating [n, K], not negative.
      count: classes P of each image, from 1 to K.

    Returns:
      bool [n, K], P of each row.
    """
    # The bits of floating numbers that are not negative are in their order, and are faster.
    values = probs.view(np.int16) if probs.dtype == np.float16 else probs
    least = np.partition(values, -count, axis=1)[:, -count, None]
    chosen = values >= least
    many = np.flatnonzero(chosen.sum(axis=1) > count)
    equal = values[many] == least[many]
    room = count - (values[many] > least[many]).sum(axis=1, keepdims=True)
    chosen[many] &= ~equal | (equal.cumsum(axis=1) <= room)
    return chosen


def surest(
    classes: np.ndarray, confidences: np.ndarray, digests: np.ndarray, count: int
) -> np.ndarray:
    """The pairs of image and class in which a class is surest of the image.

    Classes prefer greater confidences, and of equal ones smaller digests: an order that does not
    depend on that of the images, and by which the choice of all is that of the choices of parts.
    Of images that are copies, a class keeps the one with the greatest confidence, or the first.

    >>> classes = np.array([0, 0, 1, 0, 0])
    >>> confidences = np.array([0.5, 0.9, 0.7, 0.9, 0.6], np.float16)
    >>> digests = np.array([4, 8, 4, 8, 5], np.uint64)
    >>> surest(classes, confidences, digests, 2).tolist()
    [1, 4, 2]

    Args:
      classes: integer [n].
      confidences: floating [n], of the class in the image.
      digests: integer [n], equal for copies.
      count: pairs K that a class keeps at most.

    Returns:
      int64 [m], rows, by class and then from the surest one on.
    """
    # Copies together, the surest first; of these the others go.
    order = np.lexsort((-confidences, digests, classes))
    is_first = np.ones(len(order), bool)
    is_first[1:] = np.diff(classes[order]) != 0
    is_first[1:] |= digests[order][1:] != digests[order][:-1]
    rows = order[is_first]
    rows = rows[np.lexsort((digests[rows], -confidences[rows], classes[rows]))]
    _, begins, counts = np.unique(classes[rows], return_index=True, return_counts=True)
    ranks = np.arange(len(rows)) - np.repeat(begins, counts)
    return rows[ranks < count]
