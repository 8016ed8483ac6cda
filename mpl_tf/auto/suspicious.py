"""Labels that predictions contradict (confident learning, Northcutt et al. 2021)."""

import numpy as np


def find(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images that are predicted to be of another class than their label says.

    The threshold of a class is the mean probability of the class on the images with that label
    (Northcutt et al. 2021, section 3.1, equation 2): of a class that is hard to predict, less is
    enough. An image is predicted to be of the most probable of the classes whose threshold it
    reaches, if there is one.

    Args:
      probs: floating [N, K], out-of-fold: an image's own label must have had no part in them. Rows
        of NaN are of images that were never held out; nothing is said of them.
      labels: integer [N].

    Returns:
      (positions, classes): integer [M] each, the images and the classes that they are predicted to
      be of, the surest first: ordered by the probability of that class less that of the label.
    """
    labels = np.asarray(labels)
    known = np.flatnonzero(np.all(np.isfinite(probs), axis=-1))
    probs, own = np.asarray(probs, np.float64)[known], labels[known]
    thresholds = np.full(probs.shape[-1], np.inf)
    for k in np.unique(own):
        thresholds[k] = probs[own == k, k].mean()
    reached = np.where(probs >= thresholds, probs, -1)
    classes = np.argmax(reached, axis=-1)
    rows = np.arange(len(known))
    contradicts = (reached[rows, classes] >= 0) & (classes != own)
    ahead = probs[rows, classes] - probs[rows, own]
    chosen = np.flatnonzero(contradicts & (ahead > 0))
    chosen = chosen[np.argsort(-ahead[chosen], kind="stable")]
    return known[chosen], classes[chosen]
