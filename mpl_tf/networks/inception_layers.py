"""The layers and the stem that Inception-v4 and PolyNet share."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

from mpl_tf.networks.stems import check_sides
from mpl_tf.options import ConfigError

Size = int | tuple[int, int]
Convolution = tuple[int, Size]  # channels, and size of the kernel in pixels

_LEAST_SIDE = 75  # pixels of an image, of which the last blocks have one
# What follows a network's name: numbers of blocks, and the width.
NUMBERS = r"(_(?P<a>\d{1,3})_(?P<b>\d{1,3})_(?P<c>\d{1,3})_(?P<width>\d{1,3}(\.\d{1,6})?))?"


class InceptionLayers:
    """Makes the layers of one network, each with the next seed.

    All take and give images [N, H, W, C]. "valid" padding is none.
    """

    def __init__(self, seeds: Iterator[int], synchronized: bool, width: float):
        """Nothing is made yet.

        Args:
          seeds: of initial weights.
          synchronized: whether batch statistics are taken over all replicas.
          width: greater than 0, the factor of all numbers of channels.
        """
        self._seeds = seeds
        self._synchronized = synchronized
        self._width = width

    def channels(self, filters: int) -> int:
        """How many of a layer's channels the network has, at least 1."""
        return max(1, round(filters * self._width))

    def convolution(
        self, channels: int, size: Size = 1, stride: int = 1, padding: str = "same"
    ) -> layers.Conv2D:
        """A convolution without offsets, as a layer."""
        return layers.Conv2D(
            channels,
            size,
            strides=stride,
            padding=padding,
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(seed=next(self._seeds)),
        )

    def normalize(self, x: keras.KerasTensor, activate: bool = True) -> keras.KerasTensor:
        """Batch normalisation, and ReLU if `activate`."""
        norm = layers.BatchNormalization(
            momentum=0.99, epsilon=1e-3, synchronized=self._synchronized
        )
        x = norm(x)
        return layers.ReLU()(x) if activate else x

    def convolve(self, x: keras.KerasTensor, *convolutions: Convolution) -> keras.KerasTensor:
        """Convolutions, each with batch normalisation and ReLU."""
        for filters, size in convolutions:
            x = self.normalize(self.convolution(self.channels(filters), size)(x))
        return x

    def shrink(self, x: keras.KerasTensor, filters: int, stride: int = 2) -> keras.KerasTensor:
        """A 3x3 convolution without padding, batch normalisation and ReLU."""
        return self.normalize(self.convolution(self.channels(filters), 3, stride, "valid")(x))

    def stem(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """[N, H, W, C] -> 384 channels times `width`, an eighth of height and width: 35 of 299."""
        x = self.shrink(self.shrink(images, 32), 32, stride=1)
        x = self.convolve(x, (64, 3))
        x = layers.Concatenate()([pool(x), self.shrink(x, 96)])
        left = self.convolve(x, (64, 1))
        right = self.convolve(x, (64, 1), (64, (1, 7)), (64, (7, 1)))
        x = layers.Concatenate()([self.shrink(y, 96, stride=1) for y in (left, right)])
        return layers.Concatenate()([self.shrink(x, 192), pool(x)])


def pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """The maximum of 3x3 pixels, two apart, without padding."""
    return layers.MaxPooling2D(3, 2)(x)


def parse(a: str, b: str, c: str, width: str) -> dict[str, Any]:
    """Keywords of a builder from the groups of `NUMBERS`.

    Raises:
      ConfigError: a number is not allowed.
    """
    blocks, factor = (int(a), int(b), int(c)), float(width)
    check(blocks, factor)
    return {"blocks": blocks, "width": factor}


def check(blocks: tuple[int, ...], width: float, input_shape: tuple[int, ...] = ()) -> None:
    """Raises ConfigError unless a network can be built.

    Args:
      blocks: numbers of blocks A, B and C.
      width: factor of all numbers of channels.
      input_shape: (height, width, channels) of the images, where they are known.
    """
    if min(blocks) < 1 or width <= 0:
        raise ConfigError(
            "inception_v4 and polynet need at least 1 block A, 1 B and 1 C, and a width greater "
            f"than 0; received {', '.join(map(str, blocks))} and {width:g}."
        )
    if input_shape:
        check_sides("inception_v4 and polynet", _LEAST_SIDE, input_shape)
