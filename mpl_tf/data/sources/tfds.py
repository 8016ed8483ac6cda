"""Image classification sets of TensorFlow Datasets."""

import numpy as np
import tensorflow as tf

from mpl_tf.data import stores
from mpl_tf.data.dataset import Dataset, Images, Source
from mpl_tf.data.sources import tfds_folder, tfrecord_store
from mpl_tf.images import decode
from mpl_tf.options import ConfigError

# Names that sets give to the split of unlabeled images.
_UNLABELED = ("unlabeled", "unlabelled")


def dataset(name, recipe, available=None):
    """The Dataset of a TFDS name.

    Args:
      name: str, "NAME" or "NAME/CONFIG".
      recipe: see data.dataset.Dataset.
      available: likewise.
    """
    return Dataset(lambda options: load(name, options), recipe, available)


def load(name, options):
    """Reads a prepared TFDS set, or has TFDS prepare it.

    Train, test, validation and unlabeled images are the splits of these names; where there is no
    labeled test split, as for ImageNet, the validation split is the test. Ids are
    "<split>/<number>", the number being the place in TFDS's own fixed order. Sets that fit into
    memory are held there, decoded; others are read from their TFRecord files.

    Args:
      name: str, "NAME" or "NAME/CONFIG".
      options: data.options.DataConfig; `extra` adds the split "extra" to the unlabeled images.

    Returns:
      data.dataset.Source.

    Raises:
      ConfigError: the set is not there and cannot be had, or is no image classification set.
    """
    folder = tfds_folder.require(name, tfds_folder.data_dir(options.data_dir))
    import tensorflow_datasets as tfds  # slow to import

    info = tfds.builder_from_directory(folder).info
    image_key, label_key = _keys(name, info)
    size, channels = _format(info.features[image_key].shape, options.image_size)
    wanted = [
        split for split in ("train", "test", "validation", *_UNLABELED) if split in info.splits
    ]
    if "train" not in wanted:
        raise ConfigError(f"{name} has no train split; it has {', '.join(info.splits)}.")
    if options.extra:
        if "extra" not in info.splits:
            raise ConfigError(f"extra: {name} has no extra split; it has {', '.join(info.splits)}.")
        wanted.append("extra")

    files, counts = [], {}
    for split in wanted:
        files += [str(path) for path in info.splits[split].filepaths]
        counts[split] = info.splits[split].num_examples
    total = sum(counts.values())
    shape = (size, size, channels)
    if total * size * size * channels <= stores.MEMORY_LIMIT:
        images, labels = _read(files, image_key, label_key, shape, total)
        store = stores.ArrayStore(images)
    else:
        _, labels = _read(files, None, label_key, shape, total)
        shards = tfrecord_store.RecordStore(files)
        store = stores.EncodedStore(lambda p: shards.image(p, image_key), size, channels)
    if len(labels) != total:
        raise ConfigError(
            f"{folder} holds {len(labels)} images; its dataset_info.json says {total}."
        )
    parts, first = {}, 0
    for split, count in counts.items():
        at = np.arange(first, first + count)
        ids = np.char.add(f"{split}/", np.arange(count).astype(str))
        parts[split] = Images(store, at, labels[at], ids)
        first += count
    pool = [
        parts[split].relabel(np.full(counts[split], -1)) for split in _UNLABELED if split in parts
    ]
    pool += [parts["extra"]] if options.extra else []
    unlabeled = pool[0] if pool else None
    for more in pool[1:]:
        unlabeled = unlabeled.join(more)
    return Source(
        parts["train"],
        tuple(info.features[label_key].names),
        unlabeled,
        *_held_out(parts.get("validation"), parts.get("test")),
    )


def file_names(name, data_dir, split):
    """The files that the images of a prepared TFDS set were made of.

    Args:
      name: str, "NAME" or "NAME/CONFIG".
      data_dir: str, as in data.options.DataConfig.
      split: str, such as "validation".

    Returns:
      list of str, in the order of the ids; None if the set does not know them.
    """
    folder = tfds_folder.require(name, tfds_folder.data_dir(data_dir))
    import tensorflow_datasets as tfds  # slow to import

    info = tfds.builder_from_directory(folder).info
    if "file_name" not in info.features:
        return None
    feature = {"file_name": tf.io.FixedLenFeature([], tf.string)}
    data = tf.data.TFRecordDataset([str(path) for path in info.splits[split].filepaths])
    data = data.map(lambda record: tf.io.parse_single_example(record, feature)["file_name"])
    return [found.decode() for found in data.as_numpy_iterator()]


def _held_out(validation, test):
    """(validation, test) as they are used: what nobody labeled (ImageNet's test) cannot test."""
    if test is not None and (test.labels < 0).any():
        test = None
    return (validation, test) if test is not None else (None, validation)


def _keys(name, info):
    """The names of image and label among the features."""
    import tensorflow_datasets as tfds

    def of_kind(kind):
        return [key for key, feature in info.features.items() if isinstance(feature, kind)]

    images, labels = of_kind(tfds.features.Image), of_kind(tfds.features.ClassLabel)
    supervised = info.supervised_keys or ()
    found = [k for k in images if k in supervised or len(images) == 1][:1]
    found += [k for k in labels if k in supervised or len(labels) == 1][:1]
    if len(found) < 2:
        raise ConfigError(
            f"{name} is no image classification set: it has {', '.join(info.features)}, of which "
            f"one must be an image and one a class label."
        )
    return found


def _format(shape, image_size):
    """(side, channels) of the images as they are read."""
    height, width, channels = shape
    own = height if height and height == width else 32
    return image_size or own, channels or 3


def _read(files, image_key, label_key, shape, total):
    """All images uint8 [N, H, W, C] (None without a key) and labels int64 [N], in order."""
    features = {label_key: tf.io.FixedLenFeature([], tf.int64)}
    if image_key:
        features[image_key] = tf.io.FixedLenFeature([], tf.string)

    def parse(record):
        example = tf.io.parse_single_example(record, features)
        image = decode.decode(example[image_key], shape[0], shape[2]) if image_key else ()
        return image, example[label_key]

    data = tf.data.TFRecordDataset(files).map(parse, tf.data.AUTOTUNE, deterministic=True)
    images = np.empty([total, *shape], np.uint8) if image_key else None
    labels, first = [], 0
    for some, their_labels in data.batch(1000).prefetch(2).as_numpy_iterator():
        if image_key:
            images[first : first + len(their_labels)] = some
        first += len(their_labels)
        labels.append(their_labels)
    return images, np.concatenate(labels).astype(np.int64)
