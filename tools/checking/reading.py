"""Every image of a folder or of TFRecord files, read once as training would read it."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tqdm

from mpl_tf.data import stores
from mpl_tf.data.contents import Contents
from mpl_tf.data.sources import tfrecord
from mpl_tf.data.sources.tfrecord_store import RecordStore
from mpl_tf.images import check, class_folders, decode, example, files, header
from mpl_tf.images.digests import digests_of
from mpl_tf.paths import local_path

PARTS = ("labeled", "unlabeled", "validation", "test")
_AT_ONCE = 256
_HEAD = 16  # bytes that tell an image's format
_OF_SHAPE = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 1], np.uint64)
_LARGEST = 1 << 30  # bytes of a file
_SIDE = 32  # of the images of `Dataset.small`


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What is known of the images of a dataset, a row each; broken ones have none.

    Attributes:
      class_names: by class id.
      contents: part -> names, class ids and digests of pixels, of the parts that there are.
      shapes: part -> int64 [N, 3], height, width and channels.
      formats: part -> str [N], "jpeg" and so on.
      broken: (name, what is wrong with it) of images that cannot be used.
      left_out: files that are not read, in words; "" if there are none.
      small: a function of (part, rows int64 [n]) -> the images, uint8 [n, S, S, 3].
    """

    class_names: tuple[str, ...]
    contents: dict[str, Contents]
    shapes: dict[str, np.ndarray]
    formats: dict[str, np.ndarray]
    broken: list[tuple[str, str]]
    left_out: str
    small: Callable[[str, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Images:
    """All images, as they are stored.

    Attributes:
      parts: str [N].
      names: str [N].
      labels: int64 [N].
      finite: int64 [n], positions of those that can be read without harm.
      fetch: traceable function of a position, int64 [], -> the encoded image, string [].
      fault: function of a position -> what is wrong with that image, or None.
    """

    parts: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    finite: np.ndarray
    fetch: Callable[[tf.Tensor], tf.Tensor]
    fault: Callable[[int], str | None]


def read(path: str) -> Dataset:
    """All images of a dataset; a bar on a terminal shows how far it is.

    Args:
      path: a folder with `labeled/`, or a folder or a pattern of TFRecord files; `folder:` or
        `tfrecord:` may stand before it.

    Raises:
      ConfigError: training would refuse the dataset as a whole; see `class_folders.find` and
        `tfrecord.open_pattern`.
    """
    prefix, _, name = path.partition(":")
    if prefix not in ("folder", "tfrecord"):
        prefix, name = "", path
    if prefix == "tfrecord" or (not prefix and _is_of_records(os.path.expanduser(name))):
        opened = tfrecord.open_pattern(name)
        return _dataset(opened.class_names, _of_records(opened), "")
    listed = class_folders.find(local_path("folder", name))
    return _dataset(listed.class_names, _of_files(listed), files.in_words(listed.ignored))


def _is_of_records(path):
    if not os.path.isdir(path):
        return not os.path.exists(path) or os.path.isfile(path)  # a pattern
    names = [entry.name for entry in os.scandir(path)]
    return "labeled" not in names and any(".tfrecord" in name for name in names)


def _of_files(listed):
    entries = [(part, *entry) for part, images in listed.parts.items() for entry in images]
    parts, names, labels = zip(*entries, strict=True)
    paths = [listed.whole_path(name) for name in names]
    with tf.device("CPU"):
        encoded_paths = tf.constant([os.fsencode(path) for path in paths])
    return _Images(
        np.array(parts, str),
        np.array(names, str),
        np.array(labels, np.int64),
        np.array([i for i, path in enumerate(paths) if _ends(path)], np.int64),
        lambda position: tf.io.read_file(encoded_paths[position]),
        lambda position: check.verify(paths[position]),
    )


def _ends(path):
    """Whether a file can be read whole: a pipe or a device may never end."""
    try:
        return os.path.isfile(path) and os.path.getsize(path) <= _LARGEST
    except OSError:
        return False


def _of_records(opened):
    held = {part: records for part in PARTS if (records := getattr(opened, part))}
    records = RecordStore([shard for of_part in held.values() for shard in of_part.shards])
    counts = [len(of_part) for of_part in held.values()]
    labels = [
        of_part.labels if isinstance(of_part, RecordStore) else np.full(len(of_part), -1)
        for of_part in held.values()
    ]

    def fault(position):
        try:
            record = records.read([position])[0]
            image = example.image(record).numpy()
        except tf.errors.DataLossError as error:
            return f"is damaged: {stores.fault(error)}"
        except tf.errors.InvalidArgumentError:
            image = b""
        return check.verify(image) if image else f"has no image: it {example.describe(record)}"

    parts = np.repeat(list(held), counts)
    numbers = np.concatenate([np.arange(count) for count in counts])
    names = [f"{part} record {n}" for part, n in zip(parts, numbers, strict=True)]
    return _Images(
        parts,
        np.array(names, str),
        np.concatenate(labels),
        np.arange(len(records)),
        records.image,
        fault,
    )


def _dataset(class_names, images, left_out):
    good, shapes, digests, formats = _facts(images)
    broken = [
        (str(images.names[i]), images.fault(i) or "could not be read, but can be")
        for i in np.setdiff1d(np.arange(len(images.names)), good).tolist()
    ]
    parts = [part for part in PARTS if (images.parts == part).any()]
    rows = {part: np.flatnonzero(images.parts[good] == part) for part in parts}
    contents = {
        part: Contents(images.names[good[at]], images.labels[good[at]], digests[at])
        for part, at in rows.items()
    }

    def small(part, of_part):
        store = stores.EncodedStore(images.fetch, _SIDE, 3)
        return store.read(good[rows[part][of_part]])

    return Dataset(
        class_names,
        contents,
        {part: shapes[at] for part, at in rows.items()},
        {part: formats[at] for part, at in rows.items()},
        broken,
        left_out,
        small,
    )


def _facts(images):
    """(positions, shapes, digests of pixels, formats) of the images that can be decoded."""

    def facts(position):
        encoded = decode.checked(images.fetch(position), ["image", position])
        image = decode.native(encoded)
        digest = digests_of(tf.reshape(image, [1, -1]))[0]
        return position, tf.shape(image), digest, tf.strings.substr(encoded, 0, _HEAD)

    data = tf.data.Dataset.from_tensor_slices(images.finite)
    data = data.map(facts, tf.data.AUTOTUNE, deterministic=True).ignore_errors()
    columns = []
    with tqdm.tqdm(total=len(images.finite), unit="image", disable=None, leave=False) as bar:
        for batch in data.batch(_AT_ONCE).as_numpy_iterator():
            columns.append(batch)
            bar.update(len(batch[0]))
    if not columns:
        return np.empty(0, int), np.empty([0, 3], int), np.empty(0, np.uint64), np.empty(0, str)
    positions, shapes, digests, heads = map(np.concatenate, zip(*columns, strict=True))
    # The same bytes in another shape are another picture.
    digests = digests ^ (shapes.astype(np.uint64) @ _OF_SHAPE)
    return positions, shapes, digests, np.array([header.sniff(head) for head in heads], str)
