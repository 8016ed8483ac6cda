"""Random numbers of a batch that do not depend on how the batch is divided over workers."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from mpl_tf.formulas import random


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of rows `first` to `first + count` of a global batch of `total` rows.

    Every draw is made for the global batch and then cut, so that two workers with half of the
    rows each see what one worker with all of them sees. It is the whole randomness of a view:
    equal (seed, total, index) give equal numbers.

    Attributes:
      seed: int64 [2], a key such as `formulas.random.key` makes.
      total: rows of the global batch.
      first: the first row of this part.
      count: rows of this part; None is all from `first` on.
    """

    seed: tf.Tensor
    total: int
    first: int = 0
    count: int | None = None

    def uniform(
        self, index: int, low: float = 0.0, high: float = 1.0, columns: Sequence[int] = ()
    ) -> tf.Tensor:
        """The `index`-th independent draw, float32 [count, *columns] in [low, high)."""
        return self._rows(index, low, high, columns, tf.float32)

    def integers(self, index: int, low: int, high: int, columns: Sequence[int] = ()) -> tf.Tensor:
        """The `index`-th independent draw, int32 [count, *columns] in [low, high)."""
        return self._rows(index, low, high, columns, tf.int32)

    def child(self, index: int) -> "Draws":
        """Draws for the same rows, independent of all others of this one."""
        return dataclasses.replace(self, seed=random.fold_in(self.seed, index))

    def _rows(
        self, index: int, low: float, high: float, columns: Sequence[int], dtype: tf.DType
    ) -> tf.Tensor:
        # What `tf.random.stateless_uniform` makes of the bits; XLA would make other numbers.
        shape = [self.total, *columns]
        key = random.fold_in(self.seed, index)
        bits = tf.random.stateless_uniform(shape, key, None, None, tf.uint32, alg="philox")
        if dtype.is_floating:
            width = tf.constant(high, dtype) - tf.constant(low, dtype)  # rounded as it rounds it
            batch = tf.cast(bits & 0x7FFFFF, dtype) * 2.0**-23 * width + low
        else:
            batch = tf.cast(bits % tf.constant(high - low, tf.uint32), dtype) + low
        last = self.total if self.count is None else self.first + self.count
        return batch[self.first : last]
