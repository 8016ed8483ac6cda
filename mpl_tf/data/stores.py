"""Where pixels lie: in memory, in files, or in TFRecords; read by an image's position.

Every store has a digest of each image: 64 bits, FarmHash's fingerprint, of the encoded image if
there is one, else of its pixels. Within a store equal images have equal digests.
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from mpl_tf import console
from mpl_tf.images import decode
from mpl_tf.images.digests import digests_of

# In TensorFlow's messages: its operations on encoded images and records, our own assertions, and
# files that are gone, or that the system does not give, while a dataset is read.
_OF_IMAGES = re.compile(
    r"node \S*(Decode|ReadFile)|record at \d|record\] \[\d|records at byte|"
    r"Iterator::.*; (No such file or directory|Permission denied|Stale file handle|"
    r"Input/output error)"
)
# Decoded images up to this many bytes are held in memory.
MEMORY_LIMIT = 2 << 30


class Store(Protocol):
    """Where the pixels of images lie."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of every image; (F,) of features in their place."""

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C], the images at `positions` [n]."""

    def digests(self, positions: np.ndarray) -> np.ndarray:
        """uint64 [n], of the images at `positions` [n]; reads them, unless it was told."""

    def batches(self, positions: tf.data.Dataset, size: int) -> tf.data.Dataset:
        """tf.data.Dataset of positions int64 [n], n = `size` -> of images uint8 [n, H, W, C]."""


class ArrayStore:
    """Images in memory, held once, however many parts of a dataset refer to them.

    Args:
      images: uint8 [N, H, W, C]; a NumPy array can be let go of afterwards.
      digests: uint64 [N], of the encoded images that these were; None: of their pixels.
    """

    def __init__(self, images: np.ndarray | tf.Tensor, digests: np.ndarray | None = None):
        with tf.device("CPU"):
            self._images = tf.convert_to_tensor(images)
        self._digests = digests
        height, width, channels = self._images.shape[1:]
        self.shape: tuple[int, int, int] = (height, width, channels)

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int(np.prod(self._images.shape))

    def digests(self, positions: np.ndarray) -> np.ndarray:
        """uint64 [n], of the images at `positions` [n]."""
        if self._digests is None:
            with tf.device("CPU"):
                self._digests = digests_of(self._images).numpy()
        return self._digests[positions]

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
      digests: uint64 [N], of the encoded images, if they are known.
    """

    def __init__(
        self,
        fetch: Callable[[tf.Tensor], tf.Tensor],
        size: int,
        channels: int,
        digests: np.ndarray | None = None,
    ):
        self._fetch, self._digests = fetch, digests
        self.shape: tuple[int, int, int] = (size, size, channels)

    def _load(self, position):
        return self._decoded(self._fetch(position))

    def _decoded(self, encoded):
        image = decode.decode(encoded, self.shape[0], self.shape[2])
        return tf.ensure_shape(image, self.shape)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C], the images at `positions` [n]."""
        return self.read_with_digests(positions)[0]

    def read_with_digests(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(images, digests) at `positions` [n]: uint8 [n, H, W, C] and uint64 [n]."""
        images = np.empty([len(positions), *self.shape], np.uint8)
        digests = np.empty([len(positions)], np.uint64)

        def load(position):
            encoded = self._fetch(position)
            return self._decoded(encoded), digests_of([encoded])[0]

        data = tf.data.Dataset.from_tensor_slices(np.asarray(positions, np.int64))
        data = data.map(load, tf.data.AUTOTUNE, deterministic=True).prefetch(64)
        with console.quiet_decoders():
            for row, (image, digest) in enumerate(data.as_numpy_iterator()):
                images[row], digests[row] = image, digest
        return images, digests

    def digests(self, positions: np.ndarray) -> np.ndarray:
        """uint64 [n], of the images at `positions` [n]."""
        if self._digests is not None:
            return self._digests[positions]
        data = tf.data.Dataset.from_tensor_slices(np.asarray(positions, np.int64))
        data = data.map(self._fetch, tf.data.AUTOTUNE, deterministic=True)
        parts = [part.numpy() for part in data.batch(64).prefetch(2).map(digests_of)]
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def batches(self, positions: tf.data.Dataset, size: int) -> tf.data.Dataset:
        """tf.data.Dataset of positions int64 [n], n = `size` -> of images uint8 [n, H, W, C].

        The last batch may be smaller.
        """
        (static,) = positions.element_spec.shape
        data = positions.unbatch().map(self._load, tf.data.AUTOTUNE, deterministic=True)
        return data.batch(size, drop_remainder=static is not None)


def file_store(
    paths: Sequence[str], size: int, channels: int, digests: np.ndarray | None = None
) -> EncodedStore:
    """An EncodedStore of image files.

    Args:
      paths: the files, [N].
      size, channels, digests: as for EncodedStore.
    """
    with tf.device("CPU"):
        names = tf.constant([os.fsencode(path) for path in paths], tf.string)  # UTF-8 or not
    return EncodedStore(lambda position: tf.io.read_file(names[position]), size, channels, digests)


def fault(error: tf.errors.OpError) -> str:
    """Why images could not be read while a network was trained; "" if that is not what happened."""
    if not _OF_IMAGES.search(error.message):
        return ""
    before_nodes = error.message.partition("[[")[0]
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", before_nodes).strip().splitlines()[-1]
    return re.sub(r".*Iterator::\S+ |assertion failed: ", "", text)


def in_memory(store: EncodedStore, count: int) -> Store:
    """The store itself, or an ArrayStore of its `count` images if they fit into MEMORY_LIMIT."""
    if count * int(np.prod(store.shape)) > MEMORY_LIMIT:
        return store
    return ArrayStore(*store.read_with_digests(np.arange(count)))
