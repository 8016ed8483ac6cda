"""Random numbers of a batch that do not depend on how the batch is divided over workers."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of rows `first` to `first + count` of a global batch of `total` rows.

    Every draw is made for the global batch and then cut, so that two workers with half of the
    rows each see what one worker with all of them sees. It is the whole randomness of a view:
    equal (seed, total, index) give equal numbers.

    Attributes:
      seed: int64 tensor [2].
      total: int, rows of the global batch.
      first: int, the first row wanted.
      count: int, rows wanted; None is all from `first` on.
    """

    seed: tf.Tensor
    total: int
    first: int = 0
    count: int | None = None

    def uniform(self, index, low=0.0, high=1.0, columns=()):
        """The `index`-th independent draw, float32 [count, *columns] in [low, high)."""
        return self._rows(index, low, high, columns, tf.float32)

    def integers(self, index, low, high, columns=()):
        """The `index`-th independent draw, int32 [count, *columns] in [low, high)."""
        return self._rows(index, low, high, columns, tf.int32)

    def child(self, index):
        """Draws for the same rows, independent of all others of this one."""
        return dataclasses.replace(self, seed=self._key(index))

    def _key(self, index):
        return tf.random.experimental.stateless_fold_in(self.seed, index)

    def _rows(self, index, low, high, columns, dtype):
        shape = [self.total, *columns]
        every = tf.random.stateless_uniform(shape, self._key(index), low, high, dtype)
        last = self.total if self.count is None else self.first + self.count
        return every[self.first : last]
