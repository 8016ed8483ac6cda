"""Which images are labeled, unlabeled and for validation: class-balanced, seeded, repeatable."""

import dataclasses
import json

import numpy as np

from mpl_tf.data.dataset import Images
from mpl_tf.options import ConfigError


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
    """The parts of a dataset for one run.

    No image is in two of them, but for labeled ones, which may be in `unlabeled` too.

    Attributes:
      labeled: Images.
      unlabeled: Images, whose labels, where known, are for diagnostics; or a tfrecord_store.Stream.
      validation, test: Images, or None.
      class_names: tuple of str.
    """

    labeled: Images
    unlabeled: object
    validation: Images | None
    test: Images | None
    class_names: tuple

    def to_json(self):
        """What split.json holds: what the networks answer, and the ids that make this split again.

        With `class_names`, `image_shape` and `num_unlabeled` a trained network can be built again
        without the data.
        """
        chosen = {"labeled": self.labeled, "validation": self.validation}
        ids = {name: [] if part is None else part.ids.tolist() for name, part in chosen.items()}
        about = {
            "class_names": list(self.class_names),
            "image_shape": list(self.labeled.shape),
            "num_unlabeled": len(self.unlabeled),
        }
        return about | ids


def read_ids(path):
    """The ids in a split.json: dict of "labeled" and "validation" -> list of ids.

    Raises:
      ConfigError: the file cannot be read or is no such file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"split_file {path} cannot be read: {error}.") from error
    names = ("labeled", "validation")
    if not isinstance(found, dict) or not all(isinstance(found.get(n), list) for n in names):
        raise ConfigError(f'split_file {path} must hold {{"labeled": [...], "validation": [...]}}.')
    if not found["labeled"]:
        raise ConfigError(f"split_file {path} names no labeled image.")
    return {name: found[name] for name in names}


def split(source, num_labeled, num_validation, seed, *, exclude_labeled=False, ids=None):
    """A pure function of its arguments.

    Args:
      source: data.dataset.Source.
      num_labeled: int, a multiple of the number of classes; 0 is all there are.
      num_validation: int, likewise, taken out of `source.train`; chosen first, so that it does not
        depend on `num_labeled`. Of no effect where the source has validation images.
      seed: int.
      exclude_labeled: bool, whether to leave labeled images out of the unlabeled ones.
      ids: what `read_ids` gives, in place of choices by seed; None chooses.

    Returns:
      Split.

    Raises:
      ValueError: see `balanced_choice`.
      ConfigError: an id is not in the source's training images, or is there twice.
    """
    train, own = source.train, source.validation
    carved = np.array([], np.int64)
    if ids is None:
        if own is None and num_validation:
            carved = balanced_choice(train.labels, num_validation, [seed, 0])
        rest = np.setdiff1d(np.arange(len(train)), carved)
        labeled = rest
        if num_labeled:
            labeled = rest[balanced_choice(train.labels[rest], num_labeled, [seed, 1])]
    else:
        place = {name: i for i, name in enumerate(train.ids.tolist())}
        labeled = _positions(ids["labeled"], place, "labeled")
        if own is None:
            carved = _positions(ids["validation"], place, "validation")
        if np.intersect1d(labeled, carved).size:
            raise ConfigError("split_file has images that are labeled and validation at once.")
        rest = np.setdiff1d(np.arange(len(train)), carved)

    # The labels of labeled images are known: in the pool they would flatter the diagnostics.
    hidden = train.labels.copy()
    hidden[labeled] = -1
    pool = np.setdiff1d(rest, labeled) if exclude_labeled else rest
    unlabeled = train.relabel(hidden).take(pool)
    if source.unlabeled is not None:
        joins = isinstance(source.unlabeled, Images)
        unlabeled = unlabeled.join(source.unlabeled) if joins else source.unlabeled
    validation = train.take(carved) if own is None and len(carved) else own
    return Split(train.take(labeled), unlabeled, validation, source.test, source.class_names)


def _positions(ids, place, part):
    missing = [name for name in ids if name not in place]
    if missing:
        raise ConfigError(
            f"split_file: {len(missing)} {part} ids are not among the training images, for example "
            f"{missing[0]!r}; it belongs to another dataset."
        )
    if len(set(ids)) < len(ids):
        raise ConfigError(f"split_file: some {part} ids occur twice.")
    return np.sort(np.array([place[name] for name in ids], np.int64))
