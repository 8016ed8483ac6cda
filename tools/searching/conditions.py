"""Conditions of a search: how many labels a class, and what is wrong with the images."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mpl_tf.data.dataset import Images, Source
from mpl_tf.data.splits import Split

Damage = Callable[[Split, int], Split]  # of a split and a seed


@dataclasses.dataclass(frozen=True)
class Condition:
    """What a search is repeated under.

    Attributes:
      name: by which it is called.
      per_class: labels of each class.
      damage: what is done to the split of a seed.
      changes: option name -> value, in place of those that are chosen.
    """

    name: str
    per_class: int
    damage: Damage
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def of_labels(per_class: Sequence[int]) -> list[Condition]:
    """A condition for each number of labels a class, in which nothing is wrong."""
    return [
        Condition(f"{n} {'label' if n == 1 else 'labels'} a class", n, _nothing) for n in per_class
    ]


def of_faults(per_class: int, source: Source) -> list[Condition]:
    """Conditions in which labels, classes, their shares, or the balance of terms are wrong.

    Args:
      per_class: labels of each class.
      source: the images. With fewer than four classes none of them are foreign, and the shares of
        classes can be made unequal only where the classes of unlabeled images are known.
    """
    damages: dict[str, Damage] = {
        "20% of labels wrong": lambda split, seed: wrong_labels(split, 0.2, seed),
        "40% of labels wrong": lambda split, seed: wrong_labels(split, 0.4, seed),
    }
    if len(source.class_names) >= 4:
        damages["unlabeled images of twice the classes"] = foreign_classes
    others = source.unlabeled
    if others is None or (isinstance(others, Images) and others.labels.min(initial=0) >= 0):
        damages["unlabeled classes 10:1"] = unbalanced
    faults = [
        Condition(f"{per_class} a class, {name}", per_class, d) for name, d in damages.items()
    ]
    balances = {"UDA weight 8": 8.0, "UDA off": 0.0}
    for name, weight in balances.items():
        changes = {"uda_weight": weight}
        faults.append(Condition(f"{per_class} a class, {name}", per_class, _nothing, changes))
    return faults


def wrong_labels(split: Split, share: float, seed: int) -> Split:
    """A share of the labels of each class replaced by other classes, at random."""
    generator = np.random.default_rng([seed, 10])
    labels = split.labeled.labels.copy()
    classes = labels.max() + 1
    for k in range(classes):
        of_class = np.flatnonzero(split.labeled.labels == k)
        wrong = generator.permutation(of_class)[: round(share * len(of_class))]
        labels[wrong] = (k + generator.integers(1, classes, len(wrong))) % classes
    return dataclasses.replace(split, labeled=split.labeled.relabel(labels))


def foreign_classes(split: Split, seed: int) -> Split:
    """The first half of the classes is known; the unlabeled images have all."""
    del seed
    names = split.class_names[: len(split.class_names) // 2]

    def known(images: Images) -> Images:
        return images.take(np.flatnonzero(images.labels < len(names)))

    return dataclasses.replace(
        split,
        labeled=known(split.labeled),
        validation=None if split.validation is None else known(split.validation),
        test=None if split.test is None else known(split.test),
        class_names=names,
    )


def unbalanced(split: Split, seed: int) -> Split:
    """Unlabeled classes fall off geometrically to a tenth, in a random order of classes."""
    assert isinstance(split.unlabeled, Images)
    generator, classes = np.random.default_rng([seed, 11]), len(split.class_names)
    shares = 10.0 ** -(generator.permutation(classes) / (classes - 1))
    kept = []
    for k, share in enumerate(shares):
        of_class = generator.permutation(np.flatnonzero(split.unlabeled.labels == k))
        kept.append(of_class[: round(share * len(of_class))])
    pool = split.unlabeled.take(np.sort(np.concatenate(kept)))
    return dataclasses.replace(split, unlabeled=pool)


def _nothing(split: Split, seed: int) -> Split:
    del seed
    return split
