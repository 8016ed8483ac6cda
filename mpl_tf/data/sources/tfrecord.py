"""TFRecord shards as a dataset: labeled images by their number, the unlabeled pool as a stream."""

import collections
import concurrent.futures
import dataclasses
import fnmatch
import itertools
import os
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mpl_tf import console, files
from mpl_tf.data import stores
from mpl_tf.data.dataset import Dataset, Form, Images, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import tfrecord_format, tfrecord_info, tfrecord_labels
from mpl_tf.data.sources.tfrecord_pool import StreamPool
from mpl_tf.data.sources.tfrecord_store import RecordStore
from mpl_tf.data.sources.tfrecord_stream import Stream
from mpl_tf.images import check, decode, example, header
from mpl_tf.options import ConfigError

_SIDE = 32  # pixels, of images whose size is not set
_HEAD = 1 << 16  # bytes of an encoded image that tell its channels


def dataset(pattern: str) -> Dataset:
    """The Dataset behind `--dataset=tfrecord:PATTERN`; see `open_pattern`."""
    parts = open_pattern(pattern)
    num_validation = 0
    counts = np.bincount(parts.labeled.labels, minlength=len(parts.class_names))
    if parts.validation is None:
        num_validation = len(counts) * (int(counts.min()) // 10)
    sizes = {"num_labeled": 0, "num_validation": num_validation}
    return Dataset(
        lambda options: load(parts, options),
        len(parts.labeled),
        sizes,
        class_counts=tuple(counts.tolist()),
        unlabeled=len(parts.unlabeled),
        is_joined=False,
        form=lambda options: _form(parts, options),
    )


def _form(parts: "Parts", options: DataConfig) -> Form:
    """What the images of the files are."""
    side = options.image_size or _SIDE
    held_out = sum(len(part) for part in (parts.validation, parts.test) if part is not None)
    count = len(parts.labeled) + len(parts.unlabeled) + held_out
    return Form(side, _channels(parts.labeled), len(parts.class_names), count)


def load(parts: "Parts", options: DataConfig) -> Source:
    """The images of TFRecord files.

    Args:
      parts: the files, as `open_pattern` gives them.
      options: `image_size` counts; 0 is 32.

    Returns:
      Images are colour unless all labeled ones are grey. `train` is the labeled part, with its
      numbers as ids; the unlabeled pool does not hold it.

    Raises:
      ConfigError: an image of the labeled, validation or test part cannot be decoded.
    """
    form = _form(parts, options)

    def images(part, records):
        count = len(records)

        def fetch(number):
            return decode.checked(records.image(number), [f"{part} record", number])

        encoded = stores.EncodedStore(fetch, form.side, form.channels)
        try:
            store = stores.in_memory(encoded, count)
        except tf.errors.OpError as error:
            raise ConfigError(f"{part} images: {_first_broken(records)}.") from error
        return Images(store, np.arange(count), records.labels, np.arange(count))

    def images_if_any(part, records):
        return images(part, records) if records is not None and len(records) else None

    return Source(
        images("labeled", parts.labeled),
        parts.class_names,
        StreamPool(parts.unlabeled, form.side, form.channels),
        images_if_any("validation", parts.validation),
        images_if_any("test", parts.test),
    )


def _channels(records):
    """1 if all images are grey, else 3; reads no further than the first colour image."""
    heads = tf.data.Dataset.range(len(records)).map(records.image)
    heads = heads.map(lambda image: tf.strings.substr(image, 0, _HEAD))
    return 1 if all(header.channels(head) == 1 for head in heads.as_numpy_iterator()) else 3


def _first_broken(records):
    """Which record cannot be used, and why."""
    for number in range(len(records)):
        try:
            image = example.image(records.read([number])[0]).numpy()
            reason = check.verify(image)
        except tf.errors.OpError as error:
            reason = f"is damaged: {stores.fault(error)}"
        if reason:
            return f"record {number} {reason}"
    return "they cannot be read twice"


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a pattern stands for.

    Attributes:
      labeled: the labeled images.
      unlabeled: the unlabeled images.
      class_names: the names of the classes, by id.
      validation, test: None if there are none.
    """

    labeled: RecordStore
    unlabeled: Stream
    class_names: tuple[str, ...]
    validation: RecordStore | None = None
    test: RecordStore | None = None


def open_pattern(pattern: str, progress: Callable[[int, int], None] | None = None) -> Parts:
    """The parts of a set of TFRecord files, whose names begin with `labeled-`, `unlabeled-`, ...

    Args:
      pattern: a folder, whose `*.tfrecord*` are taken, or a pattern with `*` and `?`; `~` may stand
        for the home folder.
      progress: as for `describe`; None has the log say how far it is, if it takes long.

    Returns:
      Parts. The names of the classes are those of info.json, else "0", "1" and so on.

    Raises:
      ConfigError: the files cannot be listed, nothing is there, labeled or unlabeled files are
        missing, files of a folder are incomplete (`-00001-of-00008` without the others), a part
        holds no record, images or labels are missing; or see `describe`, `tfrecord_info.read`,
        `tfrecord_labels.read` and `tfrecord_labels.name_classes`.
    """
    folder, glob, paths = _listed(os.path.expanduser(pattern))
    files: dict[str, list[str]] = {part: [] for part in tfrecord_format.PARTS}
    for path in paths:
        part = os.path.basename(path).partition("-")[0]
        if part not in files:
            prefixes = ", ".join(f"{name}-" for name in tfrecord_format.PARTS)
            raise ConfigError(f"{path} must begin with one of {prefixes}.")
        files[part].append(path)
    for part in ("labeled", "unlabeled"):
        if not files[part]:
            raise ConfigError(
                f"no {part} images: of the {len(paths)} files that match {glob} none is called "
                f"like {part}-00000-of-00001.tfrecord."
            )
    if folder:
        _check_complete(paths)
    infos = [
        tfrecord_info.read(directory)
        for directory in sorted({os.path.dirname(path) for path in paths})
    ]
    class_lists = {class_names for class_names, _ in infos if class_names}
    if len(class_lists) > 1:
        raise ConfigError(f"the {tfrecord_info.INFO} files of {glob} name different classes.")
    recorded = {path: shard for _, shards in infos for path, shard in shards.items()}
    single = set(paths).difference(files["unlabeled"])
    progress = progress or console.Pace(f"looking at the files of {glob}").tell
    described = tfrecord_format.describe(paths, recorded, single, progress)
    shard_of = dict(zip(paths, described, strict=True))
    parts = {part: [shard_of[path] for path in names] for part, names in files.items() if names}
    for shards in parts.values():
        _check_first(shards)
    pool = Stream(parts.pop("unlabeled"))
    records = {part: RecordStore(shards) for part, shards in parts.items()}
    labels = {part: store.labels for part, store in records.items()}
    class_names = tfrecord_labels.name_classes(labels, next(iter(class_lists), None))
    return Parts(unlabeled=pool, class_names=class_names, **records)


def _listed(pattern):
    """(whether a pattern is a folder, the pattern of its files, their paths)."""
    try:
        folder = tf.io.gfile.isdir(pattern)
        glob = os.path.join(pattern, "*.tfrecord*") if folder else pattern
        if folder:  # whatever it is called: its own name is no pattern
            names = fnmatch.filter(tf.io.gfile.listdir(pattern), "*.tfrecord*")
            paths = [os.path.join(pattern, name) for name in names]
        else:
            paths = tf.io.gfile.glob(glob)
    except tf.errors.UnimplementedError as error:
        scheme = pattern.partition("://")[0]
        raise ConfigError(
            f"tfrecord:{pattern} is in {scheme}://, for which TensorFlow has no file system here "
            "(it brings gs://, others are plugins): mount the bucket and name the folder where it "
            "is mounted, copy the files to this machine, or, from Python, load a plugin by "
            "tf.experimental.register_filesystem_plugin."
        ) from error
    except tf.errors.OpError as error:
        raise ConfigError(
            f"the files of tfrecord:{pattern} cannot be listed: {error.message.splitlines()[0]}. "
            "Is there a network, and may you read there? Else copy the files to this machine."
        ) from error
    return folder, glob, sorted(p for p in paths if not os.path.basename(p).startswith("."))


def _check_complete(paths):
    groups: dict[tuple[str, int], set[int]] = {}
    for path in paths:
        match = re.search(r"^(.*)-(\d+)-of-(\d+)", os.path.basename(path))
        if match:
            groups.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    for (name, count), numbers in groups.items():
        missing = count - sum(number < count for number in numbers)
        if missing:
            first = next(number for number in itertools.count() if number not in numbers)
            raise ConfigError(
                f"{os.path.dirname(paths[0])} lacks {missing} of the {count} files of {name}, "
                f"first number {first}; a pattern instead of a folder takes what is there."
            )


def _check_first(shards):
    """Refuses files whose first record has no image."""
    paths = [shard.path for shard in shards if shard.records]
    if not paths:
        raise ConfigError(f"{', '.join(shard.path for shard in shards)}: no record in it.")
    # Side by side: an object store takes a tenth of a second for each file, however small.
    with concurrent.futures.ThreadPoolExecutor(tfrecord_format.THREADS) as threads:
        collections.deque(threads.map(_check_first_record, paths), maxlen=0)


def _check_first_record(path):
    try:
        record = next(tf.data.TFRecordDataset(path).as_numpy_iterator())
        image = example.image(record).numpy()
    except tf.errors.DataLossError as error:
        raise ConfigError(f"{path} is damaged: {files.reason(error)}.") from error
    except tf.errors.InvalidArgumentError:
        image = b""
    if not image:
        raise ConfigError(
            f"{path} must hold tf.train.Examples with the bytes of an encoded image in the "
            f"feature {' or '.join(example.IMAGE)}; its first record "
            f"{example.describe(record)}."
        )
