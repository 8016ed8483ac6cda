"""The unlabeled images of a dataset in order, each by its position."""

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from mpl_tf import data
from mpl_tf.data import splits
from mpl_tf.data.dataset import Images, Pool, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources.tfrecord_pool import StreamPool
from mpl_tf.options import ConfigError

# Pools whose images have positions.
Positioned: TypeAlias = Images | StreamPool


def load(dataset: str, options: DataConfig) -> Source:
    """The images of a dataset.

    Args:
      dataset: as `--dataset` of a run takes it.
      options: which of them, and where they are.

    Raises:
      ConfigError: there are none, or they cannot be read.
    """
    return data.find(dataset, options.data_dir).load(options)


def whole_pool(source: Source) -> Positioned:
    """All images that training may read without their labels: a run that holds none back has these.

    Args:
      source: of a dataset. Its labeled images come first, unless they lie in other files.

    Raises:
      ConfigError: the images have no positions.
    """
    return positioned(source.pool(source.train.without_labels()))


def positioned(pool: Pool) -> Positioned:
    """The pool, if its images have positions.

    Raises:
      ConfigError: they have none.
    """
    if isinstance(pool, Images | StreamPool):
        return pool
    raise ConfigError(
        "predictions are stored of images that have positions: a folder, arrays, TFRecord files or "
        "a set of TensorFlow Datasets."
    )


def digest(pool: Positioned) -> str:
    """SHA-256, hexadecimal: equal for equal images in the same order. Reads them, or their ends.

    Of a stream the files count, by names, sizes, numbers of records, first and last bytes.
    """
    if isinstance(pool, StreamPool):
        return hashlib.sha256(pool.contents().digest().encode()).hexdigest()
    digests = pool.store.digests(pool.positions)
    return hashlib.sha256(np.ascontiguousarray(digests, "<u8").tobytes()).hexdigest()


def held_out(source: Source, split_file: str = "") -> np.ndarray:
    """Digests of the images that training must not see: uint64 [n].

    Args:
      source: whose validation and test images these are.
      split_file: a split.json, whose validation images are so, too; "" is none.

    Raises:
      ConfigError: that cannot be read, or names other images.
    """
    parts = [part for part in (source.validation, source.test) if part is not None]
    if split_file and source.validation is None:
        of_run = splits.split(source, 0, 0, 0, ids=splits.read_ids(split_file)).validation
        parts += [] if of_run is None else [of_run]
    return np.concatenate(
        [np.empty(0, np.uint64), *(part.store.digests(part.positions) for part in parts)]
    )


def batches(pool: Positioned, first: int, last: int, batch: int) -> tf.data.Dataset:
    """Images in order, once.

    Args:
      pool: of which.
      first, last: positions, of the first image and behind the last.
      batch: images at once; the last batch may be smaller.

    Returns:
      tf.data.Dataset of (images uint8 [n, H, W, C], digests uint64 [n]).
    """
    if isinstance(pool, StreamPool):
        return pool.in_order(first).take(last - first).batch(batch).prefetch(2)
    chosen = pool.take(slice(first, last))
    slices = tf.data.Dataset.from_tensor_slices
    read = pool.store.batches(slices(chosen.positions).batch(batch), batch)
    known = slices(pool.store.digests(chosen.positions)).batch(batch)
    return tf.data.Dataset.zip(read, known).prefetch(2)


def take(pool: Positioned, positions: np.ndarray) -> Images:
    """Some images of a pool, in any order, perhaps some more than once; none has a label.

    Of a stream this looks up where their records lie, in the headers before them.

    Args:
      pool: of which.
      positions: int64 [n].
    """
    chosen = pool.take(positions)
    return chosen.without_labels()


def digests(pool: Positioned, positions: np.ndarray) -> np.ndarray:
    """What tells images apart, uint64 [n]; reads them, unless it was told of them.

    Args:
      pool: of which.
      positions: int64 [n].
    """
    found = take(pool, positions)
    return found.store.digests(found.positions)


def names(pool: Positioned, positions: np.ndarray) -> Sequence[str]:
    """What images are called: files of a folder, `file.tfrecord:number` of records.

    Args:
      pool: of which.
      positions: int64 [n].
    """
    if isinstance(pool, StreamPool):
        return pool.names(positions)
    return [str(name) for name in pool.ids[positions].tolist()]
