"""Which unlabeled images would help most if they were labeled."""

import numpy as np
import threadpoolctl
from sklearn.cluster import kmeans_plusplus

_POOL = 10  # uncertain images among which one is chosen
_MOST = 0.5  # of all images, that are among these: the others are the surer half
_LEAST_WEIGHT = 1e-6


def uncertainty(probs: np.ndarray) -> np.ndarray:
    """How little the most probable class is ahead of the next: 1 - (p_1 - p_2), in [0, 1].

    Args:
      probs: floating [N, K], K at least 2.

    Returns:
      float64 [N].
    """
    top = np.partition(probs, -2, axis=-1)[:, -2:].astype(np.float64)
    return 1 - (top[:, 1] - top[:, 0])


def choose(
    probs: np.ndarray,
    features: np.ndarray,
    count: int,
    seed: int,
    among: np.ndarray | None = None,
) -> np.ndarray:
    """Images that are uncertain and different from one another: a function of its arguments.

    Of the most uncertain images, ten times as many as are wanted but at most half of all, those are
    drawn that k-means++ (Arthur & Vassilvitskii 2007) would start from: one after the other, with a
    probability that grows with an image's uncertainty and with its squared distance from those
    drawn before. So the first n of the choice are different from one another, too, for any n.

    Features are compared by their direction. No more than the features of the most uncertain images
    are in memory at once, and no table of all distances.

    Args:
      probs: floating [N, K], class probabilities of the unlabeled images.
      features: floating [N, F], also mapped from a file.
      count: how many are wanted.
      seed: of what is drawn.
      among: integer [M], positions of the images that may be chosen; None is all.

    Returns:
      int64 [min(count, M)], positions of different images, the first drawn first.
    """
    among = np.arange(len(probs)) if among is None else among
    count = min(count, len(among))
    if not count:
        return np.zeros(0, np.int64)
    uncertain = uncertainty(probs)
    size = max(count, min(_POOL * count, int(_MOST * len(among))))
    order = among[np.argsort(-uncertain[among], kind="stable")[:size]]
    rows = np.asarray(features[np.sort(order)], np.float32)[np.argsort(np.argsort(order))]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    weight = np.maximum(uncertain[order], _LEAST_WEIGHT)
    with threadpoolctl.threadpool_limits(1):
        _, drawn = kmeans_plusplus(
            rows, min(count, len(np.unique(rows, axis=0))), sample_weight=weight, random_state=seed
        )
    drawn = list(dict.fromkeys(drawn.tolist()))
    # Where there are too few different images, equal ones fill up, the most uncertain first.
    left = np.setdiff1d(np.arange(len(order)), drawn)
    drawn += left[: count - len(drawn)].tolist()
    return order[np.array(drawn, np.int64)]
