"""Squeeze and excitation (Hu et al. 2018)."""

from collections.abc import Callable, Iterator

import keras
from keras import layers


def excite(
    x: keras.KerasTensor,
    units: int,
    activation: str,
    initializer: Callable[[int], keras.Initializer],
    seeds: Iterator[int],
) -> keras.KerasTensor:
    """Multiplies each channel by a number in (0, 1) that is a function of all channels' means.

        x * sigmoid(W activation(V mean(x) + b) + c)

    Args:
      x: [N, H, W, C].
      units: length of V's output, at least 1.
      activation: Keras's name of it.
      initializer: makes the initializer of a kernel of a seed.
      seeds: for the kernels.
    """
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    for width, function in ((units, activation), (x.shape[-1], "sigmoid")):
        y = layers.Dense(width, activation=function, kernel_initializer=initializer(next(seeds)))(y)
    return layers.Multiply()([x, y])
