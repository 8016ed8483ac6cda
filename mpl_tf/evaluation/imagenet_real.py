"""ImageNet's reassessed labels (Beyer et al. 2020), by the names of image files."""

import re
from collections.abc import Sequence
from typing import Any

from mpl_tf import files
from mpl_tf.data.dataset import Images
from mpl_tf.data.sources import tfds
from mpl_tf.options import ConfigError

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")


def read(path: str) -> list[list[int]]:
    """The content of a real.json: the class ids of each of ImageNet's validation images.

    Args:
      path: a JSON list of lists; its first entry is the image numbered 1.

    Raises:
      ConfigError: it is no such file.
    """
    try:
        content = files.read_json(path, Any)
    except ConfigError as error:
        raise ConfigError(f"real_labels {error}") from error
    if not isinstance(content, list) or not all(
        isinstance(ids, list) and all(type(k) is int for k in ids) for ids in content
    ):
        raise ConfigError(f"real_labels {path} must hold a list of lists of class ids.")
    return content


def file_names(images: Images, dataset: str, data_dir: str) -> list[str]:
    """The names of the files that images come from.

    Args:
      images: at least one, of ImageNet's validation set.
      dataset: what they were read from, as `data.find` takes it.
      data_dir: folder of TensorFlow Datasets.
    """
    names = list(map(str, images.ids))
    if dataset.startswith("imagenet"):  # of TensorFlow Datasets, whose ids are places in its order
        files = tfds.file_names(dataset, data_dir, names[0].partition("/")[0])
        names = [files[int(name.partition("/")[2])] for name in names] if files else names
    return names


def labels_of(
    names: Sequence[str], real_labels: Sequence[list[int]], num_classes: int
) -> list[list[int]]:
    """The reassessed labels of images.

    Args:
      names: the images' files; each name holds ILSVRC2012_val_ and the number of the image.
      real_labels: what `read` gives.
      num_classes: class ids are less than this.

    Returns:
      For each name its class ids.

    Raises:
      ConfigError: an image has another name, or no entry, or one that is no class.
    """
    matches = [_NUMBER.search(name) for name in names]
    others = [name for name, match in zip(names, matches, strict=True) if not match]
    if others:
        raise ConfigError(
            "real_labels are for files called ILSVRC2012_val_00000001 and so on; the images have "
            f"{others[0]!r}."
        )
    numbers = [int(match[1]) for match in matches if match]
    without_entry = [number for number in numbers if not 1 <= number <= len(real_labels)]
    if without_entry:
        raise ConfigError(
            f"real_labels must have an entry for image {max(without_entry)}; it has "
            f"{len(real_labels)}, from image 1 on."
        )
    labels = [real_labels[number - 1] for number in numbers]
    wrong = [k for ids in labels for k in ids if not 0 <= k < num_classes]
    if wrong:
        raise ConfigError(f"real_labels must be from 0 to {num_classes - 1}; received {wrong[0]}.")
    return labels
