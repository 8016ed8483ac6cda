"""Where pixels lie: in memory, in files, or in TFRecords; read by an image's position."""

import numpy as np
import tensorflow as tf

from mpl_tf.images import decode

# Decoded images up to this many bytes are held in memory.
MEMORY_LIMIT = 2 << 30


class ArrayStore:
    """Images in memory, held once, however many parts of a dataset refer to them.

    Args:
      images: uint8 [N, H, W, C]; a NumPy array can be let go of afterwards.
    """

    def __init__(self, images):
        with tf.device("CPU"):
            self._images = tf.convert_to_tensor(images)
        self.shape = tuple(self._images.shape[1:])

    def read(self, positions):
        """uint8 [n, H, W, C], the images at `positions` [n]."""
        with tf.device("CPU"):
            return tf.gather(self._images, positions).numpy()

    def batches(self, positions, size):
        """tf.data.Dataset of positions int64 [n], n = `size` -> of images uint8 [n, H, W, C]."""
        del size  # whatever it is

        def gather(index):
            return tf.ensure_shape(tf.gather(self._images, index), [*index.shape, *self.shape])

        return positions.map(gather)


class EncodedStore:
    """Encoded images, decoded and resized whenever they are read.

    Args:
      fetch: function of a tensor int64 [], traceable, -> the encoded image, a string tensor [].
      size: int, side of the images in pixels.
      channels: int, 1 or 3.
    """

    def __init__(self, fetch, size, channels):
        self._fetch, self.shape = fetch, (size, size, channels)

    def _load(self, position):
        image = decode.decode(self._fetch(position), self.shape[0], self.shape[2])
        return tf.ensure_shape(image, self.shape)

    def read(self, positions):
        """uint8 [n, H, W, C], the images at `positions` [n]."""
        images = np.empty([len(positions), *self.shape], np.uint8)
        data = tf.data.Dataset.from_tensor_slices(np.asarray(positions, np.int64))
        data = data.map(self._load, tf.data.AUTOTUNE, deterministic=True).prefetch(64)
        for row, image in enumerate(data.as_numpy_iterator()):
            images[row] = image
        return images

    def batches(self, positions, size):
        """tf.data.Dataset of positions int64 [n], n = `size` -> of images uint8 [n, H, W, C].

        The last batch may be smaller.
        """
        (static,) = positions.element_spec.shape
        data = positions.unbatch().map(self._load, tf.data.AUTOTUNE, deterministic=True)
        return data.batch(size, drop_remainder=static is not None)


def file_store(paths, size, channels):
    """An EncodedStore of image files.

    Args:
      paths: sequence of N str.
      size, channels: as for EncodedStore.
    """
    with tf.device("CPU"):
        names = tf.constant(np.asarray(paths, object))
    return EncodedStore(lambda position: tf.io.read_file(names[position]), size, channels)


def in_memory(store, count):
    """The store itself, or an ArrayStore of its `count` images if they fit into MEMORY_LIMIT."""
    if count * int(np.prod(store.shape)) > MEMORY_LIMIT:
        return store
    return ArrayStore(store.read(np.arange(count)))
