"""What a dataset is."""

import collections.abc
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Images:
    """Labeled images in memory.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int64 [N], class ids.
      ids: int64 [N], each image's place in the source, unique within a dataset.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, index):
        """The images at the integer positions `index`, in that order."""
        return Images(self.images[index], self.labels[index], self.ids[index])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A source of images, and how this project trains on it.

    Attributes:
      load: callable without arguments -> (train, test), two `Images`.
      class_names: tuple of str.
      num_validation: int, images carved out of train for the curves; a multiple of the classes.
      weak: policy of the weak view and of labeled images (see `augment.policies`).
      strong: policy of the strong view.
      recipe: dict of option name -> value, what is better here than the options' own defaults.
    """

    load: collections.abc.Callable
    class_names: tuple
    num_validation: int
    weak: collections.abc.Callable
    strong: collections.abc.Callable
    recipe: dict
