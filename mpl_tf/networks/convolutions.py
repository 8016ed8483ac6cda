"""Convolutions with zeros on all sides alike, in groups, or of standardised kernels."""

import keras
import tensorflow as tf
from keras import layers

from mpl_tf.networks.initializers import he_normal_out


def convolution(
    x: keras.KerasTensor,
    channels: int,
    size: int,
    seed: int,
    *,
    stride: int = 1,
    groups: int = 1,
    layer: type[layers.Conv2D] = layers.Conv2D,
) -> keras.KerasTensor:
    """A convolution without bias; its kernel is normal with variance 2 / fan_out.

    As many zeros as the kernel has pixels beside its middle stand on each side. With stride 2 and
    an even image, `padding="same"` of Keras would put one more at the end than at the beginning.

    Args:
      x: [N, H, W, C].
      channels: of the output, a multiple of `groups`.
      size: height and width of the kernel in pixels, odd.
      seed: of the initial kernel.
      stride: in pixels.
      groups: the channels are cut into as many parts, each of which makes a part of the output.
      layer: the class of the convolution.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), channels].
    """
    if stride > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    make = GroupedConvolution if groups > 1 else layer
    return make(
        channels,
        size,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        groups=groups,
        use_bias=False,
        kernel_initializer=he_normal_out(seed),
    )(x)


@keras.saving.register_keras_serializable(package="mpl_tf")
class GroupedConvolution(layers.Conv2D):
    """keras.layers.Conv2D with `groups`, fast on CPUs, too.

        y = concat(conv(x[..., group], kernel[..., group]) for group in groups)

    Without a GPU each group is a convolution. Keras compiles the whole with XLA, which takes a
    hundred times as long on a CPU, forward and backward. With a GPU this is Keras's layer.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """[N, H, W, C] and [size, size, C / groups, F] -> [N, h, w, F]."""
        if tf.config.list_physical_devices("GPU"):
            return super().convolution_op(inputs, kernel)
        parts = zip(
            tf.split(inputs, self.groups, axis=-1),
            tf.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        return tf.concat([super(GroupedConvolution, self).convolution_op(*p) for p in parts], -1)


@keras.saving.register_keras_serializable(package="mpl_tf")
class StandardizedConvolution(layers.Conv2D):
    """keras.layers.Conv2D of kernels with mean 0 and variance 1 (Qiao et al. 2019).

    kernel[..., k] = (w[..., k] - mean(w[..., k])) / sqrt(variance(w[..., k]) + 1e-10)
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """[N, H, W, C] and [size, size, C, F] -> [N, h, w, F]."""
        weights = tf.cast(kernel, self.variable_dtype)  # with all digits
        mean, variance = tf.nn.moments(weights, axes=[0, 1, 2], keepdims=True)
        weights = (weights - mean) * tf.math.rsqrt(variance + 1e-10)
        return super().convolution_op(inputs, tf.cast(weights, kernel.dtype))
