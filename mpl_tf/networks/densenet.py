"""DenseNet-BC, by its blocks and growth (Huang et al. 2017)."""

from typing import Any

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling, stems
from mpl_tf.networks.architecture import MOST_LAYERS, Architecture
from mpl_tf.networks.convolutions import convolution
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.pooling import OverlappingMaxPooling
from mpl_tf.options import ConfigError

# Layers of the blocks of the networks for ImageNet, by depth; all grow by 32 channels but 161.
BLOCKS: dict[int, tuple[int, ...]] = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
_GROWTH = {161: 48}
_USUAL_GROWTH, _GROWTH_OF_EQUAL_BLOCKS = 32, 12


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    dropout: float = 0.0,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    stem: str = "auto",
    *,
    blocks: tuple[int, ...] = BLOCKS[121],
    growth: int = _USUAL_GROWTH,
) -> keras.Model:
    """A network of two parts: blocks of layers that see all layers before them, and a head.

        layer(x) = concat(x, 3x3(relu(norm(1x1(relu(norm(x)))))))     channels 4 k, k

    with k = growth. Between blocks a 1x1 convolution of `relu(norm(x))` halves the channels, and
    average pooling the sides of the image. The stem has 2 k channels.

    DenseNet-264 with growth 32 has 33,337,704 parameters with 1,000 classes, DenseNet-121
    7,978,856. With three equal blocks, 100 layers and growth 12 it is the paper's for CIFAR:
    769,162 parameters with 10 classes.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images; see Raises.
      seed: of the initial weights and the dropout masks.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      stem: "large": a 7x7 convolution of stride 2, and pooling; "small": a 3x3 convolution; "auto":
        small for images of less than 64 pixels.
      blocks: layers of each block, at least 1.
      growth: channels that a layer adds, at least 1.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: there is no such network, or the images are so small that a pixel would be
        divided: sides are at least 2^(blocks - 1), four times that with the large stem.

    Source: github.com/liuzhuang13/DenseNet; batch norm as in torchvision, decay 0.9 and epsilon
    1e-5.
    """
    is_small = stems.is_small(stem, input_shape)
    _check(blocks, growth, input_shape, is_small)
    seeds = layer_seeds(seed)

    def conv(x: keras.KerasTensor, channels: int, size: int, stride: int = 1) -> keras.KerasTensor:
        return convolution(x, channels, size, next(seeds), stride=stride)

    def activate(x: keras.KerasTensor) -> keras.KerasTensor:
        norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=synchronized)
        return layers.ReLU()(norm(x))

    x = inputs = keras.Input(input_shape)
    x = scaling.of_imagenet(x)
    if is_small:
        x = conv(x, 2 * growth, 3)
    else:
        x = OverlappingMaxPooling()(activate(conv(x, 2 * growth, 7, 2)))
    for index, repeats in enumerate(blocks):
        if index:
            x = conv(activate(x), x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2)(x)
        for _ in range(repeats):
            added = conv(activate(conv(activate(x), 4 * growth, 1)), growth, 3)
            x = layers.Concatenate()([x, added])
    x = layers.GlobalAveragePooling2D()(activate(x))
    backbone = keras.Model(inputs, x, name=parts.BACKBONE)
    made = heads.draw(
        num_classes, x.shape[-1], seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name="densenet")


def _check(
    blocks: tuple[int, ...], growth: int, input_shape: tuple[int, ...], is_small: bool
) -> None:
    if not blocks or min(blocks) < 1 or growth < 1:
        raise ConfigError(
            "a DenseNet has at least one block, of at least one layer, and a growth of at least 1; "
            f"received blocks={blocks}, growth={growth}."
        )
    least = 2 ** (len(blocks) - 1) * (1 if is_small else 4)
    stem = "small" if is_small else "large"
    stems.check_sides(
        f"a DenseNet of {len(blocks)} blocks with the {stem} stem", least, input_shape
    )


def _parse(depth: str, growth: str = "") -> dict[str, Any]:
    number = int(depth)
    if number in BLOCKS:
        blocks, usual = BLOCKS[number], _GROWTH.get(number, _USUAL_GROWTH)
    elif 10 <= number <= MOST_LAYERS and number % 6 == 4:
        blocks, usual = (number // 6,) * 3, _GROWTH_OF_EQUAL_BLOCKS
    else:
        raise ConfigError(
            f"depth of a DenseNet must be one of {', '.join(map(str, BLOCKS))}, or 6n + 4 with n "
            f"at least 1 (10, 16, ..., {MOST_LAYERS:,}), of three equal blocks; received {depth}."
        )
    _check(blocks, int(growth or usual), (1 << 30,) * 3, False)
    return {"blocks": blocks, "growth": int(growth or usual)}


ARCHITECTURE = Architecture(
    build,
    r"densenet_(?P<depth>\d+)(_(?P<growth>\d+))?",
    ("densenet_DEPTH", "densenet_DEPTH_GROWTH"),
    "dense blocks, such as densenet_264",
    _parse,
    two_parts=True,
    takes_stem=True,
    names=(*(f"densenet_{depth}" for depth in BLOCKS), "densenet_100_12"),
)
