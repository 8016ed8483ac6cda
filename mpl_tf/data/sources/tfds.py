"""Image classification sets of TensorFlow Datasets."""

import functools

import numpy as np
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.data import duplicates, stores
from mpl_tf.data.dataset import Dataset, Form, Images, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import tfds_folder, tfrecord_store
from mpl_tf.files import reason as file_reason
from mpl_tf.images import decode
from mpl_tf.images.digests import digests_of
from mpl_tf.options import ConfigError

_AGAIN = "Remove that folder and prepare the set again."
# Names that sets give to the split of unlabeled images.
_UNLABELED = ("unlabeled", "unlabelled")


def dataset(name: str, available: int | None = None, form: Form | None = None) -> Dataset:
    """The Dataset of a TFDS name.

    Args:
      name: "NAME" or "NAME/CONFIG".
      available: see data.dataset.Dataset.
      form: what its images are as they come; None looks where the set is prepared.
    """

    def of_options(options: DataConfig) -> Form:
        if form is None:
            return _prepared_form(name, options)
        return form._replace(side=options.image_size or form.side)

    return Dataset(lambda options: load(name, options), available, form=of_options)


def _prepared_form(name: str, options: DataConfig) -> Form:
    """What the images of a set are, if it is on this machine."""
    folder = tfds_folder.find(name, tfds_folder.data_dir(options.data_dir))
    if folder is None:
        return Form(options.image_size)
    import tensorflow_datasets as tfds  # slow to import

    info = tfds.builder_from_directory(folder).info
    image_key, label_key = _keys(name, info)
    side, channels = _format(info.features[image_key].shape, options.image_size)
    count = sum(info.splits[split].num_examples for split in _splits(info, options))
    return Form(side, channels, info.features[label_key].num_classes, count)


def load(name: str, options: DataConfig) -> Source:
    """Reads a prepared TFDS set, or has TFDS prepare it.

    Train, test, validation and unlabeled images are the splits of these names; where there is no
    labeled test split, as for ImageNet, the validation split is the test. Ids are
    "<split>/<number>", the number being the position in TFDS's fixed order. Sets that fit into
    memory are held there, decoded; others are read from their TFRecord files.

    Args:
      name: "NAME" or "NAME/CONFIG".
      options: `data_dir` and `image_size` count; `extra` adds the split "extra" to the unlabeled
        images.

    Raises:
      ConfigError: the set is not there and cannot be had, or is no image classification set.
    """
    folder = tfds_folder.require(name, tfds_folder.data_dir(options.data_dir))
    import tensorflow_datasets as tfds  # slow to import

    info = tfds.builder_from_directory(folder).info
    image_key, label_key = _keys(name, info)
    size, channels = _format(info.features[image_key].shape, options.image_size)
    splits = _splits(info, options)
    for needed in ("train", "extra") if options.extra else ("train",):
        if needed not in splits:
            has = ", ".join(info.splits)
            flag = "extra: " if needed == "extra" else ""
            raise ConfigError(f"{flag}{name} has no {needed} split; it has {has}.")

    files: list[str] = []
    counts = {}
    for split in splits:
        files += [str(path) for path in info.splits[split].filepaths]
        counts[split] = info.splits[split].num_examples
    total = sum(counts.values())
    shape = (size, size, channels)
    fits = total * size * size * channels <= stores.MEMORY_LIMIT
    try:
        images, labels, digests = _read(files, image_key, label_key, shape if fits else None, total)
    except tf.errors.OpError as error:
        reason = stores.fault(error) or file_reason(error)
        raise ConfigError(f"{folder} is damaged: {reason}. {_AGAIN}") from error
    store: stores.Store
    if fits:
        store = stores.ArrayStore(images, digests)
    else:
        shards = tfrecord_store.RecordStore(files)
        fetch = functools.partial(shards.image, key=image_key)
        store = stores.EncodedStore(fetch, size, channels, digests)
    if len(labels) != total:
        held = "more images" if len(labels) > total else f"{len(labels)} images"
        raise ConfigError(f"{folder} holds {held}; its dataset_info.json says {total}. {_AGAIN}")
    parts, first = {}, 0
    for split, count in counts.items():
        at = np.arange(first, first + count)
        ids = np.char.add(f"{split}/", np.arange(count).astype(str))
        parts[split] = Images(store, at, labels[at], ids)
        first += count
    pool = [parts[split].without_labels() for split in _UNLABELED if split in parts]
    pool += [parts["extra"]] if options.extra else []
    unlabeled = functools.reduce(Images.join, pool) if pool else None
    validation, test = _held_out(parts.get("validation"), parts.get("test"))
    return Source(
        parts["train"],
        tuple(info.features[label_key].names),
        _without_copies(name, unlabeled, test),
        validation,
        test,
    )


