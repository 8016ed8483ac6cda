"""Cross-validation: which labeled images are held out together."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedKFold

MOST = 5  # folds

# In the place of a fold's number: the image is always trained on.
NEVER_HELD_OUT = -1


def stratified(labels: np.ndarray, seed: int, most: int = MOST) -> np.ndarray:
    """Folds in which each class is spread as evenly as it can be: a function of labels and seed.

    A class with a single label cannot be held out: who trains without it knows nothing of the
    class. Its image belongs to no fold, and estimates say nothing of the class. Where all classes
    have a single label, there is no fold at all, and candidates cannot be compared.

    Args:
      labels: integer [N], class ids.
      seed: from which the folds are drawn.
      most: folds, at least 2; fewer where no class has as many labels.

    Returns:
      int64 [N]: the number of each image's fold, from 0, or NEVER_HELD_OUT. Without the images of a
      fold each class still has a label.
    """
    labels = np.asarray(labels)
    folds = np.full(len(labels), NEVER_HELD_OUT, np.int64)
    counts = np.bincount(labels, minlength=1)
    divided = np.flatnonzero(counts[labels] > 1)
    if not divided.size:
        return folds
    splitter = StratifiedKFold(min(most, counts.max()), shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # of classes with fewer labels than there are folds
        warnings.simplefilter("ignore")
        parts = list(splitter.split(divided, labels[divided]))
    for number, (_, held_out) in enumerate(parts):
        folds[divided[held_out]] = number
    return folds


def count(folds: np.ndarray) -> int:
    """How many folds there are; 0 if no image can be held out."""
    return int(np.max(folds, initial=NEVER_HELD_OUT)) + 1
