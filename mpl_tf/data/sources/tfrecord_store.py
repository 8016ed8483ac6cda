"""Records of TFRecord files by their number."""

import concurrent.futures
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mpl_tf.data.sources import tfrecord_format, tfrecord_labels
from mpl_tf.data.sources.tfrecord_format import Shard
from mpl_tf.images import example


class RecordStore:
    """Records of several files by their number, which counts through the files in order.

    Attributes:
      shards: the files, with chunks of one record.

    Args:
      files: paths or shards, at least one.
    """

    def __init__(self, files: Sequence[str | Shard]):
        self.shards = tfrecord_format.shards_of(files, single=True)
        owner = np.repeat(np.arange(len(files)), [shard.records for shard in self.shards])
        with tf.device("CPU"):
            self._paths = tf.constant([shard.path for shard in self.shards])
            self._owner = tf.constant(owner, tf.int64)
            self._offsets = tf.constant(np.concatenate([s.offsets for s in self.shards]))

    def __len__(self) -> int:
        return len(self._owner)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """int64 [N], -1 where there is none; reads all files.

        Raises:
          ConfigError: see `tfrecord_labels.read`.
        """
        with concurrent.futures.ThreadPoolExecutor(tfrecord_format.THREADS) as threads:
            labels = threads.map(tfrecord_labels.read, [shard.path for shard in self.shards])
            return np.concatenate(list(labels))

    def record(self, index: tf.Tensor) -> tf.Tensor:
        """Record number `index`, int64 tensor [], as a string tensor []; for tf.data functions."""
        path, one = self._paths[self._owner[index]], tf.constant(1, tf.int64)
        return tfrecord_format.read_chunk(path, self._offsets[index], one, 1 << 16)[0]

    def image(self, index: tf.Tensor, key: str | None = None) -> tf.Tensor:
        """The encoded image of record number `index`, likewise.

        Args:
          index: int64 tensor [], from 0 to N - 1.
          key: the feature that holds the image; None is one of `example.IMAGE`.
        """
        if key is None:
            return example.image(self.record(index))
        features = {key: tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_example(self.record(index), features)[key]

    def read(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """The records at `indices`, integers [n] from 0 to N - 1."""
        data = tf.data.Dataset.from_tensor_slices(np.asarray(indices, np.int64))
        data = data.map(self.record, num_parallel_calls=tfrecord_format.THREADS, deterministic=True)
        return list(data.as_numpy_iterator())
