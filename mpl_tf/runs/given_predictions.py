"""`--predictions`: a stored table of a pool's predictions in place of those of a teacher."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import final

import numpy as np

from mpl_tf import config, console, files
from mpl_tf.console import log
from mpl_tf.data.contents import Contents
from mpl_tf.data.dataset import Images
from mpl_tf.data.splits import Split
from mpl_tf.engine import pool_predictions
from mpl_tf.options import ConfigError
from mpl_tf.pools import matching, ordered, predictions

PART = "predictions"  # in what a run keeps of its images
_BLOCK_BYTES = 1 << 25  # of predictions that are looked at together


@final
@dataclasses.dataclass(frozen=True, eq=False)
class _OfSome:
    """Predictions of some images of a pool.

    Attributes:
      whole: those of all of them.
      rows: int64 [M], where each of the images lies there.
    """

    whole: predictions.Predictions
    rows: np.ndarray

    def read(self, positions: np.ndarray) -> np.ndarray:
        return self.whole.read(self.rows[positions])


def find(settings: config.Config) -> predictions.Predictions | None:
    """The table that a run is given; None without `predictions`. No image is read.

    Args:
      settings: of the run.

    Raises:
      ConfigError: it is not there, not complete or damaged.
    """
    path = settings.data.predictions
    if not path:
        return None
    try:
        return predictions.Predictions(path)
    except ConfigError as error:
        raise ConfigError(f"predictions: {error}") from error


def load(settings: config.Config, split: Split) -> pool_predictions.Predictions | None:
    """Stored predictions of a run's unlabeled images by their places; None without `predictions`.

    The table is of all images of the dataset; a run that holds some of them back reads the rows of
    the others.

    Args:
      settings: of the run.
      split: its images.

    Raises:
      ConfigError: as `find`; or it is of other images or classes.
    """
    whole = find(settings)
    if whole is None:
        return None
    dataset, about = settings.run.dataset, whole.about
    _check_classes(whole, split.class_names, dataset)
    pool = ordered.whole_pool(split.source)
    if len(pool) != len(whole) or ordered.digest(pool) != about["images"]:
        raise ConfigError(
            f"predictions must be of the {len(pool):,} images of {dataset} as they are now; "
            f"received {whole.path}, of {len(whole):,} images of {about['dataset']}."
        )
    _check_rows(whole, pool)
    log.info(f"Predictions: of {about['model_path']}, from {whole.path}; no teacher is trained")
    some = split.unlabeled
    if not isinstance(pool, Images) or not isinstance(some, Images):
        return whole  # a stream is never divided
    return _OfSome(whole, _rows(pool.positions, some.positions))


def contents(settings: config.Config) -> dict[str, Contents]:
    """What tells predictions from the same ones another day; nothing without `predictions`.

    Of `about.json` what says of which model and images they are counts, and of the probabilities
    all: a run that goes on with others would be neither one nor the other.

    Raises:
      ConfigError: as `find`; or a file cannot be read.
    """
    table = find(settings)
    if table is None:
        return {}
    about = table.about
    text = json.dumps([about["model"], about["images"], about["class_names"], about["image_shape"]])
    told = {predictions.ABOUT: hashlib.sha256(text.encode()).hexdigest()}
    shards = [predictions.shard_name("probs", number) for number in range(table.shards)]
    try:
        told |= files.digests(table.path, shards)
    except OSError as error:
        raise ConfigError(f"{table.path} cannot be read: {files.reason(error)}.") from error
    numbers = np.array([int(digest[:16], 16) for digest in told.values()], np.uint64)
    return {PART: Contents(np.array(list(told)), np.full(len(told), -1), numbers)}


def _check_rows(table: predictions.Predictions, pool: ordered.Positioned) -> None:
    """Raises ConfigError unless a table's rows are probabilities, of a pool's images in order."""
    try:
        matching.check(table, pool)
        pace = console.Pace(f"checking the predictions in {table.path}")
        rows = max(1, _BLOCK_BYTES // (2 * len(table.class_names)))
        for first, probs, _ in table.blocks(rows):
            pace.tell(first + len(probs), len(table))
    except ConfigError as error:
        raise ConfigError(f"predictions: {error}") from error


def _check_classes(
    table: predictions.Predictions, class_names: Sequence[str], dataset: str
) -> None:
    """Raises ConfigError unless columns of a table are the classes of a dataset, in their order."""
    if len(table.class_names) != len(class_names):
        raise ConfigError(
            f"predictions must be of the {len(class_names)} classes of {dataset}; received "
            f"{table.path}, of {len(table.class_names)} classes."
        )
    for number, (here, there) in enumerate(zip(class_names, table.class_names, strict=True)):
        if here != there:
            raise ConfigError(
                f"predictions must have the classes of {dataset} in their order, with {here!r} as "
                f"class {number}; received {table.path}, which has {there!r} there."
            )


def _rows(whole: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Where each of `some` numbers [M] is in `whole` [N], which has all of them: int64 [M]."""
    order = np.argsort(whole)
    return order[np.searchsorted(whole, some, sorter=order)]
