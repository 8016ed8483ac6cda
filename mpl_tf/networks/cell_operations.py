"""The operations of cells (`cell_specs`), as layers."""

from collections.abc import Iterator

import keras
from keras import layers

from mpl_tf.networks.initializers import he_normal_out

Sides = int | tuple[int, int]

_POOLS = {
    "avg": (layers.AveragePooling2D, 3),
    "max": (layers.MaxPooling2D, 3),
    "max2": (layers.MaxPooling2D, 2),
}
_SEPARABLE = {"sep3": (3, 1), "sep5": (5, 1), "sep7": (7, 1), "sep5_dilated": (5, 2)}


class Operations:
    """Makes the layers of one network, each with the next seed.

    All take and give images [N, H, W, C], and pad them with zeros. Convolutions have no offsets;
    batch normalisation has.
    """

    def __init__(self, seeds: Iterator[int], synchronized: bool):
        """Nothing is made yet.

        Args:
          seeds: of initial weights.
          synchronized: whether batch statistics are taken over all replicas.
        """
        self._seeds = seeds
        self._synchronized = synchronized
        self._activated: dict[int, keras.KerasTensor] = {}

    def apply(
        self, operation: str, x: keras.KerasTensor, filters: int, stride: int
    ) -> keras.KerasTensor:
        """One operation.

        Args:
          operation: as `cell_specs.Cell` lists them.
          x: images.
          filters: channels of the result.
          stride: 2 halves height and width, rounded up.
        """
        if operation == "identity":
            unchanged = stride == 1 and x.shape[-1] == filters
            return x if unchanged else self.convolve(x, filters, stride=stride)
        if operation in _POOLS:
            pooling, side = _POOLS[operation]
            x = pooling(side, stride, padding="same")(x)
            return x if x.shape[-1] == filters else self.convolve(x, filters, activate=False)
        if operation in _SEPARABLE:
            side, dilation = _SEPARABLE[operation]
            x = self._separable(x, filters, side, stride, dilation)
            return self._separable(x, filters, side, 1, dilation)
        if operation == "conv1":
            return self.convolve(x, filters, stride=stride)
        x = self.convolve(x, max(filters // 4, 1))
        if operation == "conv3":
            x = self.convolve(x, x.shape[-1], 3, stride)
        elif operation == "conv7":
            x = self.convolve(x, x.shape[-1], (1, 7), (1, stride))
            x = self.convolve(x, x.shape[-1], (7, 1), (stride, 1))
        else:
            raise KeyError(operation)
        return self.convolve(x, filters)

    def convolve(
        self,
        x: keras.KerasTensor,
        filters: int,
        size: Sides = 1,
        stride: Sides = 1,
        padding: str = "same",
        activate: bool = True,
    ) -> keras.KerasTensor:
        """ReLU if `activate`, convolution, batch normalisation."""
        return self._normalize(self._convolve(x, filters, size, stride, padding, activate))

    def match(
        self, x: keras.KerasTensor, like: keras.KerasTensor, filters: int, activate: bool = True
    ) -> keras.KerasTensor:
        """A state of as many pixels as `like` and `filters` channels; `x` if it has them already.

        Where pixels are twice as many, half of the channels come from those of even rows and
        columns, half from those of odd ones; if `filters` is odd, the last channel is zero.

            halves = conv(relu(x)[::2, ::2]), conv(relu(x)[1::2, 1::2])
            result = batch_norm(concatenate(halves))

        Args:
          x: images.
          like: images, of the size of `x` or half of it, rounded up.
          filters: at least 2.
          activate: whether there is a ReLU.
        """
        if x.shape[1:3] == like.shape[1:3]:
            return x if x.shape[-1] == filters else self.convolve(x, filters, activate=activate)
        even = self._convolve(x, filters // 2, 1, 2, "valid", activate)
        x = self._activate(x) if activate else x
        x = layers.Cropping2D(((1, 0), (1, 0)))(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
        odd = self._convolve(x, filters // 2, 1, 2, "valid", activate=False)
        x = layers.Concatenate()([even, odd])
        if filters % 2:
            x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)))
        return self._normalize(x)

    def _activate(self, x):
        if id(x) not in self._activated:  # branches that begin with the same state share it
            self._activated[id(x)] = layers.ReLU()(x)
        return self._activated[id(x)]

    def _convolve(self, x, filters, size, stride, padding, activate):
        return layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding=padding,
            use_bias=False,
            kernel_initializer=he_normal_out(next(self._seeds)),
        )(self._activate(x) if activate else x)

    def _separable(self, x, filters, side, stride, dilation):
        convolution = layers.SeparableConv2D(
            filters,
            side,
            strides=stride,
            padding="same",
            dilation_rate=dilation,
            use_bias=False,
            depthwise_initializer=he_normal_out(next(self._seeds)),
            pointwise_initializer=he_normal_out(next(self._seeds)),
        )
        return self._normalize(convolution(self._activate(x)))

    def _normalize(self, x):
        norm = layers.BatchNormalization(
            momentum=0.99, epsilon=1e-3, synchronized=self._synchronized
        )
        return norm(x)
