"""EfficientNet, by its coefficients of width and depth (Tan and Le 2019)."""

import math
from typing import Any

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.excitation import excite
from mpl_tf.networks.initializers import he_normal_out, layer_seeds
from mpl_tf.networks.layers import drop_path
from mpl_tf.options import ConfigError

# Coefficients of width and depth, side of the images in pixels, dropout.
MEMBERS = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
    "b8": (2.2, 3.6, 672, 0.5),
    "l2": (4.3, 5.3, 800, 0.5),
    "b6_wide": (5.0, 2.6, 512, 0.5),
}
# Of a stage: blocks, side of the kernel, stride, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _TOP = 32, 1280  # channels
_MOST = 100.0  # of a coefficient


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    dropout: float = 0.2,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    *,
    width: float = 1.0,
    depth: float = 1.0,
    stochastic_depth: float = 0.2,
) -> keras.Model:
    """A network of two parts: inverted residual blocks with excitation, and a head.

    A block expands channels with a 1x1 convolution, convolves each with a k x k kernel, multiplies
    each by squeeze and excitation, and narrows them with a 1x1 convolution. Where size and channels
    stay, x is added; then the block is left out of a training pass, for each image by itself, with
    a probability that grows linearly from 0 in the first block.

        x + block(x) * kept / (1 - rate),     rate = stochastic_depth * index / blocks

    A stage has ceil(n * depth) blocks. Channels are c * width, rounded to a multiple of 8 that is
    at least nine tenths of it.

    B0 has 5,288,548 parameters with 1,000 classes, B7 66,347,960, B8 87,413,142, L2 480,309,308.
    B6-Wide, of width 5.0 and B6's depth 2.6, has 316,649,180; Meta Pseudo Labels says 390 M and
    that width, and no public code has them both.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images.
      seed: of the initial weights, the dropout masks and the blocks that are left out.
      dropout: in [0, 1), dropout before the head's last layer: 0.2 in B0 to 0.5 in B6, B7 and L2.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      width: greater than 0, the coefficient of channels.
      depth: greater than 0, the coefficient of blocks.
      stochastic_depth: in [0, 1), see above.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: a coefficient is out of range.

    Source: tensorflow/tpu, efficientnet_builder.py: batch norm with decay 0.99 and epsilon 1e-3,
    kernels normal with variance 2 / fan_out.
    """
    _check(width, depth)
    seeds = layer_seeds(seed)

    def norm(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, synchronized=synchronized)(x)

    def conv(
        x: keras.KerasTensor, channels: int, size: int = 1, stride: int = 1
    ) -> keras.KerasTensor:
        initializer = he_normal_out(next(seeds))
        return norm(
            layers.Conv2D(
                *(channels, size, stride, "same"), use_bias=False, kernel_initializer=initializer
            )(x)
        )

    def depthwise(x: keras.KerasTensor, size: int, stride: int) -> keras.KerasTensor:
        initializer = he_normal_out(next(seeds))
        return norm(
            layers.DepthwiseConv2D(
                *(size, stride, "same"), use_bias=False, depthwise_initializer=initializer
            )(x)
        )

    def swish(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.Activation("swish")(x)

    def block(
        x: keras.KerasTensor, size: int, stride: int, expansion: int, channels: int, rate: float
    ) -> keras.KerasTensor:
        taken = x.shape[-1]
        y = swish(conv(x, expansion * taken)) if expansion > 1 else x
        y = swish(depthwise(y, size, stride))
        y = excite(y, max(taken // 4, 1), "swish", he_normal_out, seeds)
        y = conv(y, channels)
        if stride > 1 or channels != taken:
            return y
        if rate:
            y = drop_path(rate, next(seeds))(y)
        return layers.Add()([x, y])

    x = inputs = keras.Input(input_shape)
    x = swish(conv(scaling.of_imagenet(x), rounded(_STEM, width), 3, 2))
    repeats = [math.ceil(stage[0] * depth) for stage in _STAGES]
    index = 0
    for (_, size, stride, expansion, channels), blocks in zip(_STAGES, repeats, strict=True):
        for place in range(blocks):
            rate = stochastic_depth * index / sum(repeats)
            x = block(x, size, 1 if place else stride, expansion, rounded(channels, width), rate)
            index += 1
    x = swish(conv(x, rounded(_TOP, width)))
    x = layers.GlobalAveragePooling2D()(x)
    backbone = keras.Model(inputs, x, name=parts.BACKBONE)
    made = heads.draw(
        num_classes, x.shape[-1], seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name="efficientnet")


def rounded(channels: int, width: float) -> int:
    """`channels * width` as a multiple of 8 that is at least nine tenths of it, and at least 8."""
    scaled = channels * width
    nearest = max(8, int(scaled + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * scaled else nearest


def _check(width: float, depth: float) -> None:
    if not (0 < width <= _MOST and 0 < depth <= _MOST):
        raise ConfigError(
            "the coefficients of an EfficientNet, width and depth, are greater than 0 and at most "
            f"{_MOST:g}; received width={width:g} and depth={depth:g}."
        )


def _parse(member: str = "", width: str = "1", depth: str = "1") -> dict[str, Any]:
    if not member:
        _check(float(width), float(depth))
        return {"width": float(width), "depth": float(depth)}
    if member not in MEMBERS:
        raise ConfigError(
            f"efficientnet_NAME has one of the names {', '.join(MEMBERS)}, or the coefficients of "
            f"width and depth, as in efficientnet_1.2_1.4; received efficientnet_{member}."
        )
    of_width, of_depth, _, dropout = MEMBERS[member]
    return {"width": of_width, "depth": of_depth, "dropout": dropout}


ARCHITECTURE = Architecture(
    build,
    r"efficientnet_((?P<member>[a-z]\w*)|(?P<width>\d+(\.\d+)?)_(?P<depth>\d+(\.\d+)?))",
    ("efficientnet_NAME", "efficientnet_WIDTH_DEPTH"),
    "such as efficientnet_b0, efficientnet_l2, efficientnet_0.25_0.3",
    _parse,
    two_parts=True,
    names=tuple(f"efficientnet_{member}" for member in MEMBERS),
)
