"""Where pixels lie: in memory, in files, or in TFRecords; read by an image's position."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from mpl_tf.images import decode

# Decoded images up to this many bytes are held in memory.
MEMORY_LIMIT = 2 << 30


class Store(Protocol):
    """Where the pixels of images lie."""

    shape: tuple[int, int, int]

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C], the images at `positions` [n]."""

    def batches(self, positions: tf.data.Dataset, size: int) -> tf.data.Dataset:
        """tf.data.Dataset of positions int64 [n], n = `size` -> of images uint8 [n, H, W, C]."""


class ArrayStore:
    """Images in memory, held once, however many parts of a dataset refer to them.

    Args:
      images: uint8 [N, H, W, C]; a NumPy array can be let go of afterwards.
    """

    def __init__(self, images: np.ndarray | tf.Tensor):
        with tf.device("CPU"):
            self._images = tf.convert_to_tensor(images)
        height, width, channels = self._images.shape[1:]
        self.shape: tuple[int, int, int] = (height, width, channels)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C], the images at `positions` [n]."""
        with tf.device("CPU"):
            return tf.gather(self._images, positions).numpy()

    def batches(self, positions: tf.data.Dataset, size: int) -> tf.data.Dataset:
        """tf.data.Dataset of positions int64 [n], n = `size` -> of images uint8 [n, H, W, C]."""
        del size  # whatever it is

        def gather(index):
            return tf.ensure_shape(tf.gather(self._images, index), [*index.shape, *self.shape])

        return positions.map(gather)


class EncodedStore:
    """Encoded images, decoded and resized whenever they are read.

    Args:
      fetch: traceable function of a position, int64 [], -> the encoded image, string [].
      size: side of the images in pixels.
      channels: 1 or 3.
    """

    def __init__(self, fetch: Callable[[tf.Tensor], tf.Tensor], size: int, channels: int):
        self._fetch = fetch
        self.shape: tuple[int, int, int] = (size, size, channels)

    def _load(self, position):
        image = decode.decode(self._fetch(position), self.shape[0], self.shape[2])
        return tf.ensure_shape(image, self.shape)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C], the images at `positions` [n]."""
        images = np.empty([len(positions), *self.shape], np.uint8)
        data = tf.data.Dataset.from_tensor_slices(np.asarray(positions, np.int64))
        data = data.map(self._load, tf.data.AUTOTUNE, deterministic=True).prefetch(64)
        for row, image in enumerate(data.as_numpy_iterator()):
            images[row] = image
        return images

    def batches(self, positions: tf.data.Dataset, size: int) -> tf.data.Dataset:
        """tf.data.Dataset of positions int64 [n], n = `size` -> of images uint8 [n, H, W, C].

        The last batch may be smaller.
        """
        (static,) = positions.element_spec.shape
        data = positions.unbatch().map(self._load, tf.data.AUTOTUNE, deterministic=True)
        return data.batch(size, drop_remainder=static is not None)


def file_store(paths: Sequence[str], size: int, channels: int) -> EncodedStore:
    """An EncodedStore of image files.

    Args:
      paths: the files, [N].
      size, channels: as for EncodedStore.
    """
    with tf.device("CPU"):
        names = tf.constant(np.asarray(paths, object))
    return EncodedStore(lambda position: tf.io.read_file(names[position]), size, channels)


def in_memory(store: Store, count: int) -> Store:
    """The store itself, or an ArrayStore of its `count` images if they fit into MEMORY_LIMIT."""
    if count * int(np.prod(store.shape)) > MEMORY_LIMIT:
        return store
    return ArrayStore(store.read(np.arange(count)))
