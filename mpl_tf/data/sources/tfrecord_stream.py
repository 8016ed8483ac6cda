"""Records of TFRecord files as shuffled pools that no memory has to hold.

A pool is read window by window: chunks of neighbouring records are put into a random order, some
of them make a window, and the records of a window are dealt to the rows of batches: chunk by chunk
to one row after the other, in a random order within a row. All of it is a pure function of (seed,
stream, epoch), so that training can start at any batch, and each worker reads the chunks of its
rows alone.
"""

import concurrent.futures
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mpl_tf.data.contents import Contents
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.data.sources.tfrecord_format import Shard
from mpl_tf.formulas import random
from mpl_tf.images import example
from mpl_tf.images.digests import digests_of
from mpl_tf.options import ConfigError


class Stream:
    """A pool of images that is only ever read in shuffled batches.

    Of encoded images memory holds five windows at most: one that is being delivered, one that is
    ready, and three copies of one that is being read and shuffled.

    Attributes:
      shards: the files that hold a record.

    Args:
      files: paths or shards.
      window_records: records that are shuffled together.
      window_bytes: bounds a window too; one chunk is the least.
      readers: chunks that are read at once.

    Raises:
      ConfigError: there is no record; or see `scan`.
    """

    def __init__(
        self,
        files: Sequence[str | Shard],
        window_records: int = 1 << 14,
        window_bytes: int = 1 << 28,
        readers: int = tfrecord_format.THREADS,
    ):
        described = tfrecord_format.shards_of(files, single=False)
        shards = [shard for shard in described if shard.records]
        if not shards:
            raise ConfigError("a pool of unlabeled images must hold at least one record.")
        self.shards, counts = tuple(shards), []
        for shard in shards:
            counts += [shard.records_per_chunk] * len(shard.offsets)
            counts[-1] -= len(shard.offsets) * shard.records_per_chunk - shard.records
        self._size, chunks = sum(counts), len(counts)
        limit = min(window_records / self._size, window_bytes / sum(s.size for s in shards))
        windows = -(-chunks // max(1, int(chunks * min(1, limit))))
        # Window w has chunks edges[w] to edges[w + 1] of the order: a chunk more or less.
        self._edges = np.arange(windows + 1) * chunks // windows
        self._readers = readers
        owner = np.repeat(np.arange(len(shards)), [len(shard.offsets) for shard in shards])
        with tf.device("CPU"):
            self._paths = tf.constant([shard.path for shard in shards])
            self._owner = tf.constant(owner, tf.int64)
            self._offsets = tf.constant(np.concatenate([shard.offsets for shard in shards]))
            self._counts = tf.constant(counts, tf.int64)  # [M] records of each chunk
            self._begins = tf.cumsum(self._counts, exclusive=True)  # records before each chunk
            ends = [[*shard.offsets[1:], shard.size] for shard in shards]
            self._ends = tf.constant(np.concatenate(ends), tf.int64)  # bytes of a file up to then

    def __len__(self) -> int:
        return self._size

    def contents(self) -> Contents:
        """One row a file: its size, number of records, first and last bytes make the digest."""
        folder = os.path.commonpath([os.path.dirname(shard.path) for shard in self.shards])
        names = [os.path.relpath(shard.path, folder or ".") for shard in self.shards]
        with concurrent.futures.ThreadPoolExecutor(tfrecord_format.THREADS) as threads:
            ends = list(threads.map(tfrecord_format.read_ends, self.shards))
        with tf.device("CPU"):
            digests = digests_of(tf.constant(ends)).numpy()
        return Contents(np.array(names, str), np.full(len(names), -1), digests)

    def batches(
        self,
        batch: int,
        seed: int,
        stream: int,
        start: int = 0,
        rows: tuple[int, int | None] = (0, None),
    ) -> tf.data.Dataset:
        """Endless batches: every record once an epoch, batches wrap from one epoch into the next.

        Batch t is a pure function of (seed, stream, t), the files and the windows. Starting late
        reads the window of its first record and nothing before. Rows of batches have chunks of a
        window of their own: who takes n of N rows reads n / N of the chunks of a window, which has
        at least a batch of records, and up to two more, which it shares with the rows beside.

        Args:
          batch: records a global batch.
          seed: of the run.
          stream: which of the run's random streams.
          start: the first batch.
          rows: (first, count), the part of each global batch to give; a count of None is all from
            first.

        Returns:
          tf.data.Dataset of (image, number), each [rows]: string, encoded; int64, counting through
          the files in order.
        """
        first_row, count = rows
        end_row = batch if count is None else first_row + count
        records_before = tf.cast(start, tf.int64) * batch
        epoch, before = records_before // self._size, records_before % self._size
        with tf.device("CPU"):
            edges = tf.constant(self._edges)
            begins = self._window_begins(self._order(random.key(seed, stream, epoch)))
            window = tf.searchsorted(begins, [before], side="right", out_type=tf.int64)[0] - 1
            skipped = before - begins[window]

        def plan(e):
            chunks = self._order(random.key(seed, stream, e))
            places = e * self._size + self._window_begins(chunks)  # of the whole training
            numbers = tf.data.Dataset.range(
                tf.where(e == epoch, window, np.int64(0)), len(self._edges) - 1
            )
            return numbers.map(lambda w: (e, w, chunks[edges[w] : edges[w + 1]], places[w] % batch))

        def read(e, w, chunks, row):
            total = tf.reduce_sum(tf.gather(self._counts, chunks))
            key = random.fold_in(random.key(seed, stream, e), w)
            order = _by_row(total, row, batch, key)
            row_of = (row + order) % batch
            ends = tf.constant([first_row, end_row], tf.int64)
            low, high = tf.unstack(tf.searchsorted(row_of, ends, out_type=tf.int64))
            records, numbers = self._read(chunks, low, high)
            done = tf.where((e == epoch) & (w == window), skipped, np.int64(0))
            places = order[low:high]
            order = tf.argsort(places)[tf.math.count_nonzero(places < done) :]
            return tf.gather(records, order), tf.gather(numbers, order)

        options = tf.data.Options()
        options.deterministic = True
        data = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(plan).map(read).prefetch(1)
        data = data.rebatch(end_row - first_row, drop_remainder=True)
        data = data.map(lambda records, numbers: (example.image(records), numbers))
        return data.with_options(options)

    def in_order(self, first: int = 0) -> tf.data.Dataset:
        """All records once, in the order of the files, from one on.

        Args:
          first: number of the first one; nothing before its chunk is read.

        Returns:
          tf.data.Dataset of (image, number), each []: string, encoded; int64.
        """
        begins = self._begins.numpy()
        chunk = np.searchsorted(begins, first, side="right") - 1
        options = tf.data.Options()
        options.deterministic = True
        data = tf.data.Dataset.range(chunk, len(begins))
        data = data.map(self._read_chunk, num_parallel_calls=self._readers)
        data = data.map(lambda records, numbers: (example.image(records), numbers))
        return data.unbatch().skip(first - begins[chunk]).with_options(options)

    def places(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where records lie: looks at the headers of those of their chunks.

        Args:
          numbers: int64 [n], of the records.

        Returns:
          (files, offsets), int64 [n] each: of which of the `shards`, bytes before a record in it.
        """
        begins = self._begins.numpy()
        chunks = np.searchsorted(begins, numbers, side="right") - 1
        owner, first, end = (t.numpy() for t in (self._owner, self._offsets, self._ends))
        order = np.argsort(chunks, kind="stable")
        needed, edges = np.unique(chunks[order], return_index=True)
        offsets = np.empty(len(numbers), np.int64)

        def look(chunk: int, rows: np.ndarray) -> None:
            path = self.shards[owner[chunk]].path
            found, _ = tfrecord_format.scan(path, int(first[chunk]), int(end[chunk]))
            offsets[rows] = found[numbers[rows] - begins[chunk]]

        with concurrent.futures.ThreadPoolExecutor(tfrecord_format.THREADS) as threads:
            for _ in threads.map(look, needed.tolist(), np.split(order, edges[1:])):
                pass
        return owner[chunks], offsets

    def names(self, numbers: np.ndarray) -> list[str]:
        """`file:number`, the name of its file and its number in there, of each of `numbers`."""
        begins = np.cumsum([0, *(shard.records for shard in self.shards)])
        files = np.searchsorted(begins, numbers, side="right") - 1
        names = [os.path.basename(shard.path) for shard in self.shards]
        inside = (numbers - begins[files]).tolist()
        return [f"{names[file]}:{row}" for file, row in zip(files.tolist(), inside, strict=True)]

    def _order(self, key):
        """A permutation of the chunks, int64 [M]."""
        chunks = tf.range(len(self._counts), dtype=tf.int64)
        return tf.random.experimental.stateless_shuffle(chunks, key)

    def _window_begins(self, chunks):
        """Records before each window of an order of chunks, and all, int64 [windows + 1]."""
        counts = tf.cumsum(tf.gather(self._counts, chunks))
        return tf.gather(tf.concat([[0], counts], 0), self._edges)

    def _read(self, chunks, low, high):
        """(records, numbers) from low to high of those of chunks [W], in their order."""
        ends = tf.cumsum(tf.gather(self._counts, chunks))
        begins = tf.concat([[0], ends[:-1]], 0)
        # One chunk at least, also where the part is empty.
        a = tf.minimum(tf.searchsorted(ends, low[None], side="right")[0], tf.size(chunks) - 1)
        b = tf.maximum(tf.searchsorted(begins, high[None])[0], a + 1)
        data = tf.data.Dataset.from_tensor_slices(chunks[a:b])
        data = data.map(self._read_chunk, num_parallel_calls=self._readers, deterministic=True)
        records, numbers = data.rebatch(ends[b - 1] - begins[a]).get_single_element()
        part = slice(low - begins[a], high - begins[a])
        return records[part], numbers[part]

    def _read_chunk(self, chunk):
        """(records, numbers) of a chunk."""
        path, count = self._paths[self._owner[chunk]], self._counts[chunk]
        offset, end = self._offsets[chunk], self._ends[chunk]
        records = tfrecord_format.read_chunk(path, offset, count, 1 << 18)
        tf.debugging.Assert(
            offset + tfrecord_format.length(records) == end,
            ["info.json does not describe the records at byte", offset, "of", path],
        )
        return records, self._begins[chunk] + tf.range(count)


def _by_row(total, row, batch, key):
    """The places of a window in a random order, but row by row.

    The k-th record of the window's chunks goes to the k-th of them: neighbours in a file to one row
    of batches. With batches of 2, a window of 5 that begins with row 1 has the places 1 and 3 in
    row 0, and 0, 2 and 4 in row 1: such as 3, 1, 4, 0, 2.

    Args:
      total: records of the window, int64 [].
      row: that of its first place.
      batch: rows of a batch.
      key: what the order is a function of.

    Returns:
      int64 [total].
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(total), key)
    return tf.gather(order, tf.argsort((row + order) % batch, stable=True))