def file_names(name: str, data_dir: str, split: str) -> list[str] | None:
    """The files that the images of a prepared TFDS set were made of.

    Args:
      name: "NAME" or "NAME/CONFIG".
      data_dir: as in data.options.DataConfig.
      split: such as "validation".

    Returns:
      Names in the order of the ids; None if the set does not know them.
    """
    folder = tfds_folder.require(name, tfds_folder.data_dir(data_dir))
    import tensorflow_datasets as tfds  # slow to import

    info = tfds.builder_from_directory(folder).info
    if "file_name" not in info.features:
        return None
    feature = {"file_name": tf.io.FixedLenFeature([], tf.string)}
    data = tf.data.TFRecordDataset([str(path) for path in info.splits[split].filepaths])
    data = data.map(lambda record: tf.io.parse_single_example(record, feature)["file_name"])
    return [file_name.decode() for file_name in data.as_numpy_iterator()]


def _held_out(validation, test):
    """(validation, test) as they are used: what nobody labeled (ImageNet's test) cannot test."""
    if test is not None and (test.labels < 0).any():
        test = None
    return (validation, test) if test is not None else (None, validation)


def _without_copies(name, unlabeled, test):
    """The unlabeled images but those that are test images too, as 7,545 of stl10's are."""
    if unlabeled is None or test is None:
        return unlabeled
    rows, _ = duplicates.shared(unlabeled.contents(), test.contents())
    if not len(rows):
        return unlabeled
    log.info(f"{name}: {len(rows):,} unlabeled images are left out: they are test images too")
    return unlabeled.take(np.setdiff1d(np.arange(len(unlabeled)), rows))


def _keys(name, info):
    """The names of image and label among the features."""
    import tensorflow_datasets as tfds

    def of_class(feature_class):
        return [key for key, feature in info.features.items() if isinstance(feature, feature_class)]

    images, labels = of_class(tfds.features.Image), of_class(tfds.features.ClassLabel)
    supervised = info.supervised_keys or ()
    keys = [k for k in images if k in supervised or len(images) == 1][:1]
    keys += [k for k in labels if k in supervised or len(labels) == 1][:1]
    if len(keys) < 2:
        raise ConfigError(
            f"{name} is no image classification set: it has {', '.join(info.features)}, of which "
            f"one must be an image and one a class label."
        )
    return keys


def _splits(info, options: DataConfig) -> list[str]:
    """The splits of a set that are read."""
    names = ["train", "test", "validation", *_UNLABELED]
    if options.extra:
        names.append("extra")
    return [name for name in names if name in info.splits]


def _format(shape, image_size):
    """(side, channels) of the images as they are read."""
    height, width, channels = shape
    side = height if height and height == width else 32
    return image_size or side, channels or 3


def _read(files, image_key, label_key, shape, total):
    """All images uint8 [N, *shape] (None without a shape), labels int64 [N], digests uint64 [N]."""
    features = {
        image_key: tf.io.FixedLenFeature([], tf.string),
        label_key: tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record):
        example = tf.io.parse_single_example(record, features)
        encoded = example[image_key]
        image = decode.decode(encoded, shape[0], shape[2]) if shape else ()
        return image, example[label_key], digests_of([encoded])[0]

    data = tf.data.TFRecordDataset(files).map(parse, tf.data.AUTOTUNE, deterministic=True)
    data = data.take(total + 1)
    images = np.empty([total, *shape], np.uint8) if shape else None
    labels, digests, first = [], [], 0
    for image_batch, label_batch, digest_batch in data.batch(1000).prefetch(2).as_numpy_iterator():
        if images is not None:
            room = images[first : first + len(label_batch)]
            room[:] = image_batch[: len(room)]
        first += len(label_batch)
        labels.append(label_batch)
        digests.append(digest_batch)
    return images, np.concatenate(labels).astype(np.int64), np.concatenate(digests)
