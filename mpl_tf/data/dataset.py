"""What a dataset is: images, where they lie, and how this project trains on them."""

import collections.abc
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Images:
    """Images with labels and names, by position.

    Attributes:
      store: where the pixels lie (see `data.stores`).
      positions: int64 [N], places in the store.
      labels: int64 [N], class ids, -1 where unlabeled.
      ids: array [N], integers or strings, each image's name in the source, unique within it.
    """

    store: object
    positions: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self):
        return len(self.labels)

    @property
    def shape(self):
        """(height, width, channels) of every image."""
        return self.store.shape

    @property
    def images(self):
        """uint8 [N, H, W, C], all of them, freshly read."""
        return self.store.read(self.positions)

    def take(self, index):
        """The images at the integer positions `index`, in that order."""
        return Images(self.store, self.positions[index], self.labels[index], self.ids[index])

    def relabel(self, labels):
        """The same images with other labels [N]."""
        return dataclasses.replace(self, labels=np.asarray(labels, np.int64))

    def join(self, other):
        """These and the other images, which must lie in the same store."""
        if other.store is not self.store:
            raise ValueError("images of two stores cannot be joined.")
        return Images(
            self.store,
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.ids, other.ids]),
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """All images of a dataset, as it comes.

    Attributes:
      train: Images, with labels.
      class_names: tuple of str.
      unlabeled: Images of the same store, or a `tfrecord_store.Stream`, that have no labels for
        training, in addition to `train`; or None.
      validation, test: Images, or None where the dataset has none of its own.
      skipped: int, broken files that were left out.
    """

    train: Images
    class_names: tuple
    unlabeled: object = None
    validation: Images | None = None
    test: Images | None = None
    skipped: int = 0


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A source of images, and how this project trains on it.

    Attributes:
      load: callable, DataConfig -> Source.
      recipe: dict of option name -> value, what is better here than the options' own defaults.
      available: int, labeled training images, if that is known before loading; else None.
    """

    load: collections.abc.Callable
    recipe: dict
    available: int | None = None
