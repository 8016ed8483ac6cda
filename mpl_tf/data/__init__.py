"""Images, their split and their batches; datasets, by the name that `--dataset` takes."""

from collections.abc import Callable
from typing import TypeAlias

from mpl_tf.data.dataset import Dataset, Images
from mpl_tf.data.datasets import DATASETS
from mpl_tf.data.options import DataConfig
from mpl_tf.data.pairing import pair
from mpl_tf.data.sources import folder as folder_source
from mpl_tf.data.sources import tfds as tfds_source
from mpl_tf.data.sources import tfds_folder, tfrecord
from mpl_tf.data.sources.folder import counted, folder
from mpl_tf.images import class_folders
from mpl_tf.options import ConfigError, hint
from mpl_tf.paths import local_path

__all__ = ["DATASETS", "counted", "find", "find_part", "folder", "pair"]

# Reads one part of a dataset: its images, if there are some, and the names of the classes.
LoadsPart: TypeAlias = Callable[[DataConfig], tuple[Images | None, tuple[str, ...]]]


def find(name: str, data_dir: str = "") -> Dataset:
    """The dataset of a name.

    Args:
      name: a key of DATASETS, `folder:PATH`, `tfrecord:PATTERN`, or any image classification
        set of TensorFlow Datasets.
      data_dir: folder of TensorFlow Datasets, as in data.options.DataConfig.

    Raises:
      ConfigError: there is no such dataset.
    """
    prefix, _, path = name.partition(":")
    if prefix == "folder" and path:
        return folder_source.dataset(path)
    if prefix == "tfrecord" and path:
        return tfrecord.dataset(path)
    if name in DATASETS:
        return DATASETS[name]
    if tfds_folder.find(name, tfds_folder.data_dir(data_dir)) is None and not _registered(name):
        raise ConfigError(
            f"dataset must be one of {', '.join(DATASETS)}, folder:PATH, tfrecord:PATTERN, or an "
            f"image classification set of TensorFlow Datasets; received {name!r}."
            f"{hint(name, [*DATASETS, 'folder:PATH', 'tfrecord:PATTERN'])}"
        )
    return tfds_source.dataset(name)


def find_part(name: str, part: str, data_dir: str = "") -> LoadsPart:
    """How one labeled part of a dataset is read, for which a folder need hold no other.

    Args:
      name, data_dir: as for `find`.
      part: "validation" or "test".

    Returns:
      A function of a DataConfig -> (the images, or None if there are none; the classes' names).

    Raises:
      ConfigError: there is no such dataset, or no such part of a folder.
    """
    prefix, _, path = name.partition(":")
    if prefix == "folder" and path:
        path = local_path("folder", path)
        class_folders.list_classes(path, part)
        return lambda options: folder_source.load_part(path, part, options)
    dataset = find(name, data_dir)

    def load(options: DataConfig) -> tuple[Images | None, tuple[str, ...]]:
        source = dataset.load(options)
        return getattr(source, part), source.class_names

    return load


def _registered(name):
    import tensorflow_datasets as tfds  # slow to import

    return name.partition("/")[0] in tfds.list_builders(with_community_datasets=False)
