"""`--select`: training learns images by the classes for which a model has chosen them."""

import os

import numpy as np

from mpl_tf import config, files
from mpl_tf.console import log
from mpl_tf.data.contents import Contents
from mpl_tf.data.dataset import Images
from mpl_tf.data.splits import Split
from mpl_tf.options import ConfigError
from mpl_tf.pools import ordered, selection, selection_list

PART = "selection"  # in what a run keeps of its images


def load(settings: config.Config, split: Split) -> Images | None:
    """The images of a run's selection, labeled by their classes; None without `select`.

    An image is there once for each class that has chosen it. Images of validation and test are
    left out, also those that this run alone holds back.

    Args:
      settings: of the run.
      split: its images.

    Raises:
      ConfigError: the selection cannot be read, is of other images or classes, or holds too few.
    """
    if not settings.data.select:
        return None
    path = settings.data.select
    about, pairs = selection_list.read(path)
    ids = {name: k for k, name in enumerate(split.class_names)}
    if unknown := [name for name in about["class_names"] if name not in ids]:
        raise ConfigError(
            f"select: {path} has {len(unknown)} classes that {settings.run.dataset} has not, such "
            f"as {unknown[0]!r}."
        )
    pool = ordered.whole_pool(split.source)
    if ordered.digest(pool) != about["images"]:
        raise ConfigError(
            f"select: {path} was made of other images ({about['dataset']}) than those of "
            f"{settings.run.dataset}, or of these as they were then."
        )
    _check_content(path, about, pairs, pool)
    held_out = [part for part in (split.validation, split.test) if part is not None]
    digests = [part.store.digests(part.positions) for part in held_out]
    seen = ~np.isin(pairs.digests, np.concatenate([np.empty(0, np.uint64), *digests]))
    if left_out := int((~seen).sum()):
        log.info(f"Selection: {left_out:,} pairs are of validation or test images, and left out")
    pairs = pairs.take(seen)
    if len(pairs) < settings.run.labeled_batch:
        raise ConfigError(
            f"labeled_batch must be at most the {len(pairs):,} pairs of image and class of {path}; "
            f"received {settings.run.labeled_batch}."
        )
    class_ids = np.array([ids[name] for name in about["class_names"]])
    labels = class_ids[pairs.classes]
    counts = np.bincount(labels, minlength=len(split.class_names))
    log.info(
        f"Selection: {len(pairs):,} pairs of image and class, {counts.min():,} to "
        f"{counts.max():,} a class, from {path}"
    )
    if empty := selection_list.empty_classes(split.class_names, counts):
        log.warning(f"Selection: {empty}. Only the labels teach these, by finetuning")
    return ordered.take(pool, pairs.positions).relabel(labels)


def _check_content(
    path: str, about: selection_list.About, pairs: selection.Pairs, pool: ordered.Positioned
) -> None:
    """Compares what a list says of images' content with the images at its positions.

    Raises:
      ConfigError: a position is none of the pool, or its image another one.
    """
    absent = pairs.positions >= len(pool)
    if absent.any():
        place = selection_list.place(path, about, int(np.argmax(absent)))
        raise ConfigError(f"select: {place}: its position is none of the {len(pool):,} images.")
    positions, rows = np.unique(pairs.positions, return_inverse=True)  # in the order of the files
    other = ordered.digests(pool, positions)[rows] != pairs.digests
    if count := int(other.sum()):
        row = int(np.argmax(other))
        raise ConfigError(
            f"select: {selection_list.place(path, about, row)}: the image at position "
            f"{pairs.positions[row]} has another content than {pairs.digests[row]:016x}; so it is "
            f"in {count:,} of {len(pairs):,} lines. Rows may be removed, not changed."
        )


def contents(settings: config.Config) -> dict[str, Contents]:
    """What tells a selection from the same one another day; nothing without `select`.

    Raises:
      ConfigError: it cannot be read.
    """
    if not settings.data.select:
        return {}
    path = os.path.join(settings.data.select, selection_list.LIST)
    try:
        digest = files.digests(settings.data.select, [selection_list.LIST])[selection_list.LIST]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    number = np.array([int(digest[:16], 16)], np.uint64)
    return {PART: Contents(np.array([selection_list.LIST]), np.array([-1]), number)}
