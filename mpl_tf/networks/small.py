"""A small convolutional network for tiny images (8 to 32 pixels): 65 thousand parameters."""

import keras
from keras import layers

from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.initializers import he_normal_out, layer_seeds
from mpl_tf.networks.pooling import MaxPooling
from mpl_tf.networks.precision import full
from mpl_tf.networks.stems import check_sides


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    width: int = 32,
    dropout: float = 0.2,
    synchronized: bool = False,
) -> keras.Model:
    """Two pairs of 3x3 convolutions with batch normalisation, global pooling, a linear head.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images, at least 2 pixels high and wide.
      seed: of the initial weights and the dropout masks.
      width: channels of the first pair; the second has twice as many.
      dropout: in [0, 1), dropout before the head.
      synchronized: whether batch statistics are taken over all replicas.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K].

    Raises:
      ConfigError: the images are too small.
    """
    check_sides("small", 2, input_shape)
    seeds = layer_seeds(seed)
    x = inputs = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for group, channels in enumerate((width, 2 * width)):
        if group:
            x = MaxPooling()(x)
        for _ in range(2):
            x = layers.Conv2D(
                channels,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer=he_normal_out(next(seeds)),
            )(x)
            norm = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, synchronized=synchronized)
            x = norm(x)
            x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    head = keras.initializers.GlorotUniform(seed=next(seeds))
    return keras.Model(
        inputs, layers.Dense(num_classes, kernel_initializer=head, dtype=full())(x), name="small"
    )


ARCHITECTURE = Architecture(
    build,
    r"small(_(?P<width>[1-9]\d{0,3}))?",
    ("small", "small_WIDTH"),
    "four convolutions for images of 8 to 32 pixels, such as small_16; small has WIDTH 32",
    lambda width: {"width": int(width)},
)
