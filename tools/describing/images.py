"""The images that a network is counted for, and who says what they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mpl_tf import data
from mpl_tf.config import Config
from mpl_tf.data.dataset import Form

# Where no dataset is named: images of ImageNet, in the batches of CIFAR-10.
DEFAULTS = {"dataset": "cifar10", "image_size": 224}
_USUAL = 224, 3, 1000  # side, channels, classes


class Subject(NamedTuple):
    """What is counted.

    Attributes:
      shape: (height, width, channels) of the images.
      num_classes: K.
      assumed: those of image_size, channels and num_classes that neither a flag nor the dataset
        says.
    """

    shape: tuple[int, int, int]
    num_classes: int
    assumed: tuple[str, ...]


def find(made: Config, explicit: Mapping[str, Any], channels: int, num_classes: int) -> Subject:
    """The images of a run, of which none is read.

    Flags count before the dataset, and it before what is usual; a dataset only if it is named.

    Args:
      made: the configuration of the run.
      explicit: option name -> value, of those that somebody set.
      channels, num_classes: of the flags; 0 if they are not set.

    Raises:
      ConfigError: there is no such dataset.
    """
    form = Form(explicit.get("image_size", 0))
    if "dataset" in explicit:
        form = data.find(made.run.dataset, made.data.data_dir).form(made.data)
    known = form.side, channels or form.channels, num_classes or form.num_classes
    side, channels, num_classes = (of or usual for of, usual in zip(known, _USUAL, strict=True))
    names = ("image_size", "channels", "num_classes")
    assumed = tuple(name for name, of in zip(names, known, strict=True) if not of)
    return Subject((side, side, channels), num_classes, assumed)
