"""Which of the predictions are shown: of each class some that are sure, and some that are not."""

import numpy as np


def choose(probs: np.ndarray, most: int) -> np.ndarray:
    """Images of each predicted class, ordered by class, the surest of it first.

    Each class that is predicted has an equal share, of which the first half are its surest images
    and the others its least sure ones; what a class does not fill goes to the others.

    Args:
      probs: floating [N, K], class probabilities.
      most: images, at most.

    Returns:
      int64 [min(N, most)], positions. Where there are more classes than images are shown, the
      classes with the most images have one each.
    """
    predicted, sureness = np.argmax(probs, axis=-1), np.max(probs, axis=-1)
    counts = np.bincount(predicted, minlength=probs.shape[-1])
    shares = np.zeros_like(counts)
    while shares.sum() < min(most, len(probs)):
        open_classes = np.flatnonzero(shares < counts)
        # Of those with the fewest so far, the largest classes first.
        fewest = open_classes[shares[open_classes] == shares[open_classes].min()]
        fewest = fewest[np.argsort(-counts[fewest], kind="stable")]
        shares[fewest[: min(most, len(probs)) - shares.sum()]] += 1
    chosen = [np.zeros(0, np.int64)]
    for k in np.flatnonzero(shares):
        members = np.flatnonzero(predicted == k)
        members = members[np.argsort(-sureness[members], kind="stable")]
        sure = (shares[k] + 1) // 2
        chosen += [members[:sure], members[len(members) - (shares[k] - sure) :]]
    return np.concatenate(chosen)
