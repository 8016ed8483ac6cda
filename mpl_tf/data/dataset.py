"""What a dataset is: images, and where they lie."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from mpl_tf.data import shuffle
from mpl_tf.data.contents import Contents
from mpl_tf.data.options import DataConfig
from mpl_tf.data.stores import Store


@runtime_checkable
class Pool(Protocol):
    """Images as training reads them: in endless shuffled batches, wherever they lie."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of every image."""

    @property
    def size(self) -> int | None:
        """Number of images; None if they have no positions."""

    @property
    def has_hidden_labels(self) -> bool:
        """Whether the label of some image is known, for diagnostics alone."""

    def batches(
        self, batch: int, *, seed: int, stream: int, start: int, rows: tuple[int, int | None]
    ) -> tf.data.Dataset:
        """Endless batches `start`, `start + 1`, ..., every image once an epoch.

        Args:
          batch: images of a global batch.
          seed: of the run.
          stream: which of the run's random streams.
          start: the first batch.
          rows: (first, count), the part of each global batch to read; a count of None is all from
            first.

        Returns:
          tf.data.Dataset of (images uint8 [n, H, W, C], labels int64 [n], -1 where unlabeled,
          index int64 [n], the images' positions from 0 to `size` - 1, or -1 if they have none).
        """

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Up to `count` different images, drawn by a seed: uint8 [n, H, W, C]."""

    def contents(self) -> Contents | None:
        """What the pool holds; None if only a look at all of it could tell."""

    def following(self, images: "Images") -> "Pool":
        """The pool of a run in which `images` are unlabeled too.

        It has `images` before those of this pool if both lie in one store, and is this pool
        otherwise.
        """


@dataclasses.dataclass(frozen=True)
class Images:
    """Images with labels and names, by position. A Pool.

    Attributes:
      store: where the pixels lie.
      positions: int64 [N], positions in the store.
      labels: int64 [N], class ids, -1 where unlabeled.
      ids: array [N], integers or strings, each image's name in the source, unique within it.
    """

    store: Store
    positions: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of every image; (F,) of features in their place."""
        return self.store.shape

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self)

    @property
    def has_hidden_labels(self) -> bool:
        """Whether an image has a label: of unlabeled ones, for diagnostics alone."""
        return bool((self.labels >= 0).any())

    @property
    def images(self) -> np.ndarray:
        """uint8 [N, H, W, C], all of them, freshly read."""
        return self.store.read(self.positions)

    def take(self, index: np.ndarray | slice) -> "Images":
        """The images at the integer positions `index`, in that order."""
        return Images(self.store, self.positions[index], self.labels[index], self.ids[index])

    def relabel(self, labels: np.ndarray) -> "Images":
        """The same images with other labels [N]."""
        return dataclasses.replace(self, labels=np.asarray(labels, np.int64))

    def without_labels(self) -> "Images":
        """The same images, all unlabeled."""
        return self.relabel(np.full(len(self), -1))

    def join(self, other: "Images") -> "Images":
        """These and the other images, which must lie in the same store."""
        if other.store is not self.store:
            raise ValueError("images of two stores cannot be joined.")
        return Images(
            self.store,
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.ids, other.ids]),
        )

    def following(self, images: "Images") -> "Images":
        """`images` and then these ones; see `Pool`."""
        return images.join(self)

    def contents(self) -> Contents:
        """One row an image."""
        names = self.ids if self.ids.dtype == object else self.ids.astype(str)
        return Contents(names, self.labels, self.store.digests(self.positions))

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Up to `count` different images, drawn by a seed: uint8 [n, H, W, C]."""
        count = min(count, len(self))
        chosen = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.take(np.sort(chosen)).images

    def batches(
        self,
        batch: int,
        *,
        seed: int,
        stream: int,
        start: int = 0,
        rows: tuple[int, int | None] = (0, None),
    ) -> tf.data.Dataset:
        """Endless shuffled batches; see `Pool`. Batch t is a function of (seed, stream, t)."""
        with tf.device("CPU"):
            positions, labels = tf.constant(self.positions), tf.constant(self.labels)
        first, count = rows
        last = batch if count is None else first + count
        index = shuffle.positions(len(self), batch, seed, stream, start)
        index = index.map(lambda whole: whole[first:last])
        pixels = self.store.batches(index.map(lambda i: tf.gather(positions, i)), last - first)
        labeled = index.map(lambda i: (tf.gather(labels, i), i))
        return tf.data.Dataset.zip(pixels, labeled).map(lambda images, pair: (images, *pair))


@dataclasses.dataclass(frozen=True)
class Source:
    """All images of a dataset, as it comes.

    Attributes:
      train: labeled images.
      class_names: the names of the classes, by id.
      unlabeled: images in addition to `train` that have no labels for training; None if there are
        none.
      validation, test: None where the dataset has none of its own.
      skipped: broken files that were left out.
    """

    train: Images
    class_names: tuple[str, ...]
    unlabeled: Pool | None = None
    validation: Images | None = None
    test: Images | None = None
    skipped: int = 0

    def contents(self) -> dict[str, Contents]:
        """Part -> what it holds, of the parts that there are."""
        parts = ("train", "unlabeled", "validation", "test")
        pools = {part: getattr(self, part) for part in parts}
        return {part: pool.contents() for part, pool in pools.items() if pool is not None}

    @functools.cached_property
    def copies(self) -> np.ndarray:
        """bool [U], which of the unlabeled images, if they have positions, are labeled, too.

        That is, whose content is that of an image of `train`, `validation` or `test`.
        """
        if not isinstance(self.unlabeled, Images):
            return np.zeros(0, bool)
        labeled = [part for part in (self.train, self.validation, self.test) if part is not None]
        known = np.concatenate([part.contents().digests for part in labeled])
        return np.isin(self.unlabeled.contents().digests, known)

    def pool(self, images: Images, without_copies: bool = False) -> Pool:
        """The unlabeled images of a run.

        Args:
          images: those of `train` that are in it; their labels are for diagnostics alone.
          without_copies: whether `copies` are left out.
        """
        others = self.unlabeled
        if without_copies and isinstance(others, Images) and self.copies.any():
            others = others.take(np.flatnonzero(~self.copies))
        return images if others is None else others.following(images)


class Form(NamedTuple):
    """What the images of a dataset are, as they are read; 0 where nobody can tell.

    Attributes:
      side: height and width in pixels.
      channels: 1 or 3.
      num_classes: number of classes K.
      num_images: how many images all parts have that are read.
    """

    side: int = 0
    channels: int = 0
    num_classes: int = 0
    num_images: int = 0


def _form_unknown(options: DataConfig) -> Form:
    return Form(options.image_size)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A source of images.

    Attributes:
      load: reads the images.
      available: labeled training images, if that is known before loading; else None.
      sizes: option of DataConfig -> number of images, where it follows from what there is.
      class_counts: labeled training images of each class; empty if that is not known.
      unlabeled: images in addition that have no labels; None if that is not known.
      side: of the images in pixels, if they come in no other; else 0.
      is_joined: whether the pool of a run has training images beside those.
      form: what the images are, for options that read them: found offline, by a look at files at
        most, which are not decoded.
    """

    load: Callable[[DataConfig], Source]
    available: int | None = None
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    class_counts: tuple[int, ...] = ()
    unlabeled: int | None = None
    side: int = 0
    is_joined: bool = True
    form: Callable[[DataConfig], Form] = _form_unknown

    def pool_size(self, training_images: int) -> int | None:
        """Unlabeled images of a run; None if that is not known.

        Args:
          training_images: those of `train` that may be in the pool.
        """
        if self.unlabeled is None or (self.unlabeled and not self.is_joined):
            return self.unlabeled
        return self.unlabeled + training_images
