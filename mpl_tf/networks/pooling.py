"""Max pooling that can be differentiated twice under XLA."""

import functools
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mpl_tf")
class MaxPooling(keras.layers.MaxPooling2D):
    """keras.layers.MaxPooling2D of windows that do not overlap; the first of equal pixels counts.

    XLA's second derivative of max pooling looks for the greatest pixel with 8 binary digits, and
    takes another one where two agree in these. Exact feedback differentiates twice: with that, a
    credit was 4% off. In training this layer therefore takes the maximum of the columns of each
    window and then of its rows, which is the same number and the same gradient.

    Args:
      side: of a window, in pixels.
      **kwargs: for keras.layers.MaxPooling2D, but for its `pool_size`, `strides` and `padding`.
    """

    def __init__(self, side: int = 2, **kwargs: Any):
        super().__init__(side, **kwargs)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[N, H, W, C] -> [N, H // side, W // side, C]."""
        if not training:
            return super().call(inputs)
        side, (high, wide, channels) = self.pool_size[0], inputs.shape[1:]
        rows, columns = high // side, wide // side
        x = inputs
        if (high, wide) != (rows * side, columns * side):  # a slice's gradient costs a copy
            x = x[:, : rows * side, : columns * side]
        x = tf.reshape(x, [-1, columns, side, channels])
        x = _greatest(tf.unstack(x, axis=2))
        x = tf.reshape(x, [-1, rows, side, columns, channels])
        return _greatest(tf.unstack(x, axis=2))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("pool_size", "strides", "padding"):
            del config[name]
        return config | {"side": self.pool_size[0]}


def _greatest(tensors: list[tf.Tensor]) -> tf.Tensor:
    """The elementwise maximum; of equal numbers the gradient goes to the first."""
    return functools.reduce(tf.maximum, tensors)


@keras.saving.register_keras_serializable(package="mpl_tf")
class OverlappingMaxPooling(keras.layers.Layer):
    """The maximum of 3x3 windows, two pixels apart, with one more pixel on each side of the image.

    The maximum of shifted images, first of rows and then of columns, which has a second derivative
    under XLA (see `MaxPooling`).

    Args:
      border: value of the pixels beyond the image; None has none of them count.
      **kwargs: for keras.layers.Layer.
    """

    def __init__(self, border: float | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.border = border

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[N, H, W, C] -> [N, ceil(H / 2), ceil(W / 2), C]."""
        _, high, wide, _ = self.compute_output_shape(tuple(inputs.shape))
        value = inputs.dtype.min if self.border is None else self.border
        border = [[0, 0], [1, 1], [1, 1], [0, 0]]
        x = tf.pad(inputs, border, constant_values=tf.cast(value, inputs.dtype))
        top, middle, bottom = (x[:, i : i + 2 * high - 1 : 2] for i in range(3))
        x = tf.maximum(tf.maximum(top, middle), bottom)
        left, middle, right = (x[:, :, i : i + 2 * wide - 1 : 2] for i in range(3))
        return tf.maximum(tf.maximum(left, middle), right)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of [N, H, W, C]."""
        batch, high, wide, channels = input_shape
        return batch, (high + 1) // 2, (wide + 1) // 2, channels

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"border": self.border}
