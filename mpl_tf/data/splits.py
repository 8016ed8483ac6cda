"""Class-balanced, seeded choices of images."""

import dataclasses

import numpy as np

from mpl_tf.data.dataset import Images


def balanced_choice(labels, count, seed):
    """Positions of `count` images, the same number of each class.

    For one seed the choices are nested: a smaller count chooses a part of a larger one.

    Args:
      labels: integer [N], class ids.
      count: int, a multiple of the number of classes.
      seed: int or sequence of int.

    Returns:
      int64 [count], sorted.

    Raises:
      ValueError: `count` is no multiple of the classes, or a class has too few images.
    """
    classes = np.unique(labels)
    each, rest = divmod(count, len(classes))
    if rest:
        raise ValueError(
            f"a class-balanced choice needs a multiple of {len(classes)}; received {count}."
        )
    generator = np.random.default_rng(seed)
    chosen = []
    for k in classes:
        of_class = generator.permutation(np.flatnonzero(labels == k))
        if len(of_class) < each:
            raise ValueError(f"class {k} has {len(of_class)} images; {each} are asked for.")
        chosen.append(of_class[:each])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Split:
    """The parts of a dataset for one run; no image is in two of them.

    Attributes:
      labeled, unlabeled, validation, test: Images. Labels of `unlabeled` are not for training.
    """

    labeled: Images
    unlabeled: Images
    validation: Images
    test: Images


def split(train, test, num_labeled, num_validation, seed):
    """A pure function of its arguments.

    Args:
      train: Images to divide into labeled, unlabeled and validation.
      test: Images, passed on.
      num_labeled: int, a multiple of the number of classes.
      num_validation: int, likewise; chosen first, so it does not depend on `num_labeled`.
      seed: int.

    Returns:
      Split.

    Raises:
      ValueError: see `balanced_choice`.
    """
    validation = balanced_choice(train.labels, num_validation, [seed, 0])
    rest = np.setdiff1d(np.arange(len(train)), validation)
    labeled = rest[balanced_choice(train.labels[rest], num_labeled, [seed, 1])]
    unlabeled = np.setdiff1d(rest, labeled)
    return Split(train.take(labeled), train.take(unlabeled), train.take(validation), test)
