"""A network's predictions on all images of a pool, computed once and read by the images' places."""

import dataclasses
from collections.abc import Iterable
from typing import Protocol, final

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.engine.forward import to_float32

DTYPE = np.float16


class Predictions(Protocol):
    """Distributions over classes of the images of a pool, read by the images' places in it."""

    def read(self, positions: np.ndarray) -> np.ndarray:
        """float16 [n, K] of the images at integer positions [n]."""
        ...


@final
@dataclasses.dataclass(frozen=True, eq=False)
class ArrayPredictions:
    """Predictions in an array, in memory or on the disk.

    Attributes:
      array: float16 [M, K], np.memmap for one on the disk, of which only what is read is loaded.
    """

    array: np.ndarray

    def read(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self.array[positions])


def predict(
    network: keras.Model,
    pool: Iterable[tuple[tf.Tensor, tf.Tensor]],
    into: np.ndarray,
) -> None:
    """Fills an array with a network's distributions, not in training mode.

    Args:
      network: images -> logits [n, K].
      pool: (images [n,H,W,C], index integer [n]), their places; each place at least once.
      into: float16 [M, K].

    Raises:
      ArithmeticError: a prediction is not finite.
      ValueError: an image's place is not in the array, or an image is missing.
    """
    run = tf.function(lambda images: tf.nn.softmax(to_float32(network(images, training=False))))
    is_there = np.zeros(len(into), bool)
    for images, index in pool:
        probs, places = run(images).numpy(), np.asarray(index)
        if places.min() < 0 or places.max() >= len(into):
            raise ValueError(f"the pool has {len(into)} images; received one at {places.max()}.")
        if not np.isfinite(probs).all():
            raise ArithmeticError("the teacher's predictions are not finite.")
        into[places] = probs.astype(DTYPE)
        is_there[places] = True
    if not is_there.all():
        missing = np.flatnonzero(~is_there)
        raise ValueError(
            f"the pool has {len(into)} images; {len(missing)} were not given, such as that at "
            f"{missing[0]}."
        )
