"""Inception-v4 (Szegedy et al. 2017), by blocks and width."""

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.inception_layers import NUMBERS, InceptionLayers, check, parse, pool
from mpl_tf.networks.initializers import layer_seeds


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    blocks: tuple[int, int, int] = (4, 7, 3),
    width: float = 1.0,
    dropout: float = 0.2,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
) -> keras.Model:
    """A network of two parts: a stem, blocks A, B and C of parallel convolutions, and a head.

    A block concatenates four branches; those that reduce the size in between have three. With
    k = 3x3 and each convolution followed by batch normalisation and ReLU, the channels are:

        A             1x1 96 | 1x1 64, k 96 | 1x1 64, k 96, k 96 | average, 1x1 96
        reduction A   k/2 384 | 1x1 192, k 224, k/2 256 | max/2
        B             1x1 384 | 1x1 192, 1x7 224, 7x1 256
                      | 1x1 192, 7x1 192, 1x7 224, 7x1 224, 1x7 256 | average, 1x1 128
        reduction B   1x1 192, k/2 192 | 1x1 256, 1x7 256, 7x1 320, k/2 320 | max/2
        C             1x1 256 | 1x1 384, (1x3 256, 3x1 256)
                      | 1x1 384, 3x1 448, 1x3 512, (1x3 256, 3x1 256) | average, 1x1 256

    Average pooling over the places gives 1,536 features. With 1,000 classes the network has
    42,679,816 trainable parameters.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images, at least 75 pixels high and wide.
      seed: of the initial weights and the dropout masks.
      blocks: numbers of blocks A, B and C, each at least 1.
      width: greater than 0, the factor of all numbers of channels.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: a number is not allowed, or the images are too small.

    Source: the paper, and its code in tensorflow/models (slim). Left out is the auxiliary head,
    which is a device of training. Batch normalisation has decay 0.99, as all networks here, in
    place of 0.9997, and a scale, which the code leaves out.
    """
    check(blocks, width, input_shape)
    seeds = layer_seeds(seed)
    make = InceptionLayers(seeds, synchronized, width)

    def average(x, filters):
        return make.convolve(layers.AveragePooling2D(3, 1, padding="same")(x), (filters, 1))

    def block_a(x):
        return layers.Concatenate()(
            [
                make.convolve(x, (96, 1)),
                make.convolve(x, (64, 1), (96, 3)),
                make.convolve(x, (64, 1), (96, 3), (96, 3)),
                average(x, 96),
            ]
        )

    def reduction_a(x):
        narrow = make.convolve(x, (192, 1), (224, 3))
        return layers.Concatenate()([make.shrink(x, 384), make.shrink(narrow, 256), pool(x)])

    def block_b(x):
        columns, rows = (7, 1), (1, 7)
        return layers.Concatenate()(
            [
                make.convolve(x, (384, 1)),
                make.convolve(x, (192, 1), (224, rows), (256, columns)),
                make.convolve(
                    x, (192, 1), (192, columns), (224, rows), (224, columns), (256, rows)
                ),
                average(x, 128),
            ]
        )

    def reduction_b(x):
        narrow = make.convolve(x, (192, 1))
        wide = make.convolve(x, (256, 1), (256, (1, 7)), (320, (7, 1)))
        return layers.Concatenate()([make.shrink(narrow, 192), make.shrink(wide, 320), pool(x)])

    def block_c(x):
        short = make.convolve(x, (384, 1))
        long = make.convolve(x, (384, 1), (448, (3, 1)), (512, (1, 3)))
        halves = [make.convolve(y, (256, size)) for y in (short, long) for size in ((1, 3), (3, 1))]
        return layers.Concatenate()([make.convolve(x, (256, 1)), *halves, average(x, 256)])

    inputs = keras.Input(input_shape)
    x = make.stem(scaling.to_one(inputs))
    stages = ((block_a, reduction_a), (block_b, reduction_b), (block_c, None))
    for repeats, (block, reduction) in zip(blocks, stages, strict=True):
        for _ in range(repeats):
            x = block(x)
        x = reduction(x) if reduction else x
    features = layers.GlobalAveragePooling2D()(x)
    backbone = keras.Model(inputs, features, name=parts.BACKBONE)
    made = heads.draw(
        num_classes, features.shape[-1], seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name="inception_v4")


ARCHITECTURE = Architecture(
    build,
    rf"inception_v4{NUMBERS}",
    ("inception_v4", "inception_v4_A_B_C_WIDTH"),
    "for images of at least 75 pixels, such as inception_v4_1_1_1_0.25",
    parse,
    two_parts=True,
    names=("inception_v4",),
)
