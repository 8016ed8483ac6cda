"""A fully connected network, for images so small that position hardly matters, and for tests."""

import math

import keras
from keras import layers

from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.precision import full
from mpl_tf.options import ConfigError

_MOST_WEIGHTS = 1 << 26


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    width: int = 128,
    dropout: float = 0.2,
    synchronized: bool = False,
) -> keras.Model:
    """Two hidden layers with ReLU on the flattened image.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images.
      seed: of the initial weights and the dropout masks.
      width: units of each hidden layer.
      dropout: in [0, 1), dropout before the head.
      synchronized: of no effect, as every builder takes it; there are no batch statistics.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K].

    Raises:
      ConfigError: the images are so large that memory might not hold the weights.
    """
    weights = width * math.prod(input_shape)
    if weights > _MOST_WEIGHTS:
        raise ConfigError(
            f"network=mlp has at most {_MOST_WEIGHTS:,} weights in its first layer; images of "
            f"{'x'.join(map(str, input_shape))} would need {weights:,}. Take a smaller image_size, "
            "or a network with convolutions."
        )
    seeds = layer_seeds(seed)

    def dense(units: int, dtype: str | None = None) -> keras.Layer:
        initializer = keras.initializers.HeNormal(seed=next(seeds))
        return layers.Dense(units, kernel_initializer=initializer, dtype=dtype)

    x = inputs = keras.Input(input_shape)
    x = layers.Flatten()(layers.Rescaling(1 / 127.5, offset=-1)(x))
    for _ in range(2):
        x = layers.ReLU()(dense(width)(x))
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return keras.Model(inputs, dense(num_classes, full())(x), name="mlp")


ARCHITECTURE = Architecture(build, "mlp", ("mlp",), "two hidden layers of 128 units")
