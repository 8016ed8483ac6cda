"""Images, their split and their batches; datasets, by the name that `--dataset` takes."""

from mpl_tf.data.dataset import Dataset
from mpl_tf.data.datasets import DATASETS
from mpl_tf.data.pairing import pair
from mpl_tf.data.sources import folder as folder_source
from mpl_tf.data.sources import tfds as tfds_source
from mpl_tf.data.sources import tfds_folder, tfrecord
from mpl_tf.data.sources.folder import folder
from mpl_tf.options import ConfigError, hint

__all__ = ["DATASETS", "find", "folder", "pair"]


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


def _registered(name):
    import tensorflow_datasets as tfds  # slow to import

    return name.partition("/")[0] in tfds.list_builders(with_community_datasets=False)
