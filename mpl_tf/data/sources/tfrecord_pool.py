"""The unlabeled images of TFRecord files, shuffled for training, in order, or some of them."""

import numpy as np
import tensorflow as tf

from mpl_tf.data import stores
from mpl_tf.data.contents import Contents
from mpl_tf.data.dataset import Images
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.data.sources.tfrecord_stream import Stream
from mpl_tf.images import decode, example
from mpl_tf.images.digests import digests_of


class StreamPool:
    """Unlabeled images that no memory has to hold. A data.dataset.Pool.

    Args:
      stream: the encoded images.
      side: of the images, in pixels.
      channels: 1 or 3.
    """

    has_hidden_labels = False

    def __init__(self, stream: Stream, side: int, channels: int):
        self._stream = stream
        self.shape: tuple[int, int, int] = (side, side, channels)

    def __len__(self) -> int:
        return len(self._stream)

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self)

    def contents(self) -> Contents:
        """One row a file; see `Stream.contents`."""
        return self._stream.contents()

    def following(self, images: Images) -> "StreamPool":
        """This pool: `images` lie in other files."""
        del images
        return self

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Up to `count` different images, drawn by a seed: uint8 [n, H, W, C]."""
        data = self.batches(min(count, len(self)), seed=seed, stream=0)
        return next(iter(data))[0].numpy()

    def batches(
        self,
        batch: int,
        *,
        seed: int,
        stream: int,
        start: int = 0,
        rows: tuple[int, int | None] = (0, None),
    ) -> tf.data.Dataset:
        """Endless shuffled batches; see `Pool`. Batch t is a function of (seed, stream, t).

        The index of an image counts through the files in order.
        """
        count = batch - rows[0] if rows[1] is None else rows[1]

        data = self._stream.batches(batch, seed, stream, start, rows)
        data = data.unbatch().map(
            lambda encoded, number: (
                self._image(encoded, number),
                tf.constant(-1, tf.int64),
                number,
            ),
            tf.data.AUTOTUNE,
            deterministic=True,
        )
        return data.batch(count, drop_remainder=True)

    def in_order(self, first: int = 0) -> tf.data.Dataset:
        """All images once, in the order of the files, from one on.

        Args:
          first: index of the first one.

        Returns:
          tf.data.Dataset of (image uint8 [H, W, C], digest uint64 []).
        """

        def load(encoded, number):
            return self._image(encoded, number), digests_of([encoded])[0]

        data = self._stream.in_order(first)
        return data.map(load, tf.data.AUTOTUNE, deterministic=True)

    def take(self, index: np.ndarray) -> Images:
        """The images at the integer positions `index`, in that order, without labels."""
        files, offsets = self._stream.places(np.asarray(index, np.int64))
        with tf.device("CPU"):
            paths = tf.constant([shard.path for shard in self._stream.shards])
            file, offset, number = map(tf.constant, (files, offsets, index))

        def fetch(row):
            one = tf.constant(1, tf.int64)
            record = tfrecord_format.read_chunk(paths[file[row]], offset[row], one, 1 << 16)[0]
            return decode.checked(example.image(record), ["unlabeled record", number[row]])

        store = stores.EncodedStore(fetch, self.shape[0], self.shape[2])
        rows = np.arange(len(index))
        return Images(store, rows, np.full(len(rows), -1), np.asarray(index, np.int64))

    def names(self, index: np.ndarray) -> list[str]:
        """`file:number` of the images at `index`: their file's name, and which of its records."""
        return self._stream.names(np.asarray(index, np.int64))

    def _image(self, encoded, number):
        """The image uint8 [H, W, C] of an encoded one."""
        encoded = decode.checked(encoded, ["unlabeled record", number])
        image = decode.decode(encoded, self.shape[0], self.shape[2])
        return tf.ensure_shape(image, self.shape)
