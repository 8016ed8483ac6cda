"""Which images are labeled, unlabeled and for validation: class-balanced, seeded, repeatable."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np

from mpl_tf import files
from mpl_tf.data.dataset import Images, Pool, Source
from mpl_tf.options import ConfigError


def balanced_choice(labels: np.ndarray, count: int, seed: int | Sequence[int]) -> np.ndarray:
    """Positions of `count` images, the same number of each class.

    For one seed the choices are nested: a smaller count chooses a part of a larger one.

    Args:
      labels: integer [N], class ids.
      count: a multiple of the number of classes.
      seed: of the choice.

    Returns:
      int64 [count], sorted.

    Raises:
      ValueError: `count` is no multiple of the classes, or a class has too few images.
    """
    classes = np.unique(labels)
    per_class, remainder = divmod(count, len(classes))
    if remainder:
        raise ValueError(
            f"a class-balanced choice needs a multiple of {len(classes)}; received {count}."
        )
    generator = np.random.default_rng(seed)
    chosen = []
    for k in classes:
        of_class = generator.permutation(np.flatnonzero(labels == k))
        if len(of_class) < per_class:
            raise ValueError(f"class {k} has {len(of_class)} images; {per_class} are asked for.")
        chosen.append(of_class[:per_class])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def equally_frequent(images: Images) -> Images:
    """Labeled images in which all classes are equally frequent: those of rare ones come repeated.

    Each class has as many images as the most frequent one; its own come in turn until there are so
    many, so that none is there more than once more often than another of its class.

    Args:
      images: labeled ones.

    Returns:
      Images [K * n], n the images of the most frequent of the K classes that there are; the same
      object if classes are equally frequent.
    """
    classes, counts = np.unique(images.labels, return_counts=True)
    most = counts.max()
    if np.all(counts == most):
        return images
    turns = [np.resize(np.flatnonzero(images.labels == k), most) for k in classes]
    return images.take(np.sort(np.concatenate(turns)))


@dataclasses.dataclass(frozen=True)
class Split:
    """The parts of a dataset for one run.

    No image is in two of them, but for labeled ones, which may be in `unlabeled` too.

    Attributes:
      labeled: the labeled images.
      unlabeled: whose labels, where known, are for diagnostics alone.
      validation, test: None if there are none.
      class_names: the names of the classes, by id.
      source: all images of the dataset, of which these are.
    """

    labeled: Images
    unlabeled: Pool
    validation: Images | None
    test: Images | None
    class_names: tuple[str, ...]
    source: Source

    def images_for_training(self) -> list[Images]:
        """The labeled images and the unlabeled ones, if these have positions."""
        parts = self.labeled, self.unlabeled
        return [part for part in parts if isinstance(part, Images) and len(part)]

    def to_json(self) -> dict[str, Any]:
        """What split.json holds: what the networks answer, and the ids that make this split again.

        With `class_names`, `image_shape` and `num_unlabeled` a trained network can be built again
        without the data.
        """
        parts = {"labeled": self.labeled, "validation": self.validation}
        ids = {name: [] if part is None else part.ids.tolist() for name, part in parts.items()}
        about = {
            "class_names": list(self.class_names),
            "image_shape": list(self.labeled.shape),
            "num_unlabeled": self.unlabeled.size,
        }
        return about | ids


class _Ids(TypedDict):
    """What is read of a split.json."""

    labeled: list[str | int]
    validation: list[str | int]
    class_names: NotRequired[list[str]]


def read_ids(path: str) -> dict[str, list]:
    """What divides images again as in a split.json.

    Returns:
      "labeled" and "validation" -> list of ids; "class_names" -> list, if they are there.

    Raises:
      ConfigError: the file cannot be read, holds something else, or names no labeled image.
    """
    try:
        content = files.read_json(path, _Ids)
    except ConfigError as error:
        raise ConfigError(f"split_file {error}") from error
    if not content["labeled"]:
        raise ConfigError(f"split_file {path} names no labeled image.")
    return {name: content[name] for name in _Ids.__annotations__ if name in content}


def split(
    source: Source,
    num_labeled: int,
    num_validation: int,
    seed: int,
    *,
    exclude_labeled: bool = False,
    ids: Mapping[str, list] | None = None,
) -> Split:
    """A pure function of its arguments.

    Args:
      source: all images.
      num_labeled: a multiple of the number of classes; 0 is all there are.
      num_validation: likewise, taken out of `source.train`; chosen first, so that it does not
        depend on `num_labeled`. Of no effect where the source has validation images.
      seed: of the choices.
      exclude_labeled: whether to leave labeled images out of the unlabeled ones, and copies of
        those of all parts.
      ids: what `read_ids` gives, in place of choices by seed; None chooses.

    Raises:
      ValueError: see `balanced_choice`.
      ConfigError: an id is not in the source's training images, or is there twice; or the ids are
        those of images of other classes.
    """
    train, validation = source.train, source.validation
    carved = np.array([], np.int64)
    if ids is None:
        if validation is None and num_validation:
            carved = balanced_choice(train.labels, num_validation, [seed, 0])
        trained_on = np.setdiff1d(np.arange(len(train)), carved)
        labeled = trained_on
        if num_labeled:
            labeled = trained_on[balanced_choice(train.labels[trained_on], num_labeled, [seed, 1])]
    else:
        class_names = ids.get("class_names", list(source.class_names))
        if class_names != list(source.class_names):
            raise ConfigError(
                f"split_file is of images of other classes: {_named(class_names)} there, and "
                f"{_named(source.class_names)} here."
            )
        position = {name: i for i, name in enumerate(train.ids.tolist())}
        labeled = _positions(ids["labeled"], position, "labeled")
        if validation is None:
            carved = _positions(ids["validation"], position, "validation")
        if np.intersect1d(labeled, carved).size:
            raise ConfigError("split_file has images that are labeled and validation at once.")
        trained_on = np.setdiff1d(np.arange(len(train)), carved)

    # The labels of labeled images are known: in the pool they would flatter the diagnostics.
    hidden = train.labels.copy()
    hidden[labeled] = -1
    pool = np.setdiff1d(trained_on, labeled) if exclude_labeled else trained_on
    unlabeled = source.pool(train.relabel(hidden).take(pool), without_copies=exclude_labeled)
    if validation is None and len(carved):
        validation = train.take(carved)
    return Split(
        train.take(labeled), unlabeled, validation, source.test, source.class_names, source
    )


def _named(class_names):
    return ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else "")


def _positions(ids, position, part):
    missing = [name for name in ids if name not in position]
    if missing:
        raise ConfigError(
            f"split_file: {len(missing)} {part} ids are not among the training images, for example "
            f"{missing[0]!r}; it belongs to another dataset."
        )
    if len(set(ids)) < len(ids):
        raise ConfigError(f"split_file: some {part} ids occur twice.")
    return np.sort(np.array([position[name] for name in ids], np.int64))
