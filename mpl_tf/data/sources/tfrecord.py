"""TFRecord shards as a dataset: labeled images by their number, the unlabeled pool as a stream."""

import dataclasses
import os
import re

import numpy as np
import tensorflow as tf

from mpl_tf.data import stores
from mpl_tf.data.dataset import Dataset, Images, Source
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.data.sources.tfrecord_store import RecordStore, Stream
from mpl_tf.images import decode, example
from mpl_tf.options import ConfigError


class Pool:
    """Unlabeled images that are read in shuffled batches alone; batch t is a function of (seed, t).

    Args:
      stream: tfrecord_store.Stream.
      size: int, side of the images in pixels.
      channels: int, 1 or 3.
    """

    def __init__(self, stream, size, channels):
        self._stream, self.shape = stream, (size, size, channels)
        self.labels = np.full(1, -1)  # none is known for diagnostics

    def __len__(self):
        return len(self._stream)

    def batches(self, batch, *, seed, stream, start=0, rows=(0, None)):
        """Endless batches: images uint8 [n, H, W, C], labels int64 [n] of -1, index int64 [n].

        The index of an image counts through the files in order.
        """
        size = batch - rows[0] if rows[1] is None else rows[1]

        def load(encoded, number):
            image = decode.decode(encoded, self.shape[0], self.shape[2])
            return tf.ensure_shape(image, self.shape), tf.constant(-1, tf.int64), number

        data = self._stream.batches(batch, seed, stream, start, rows)
        data = data.map(lambda encoded, label, number: (encoded, number)).unbatch()
        data = data.map(load, tf.data.AUTOTUNE, deterministic=True)
        return data.batch(size, drop_remainder=True)


def dataset(pattern):
    """The Dataset behind `--dataset=tfrecord:PATTERN`; see `open_pattern`."""
    parts = open_pattern(pattern)
    count, carved = len(parts.labeled), 0
    if parts.validation is None:
        smallest = int(np.bincount(parts.labeled.labels).min())
        carved = len(parts.class_names) * (smallest // 10)
    recipe = {"num_labeled": 0, "num_validation": carved}
    return Dataset(lambda options: load(parts, options), recipe, available=count)


def load(parts, options):
    """The images of TFRecord files.

    Args:
      parts: Parts.
      options: data.options.DataConfig.

    Returns:
      data.dataset.Source; images are colour unless the first labeled one is grey. `train` is the
      labeled part, with its numbers as ids; the unlabeled pool does not hold it.

    Raises:
      ConfigError: an image of the labeled, validation or test part cannot be decoded.
    """
    size = options.image_size or 32
    first = parts.labeled.read([0])[0]
    channels = decode.channels(example.parse(first)[0].numpy())

    def images(store):
        if store is None or not len(store):
            return None
        encoded = stores.EncodedStore(store.image, size, channels or 3)
        count = len(store)
        pixels = stores.in_memory(encoded, count)
        return Images(pixels, np.arange(count), store.labels, np.arange(count))

    return Source(
        images(parts.labeled),
        parts.class_names,
        Pool(parts.unlabeled, size, channels or 3),
        images(parts.validation),
        images(parts.test),
    )


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a pattern stands for.

    Attributes:
      labeled: RecordStore.
      unlabeled: Stream.
      class_names: tuple of str.
      validation, test: RecordStore, or None.
    """

    labeled: RecordStore
    unlabeled: Stream
    class_names: tuple
    validation: RecordStore | None = None
    test: RecordStore | None = None


def open_pattern(pattern, progress=None):
    """The parts of a set of TFRecord files, whose names begin with `labeled-`, `unlabeled-`, ...

    Args:
      pattern: str, a folder, whose `*.tfrecord*` are taken, or a pattern with `*` and `?`.
      progress: as for `describe`.

    Returns:
      Parts. The names of the classes are those of info.json, else "0" to the greatest label.

    Raises:
      ConfigError: nothing is there, labeled or unlabeled files are missing, files of a folder are
        incomplete (`-00001-of-00008` without the others), a part holds no record, images or labels
        are missing, labels are out of range; or see `scan` and `read_info`.
    """
    folder = tf.io.gfile.isdir(pattern)
    wanted = os.path.join(pattern, "*.tfrecord*") if folder else pattern
    paths = [p for p in sorted(tf.io.gfile.glob(wanted)) if not os.path.basename(p).startswith(".")]
    files = {part: [] for part in tfrecord_format.PARTS}
    for path in paths:
        part = os.path.basename(path).partition("-")[0]
        if part not in files:
            prefixes = ", ".join(f"{name}-" for name in tfrecord_format.PARTS)
            raise ConfigError(f"{path} must begin with one of {prefixes}.")
        files[part].append(path)
    for part in ("labeled", "unlabeled"):
        if not files[part]:
            raise ConfigError(
                f"no {part} images: of the {len(paths)} files that match {wanted} none is called "
                f"like {part}-00000-of-00001.tfrecord."
            )
    if folder:
        _check_complete(paths)
    infos = [
        tfrecord_format.read_info(place)
        for place in sorted({os.path.dirname(path) for path in paths})
    ]
    names = {names for names, _ in infos if names}
    if len(names) > 1:
        raise ConfigError(f"the {tfrecord_format.INFO} files of {wanted} name different classes.")
    known = {path: shard for _, shards in infos for path, shard in shards.items()}
    single = set(paths).difference(files["unlabeled"])
    shards = dict(zip(paths, tfrecord_format.describe(paths, known, single, progress), strict=True))
    parts = {part: [shards[path] for path in found] for part, found in files.items() if found}
    for some in parts.values():
        _check_first(some)
    pool = Stream(parts.pop("unlabeled"))
    stores = {part: RecordStore(some) for part, some in parts.items()}
    class_names = next(iter(names), None)
    if class_names is None:
        class_names = tuple(map(str, range(int(stores["labeled"].labels.max(initial=0)) + 1)))
    for part, store in stores.items():
        for record in np.flatnonzero((store.labels < 0) | (store.labels >= len(class_names)))[:1]:
            raise ConfigError(
                f"labels of {part} images must be from 0 to {len(class_names) - 1}; received "
                f"{store.labels[record]} in record {record} (-1: none)."
            )
    return Parts(unlabeled=pool, class_names=class_names, **stores)


def _check_complete(paths):
    groups = {}
    for path in paths:
        match = re.search(r"^(.*)-(\d+)-of-(\d+)", os.path.basename(path))
        if match:
            groups.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    for (name, count), there in groups.items():
        missing = sorted(set(range(count)) - there)
        if missing:
            raise ConfigError(
                f"{os.path.dirname(paths[0])} lacks {len(missing)} of the {count} files of {name}, "
                f"first number {missing[0]}; a pattern instead of a folder takes what is there."
            )


def _check_first(shards):
    filled = [shard.path for shard in shards if shard.records]
    if not filled:
        raise ConfigError(f"{', '.join(shard.path for shard in shards)}: no record in it.")
    try:
        image = example.parse(next(iter(tf.data.TFRecordDataset(filled[0]))))[0].numpy()
    except tf.errors.InvalidArgumentError:
        image = b""
    if not image:
        raise ConfigError(
            f"{filled[0]} must hold tf.train.Examples with the bytes of an encoded image in the "
            "feature image or image/encoded; its first record does not."
        )
