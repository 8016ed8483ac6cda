"""BiT: residual networks with group norm and standardised kernels (Kolesnikov et al. 2020)."""

from typing import Any

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.convolutions import StandardizedConvolution, convolution
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.pooling import OverlappingMaxPooling
from mpl_tf.networks.resnet_sizes import BOTTLENECKS
from mpl_tf.options import ConfigError

_GROUPS = 32  # of group norm


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    dropout: float = 0.0,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    *,
    depth: int = 50,
    width: float = 1.0,
) -> keras.Model:
    """A network of two parts: four stages of pre-activation bottlenecks, and a head.

        a = relu(norm(x))
        block(x) = shortcut + 1x1(relu(norm(3x3(relu(norm(1x1(a)))))))     channels c, c, 4 c

    with c = 64, 128, 256, 512 times width in the four stages; `norm` is group norm of 32 groups,
    and kernels are standardised. The stride is in the 3x3 convolution. `shortcut` is a 1x1
    convolution of a where channels or size change, else x. The stem is a 7x7 convolution of stride
    2, and pooling with a border of zeros.

    R152x4 has 936,533,224 parameters with 1,000 classes, R50x1 25,549,352.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images.
      seed: of the initial weights and the dropout masks.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics, which only a spinal head has, are taken over all
        replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      depth: 14, 26, 50, 101, 152 or 200.
      width: a multiple of 0.5, so that channels are multiples of 32.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: there is no such network.

    Source: github.com/google-research/big_transfer.
    """
    _check(depth, width)
    base, seeds = round(64 * width), layer_seeds(seed)

    def conv(
        x: keras.KerasTensor, channels: int, size: int = 1, stride: int = 1
    ) -> keras.KerasTensor:
        return convolution(
            x, channels, size, next(seeds), stride=stride, layer=StandardizedConvolution
        )

    def activate(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.ReLU()(layers.GroupNormalization(_GROUPS, epsilon=1e-5)(x))

    def block(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
        activated = activate(x)
        if stride > 1 or x.shape[-1] != 4 * channels:
            x = conv(activated, 4 * channels, 1, stride)
        y = activate(conv(activated, channels))
        y = activate(conv(y, channels, 3, stride))
        return layers.Add()([x, conv(y, 4 * channels)])

    x = inputs = keras.Input(input_shape)
    x = OverlappingMaxPooling(border=0.0)(conv(scaling.to_one(x), base, 7, 2))
    for stage, repeats in enumerate(BOTTLENECKS[depth]):
        for index in range(repeats):
            x = block(x, base * 2**stage, 2 if stage and index == 0 else 1)
    x = layers.GlobalAveragePooling2D()(activate(x))
    backbone = keras.Model(inputs, x, name=parts.BACKBONE)
    made = heads.draw(
        num_classes, x.shape[-1], seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name="bit")


def _check(depth: int, width: float) -> None:
    if depth not in BOTTLENECKS:
        raise ConfigError(
            f"depth of a BiT must be one of {', '.join(map(str, BOTTLENECKS))}; received {depth}."
        )
    if not 0 < width <= 64 or 2 * width % 1:
        raise ConfigError(
            "width of a BiT must be a multiple of 0.5 and at most 64, so that group norm has 32 "
            f"equal groups of channels; received {width:g}."
        )


def _parse(depth: str, width: str) -> dict[str, Any]:
    _check(int(depth), float(width))
    return {"depth": int(depth), "width": float(width)}


ARCHITECTURE = Architecture(
    build,
    r"bit_(?P<depth>\d+)x(?P<width>\d+(\.\d+)?)",
    ("bit_DEPTHxWIDTH",),
    "residual networks with group norm, such as bit_50x1",
    _parse,
    two_parts=True,
    names=tuple(f"bit_{size}" for size in ("50x1", "50x3", "101x1", "101x3", "152x2", "152x4")),
)
