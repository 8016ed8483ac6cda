"""Cached features in the place of images: the same batches, drawn in the same way.

`data.pipeline` reads images and has policies make views of them. Here what it reads is rows, and a
policy looks one of the cached views up. So order, labels, streams of random numbers and shards are
those of any other training.
"""

import dataclasses
import weakref

import numpy as np
import tensorflow as tf

from mpl_tf.augment.draws import Draws
from mpl_tf.data.dataset import Images, Pool
from mpl_tf.features.tables import Features, with_positions
from mpl_tf.features.views import PLAIN, ViewSet

_NO_DIGESTS = "features have no digests; their images have."


def rows(features: Features, pool: Pool) -> Images:
    """The images for training batches: their pixels are rows, of which `CachedView` makes views.

    Args:
      features: that have been prepared for them.
      pool: of Images, whose labels and ids are kept.

    Raises:
      ConfigError: the images have no positions.
    """
    images = with_positions(pool)
    return Images(_Rows(features), features.rows(images), images.labels, images.ids)


def plain(features: Features, images: Images) -> Images:
    """The images for evaluation: their pixels are the features [F] of the plain view, float32.

    Args:
      features: that have been prepared for them.
      images: with labels and ids, which are kept.
    """
    return Images(_Plain(features), features.rows(images), images.labels, images.ids)


@dataclasses.dataclass(frozen=True, eq=False)
class CachedView:
    """A policy: features of one of an image's cached views, drawn uniformly in each step.

    Attributes:
      features: where they are.
      view_set: which views.
    """

    features: Features
    view_set: ViewSet

    def __call__(self, rows: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Features float32 [n, F] of images int64 [n], by their rows."""
        return _look_up(
            self.features, self.view_set, rows, draws.integers(0, 0, self.view_set.count)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """A data.stores.Store of no pixels: what is read is where features are."""

    features: Features

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.features.size,)

    def read(self, positions: np.ndarray) -> np.ndarray:
        return positions

    def digests(self, positions: np.ndarray) -> np.ndarray:
        raise NotImplementedError(_NO_DIGESTS)

    def batches(self, positions: tf.data.Dataset, size: int) -> tf.data.Dataset:
        del size  # whatever it is
        return positions


@dataclasses.dataclass(frozen=True, eq=False)
class _Plain:
    """A data.stores.Store of the features of plain views."""

    features: Features

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.features.size,)

    def read(self, positions: np.ndarray) -> np.ndarray:
        view_set = self.features.view_set(PLAIN)
        features = self.features.read(view_set, positions, np.zeros_like(positions))
        return features.astype(np.float32)

    def digests(self, positions: np.ndarray) -> np.ndarray:
        raise NotImplementedError(_NO_DIGESTS)

    def batches(self, positions: tf.data.Dataset, size: int) -> tf.data.Dataset:
        del size
        view_set = self.features.view_set(PLAIN)
        return positions.map(
            lambda rows: _look_up(self.features, view_set, rows, tf.zeros_like(rows))
        )


def _look_up(
    features: Features, view_set: ViewSet, rows: tf.Tensor, numbers: tf.Tensor
) -> tf.Tensor:
    """float32 [n, F]."""

    held = weakref.ref(features)  # TensorFlow keeps `read` to the end of the process

    def read(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        there = held()
        assert there is not None  # what maps this function, and with it the dataset, holds them
        return there.read(view_set, rows, numbers)

    dtype = tf.as_dtype(features.dtype)
    values = tf.numpy_function(read, [rows, numbers], dtype, stateful=False)
    return tf.cast(tf.ensure_shape(values, [rows.shape[0], features.size]), tf.float32)
