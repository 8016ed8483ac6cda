"""ImageNet's reassessed labels (Beyer et al. 2020), by the names of image files."""

import json
import re

from mpl_tf.data.sources import tfds
from mpl_tf.options import ConfigError

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")


def read_real_labels(path):
    """The content of a real.json, by the number of ImageNet's validation image.

    Args:
      path: str, a JSON list of lists of class ids; its first entry is the image numbered 1.

    Returns:
      list of list of int.

    Raises:
      ConfigError: it is no such file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"real_labels {path} cannot be read: {error}.") from error
    if not isinstance(found, list) or not all(
        isinstance(ids, list) and all(type(k) is int for k in ids) for ids in found
    ):
        raise ConfigError(f"real_labels {path} must hold a list of lists of class ids.")
    return found


def real_labels_of(images, real, subject, options):
    """The reassessed labels of images, by the names of the files they come from.

    Args:
      images: data.dataset.Images of ImageNet's validation set, or some of it.
      real: what `read_real_labels` gives.
      subject: Subject.
      options: evaluate.Options.

    Returns:
      list of N lists of int.

    Raises:
      ConfigError: an image has another name, or no entry, or one that is no class.
    """
    names, dataset, data_dir = list(map(str, images.ids)), options.dataset, options.data_dir
    if not dataset:
        dataset = subject.run.config.run.dataset
        data_dir = data_dir or subject.run.config.data.data_dir
    if dataset.startswith("imagenet"):  # of TensorFlow Datasets, whose ids are places in its order
        files = tfds.file_names(dataset, data_dir, names[0].partition("/")[0])
        names = [files[int(name.partition("/")[2])] for name in names] if files else names
    numbers = [_NUMBER.search(name) for name in names]
    if None in numbers:
        raise ConfigError(
            "real_labels are for files called ILSVRC2012_val_00000001 and so on; the images have "
            f"{names[numbers.index(None)]!r}."
        )
    numbers = [int(number[1]) for number in numbers]
    if min(numbers) < 1 or max(numbers) > len(real):
        raise ConfigError(
            f"real_labels must have an entry for image {max(numbers)}; it has {len(real)}."
        )
    found = [real[number - 1] for number in numbers]
    classes = len(subject.class_names)
    wrong = [k for ids in found for k in ids if not 0 <= k < classes]
    if wrong:
        raise ConfigError(f"real_labels must be from 0 to {classes - 1}; received {wrong[0]}.")
    return found
