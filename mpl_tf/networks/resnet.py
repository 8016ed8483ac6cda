"""Residual networks: ResNet, ResNeXt and SENet, by depth, groups, width and excitation."""

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling, stems
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.convolutions import convolution
from mpl_tf.networks.drop_block import DropBlock
from mpl_tf.networks.excitation import excite
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.pooling import OverlappingMaxPooling
from mpl_tf.networks.resnet_sizes import (
    BOTTLENECKS,
    NAMES,
    PATTERN,
    REPEATS,
    base_channels,
    check,
    inner_channels,
    parse,
)


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
    depth: int = 50,
    width: float = 1.0,
    groups: int = 1,
    group_width: int = 64,
    excitation: bool = False,
    variant: str = "v1.5",
    drop_block: float = 0.0,
    drop_block_size: int = 7,
    drop_block_steps: int = 0,
) -> keras.Model:
    """A network of two parts: four stages of residual blocks with global pooling, and a head.

    A block is `relu(shortcut(x) + f(x))`. From 50 layers on, and with 14 and 26, f is

        norm(1x1(relu(norm(3x3(relu(norm(1x1(x))))))))     channels i, i, 4 c

    with c = 64, 128, 256, 512 in the four stages and i = floor(c * group_width / 64) * groups; with
    10, 18 and 34 it is `norm(3x3(relu(norm(3x3(x)))))`, channels c, c. The first block of stages 2
    to 4 halves the image. Where channels or size change, `shortcut` is `norm(1x1(x))`, else x.
    Excitation stands before the addition and has a sixteenth as many hidden units as channels. In
    stages 3 and 4 `drop_block` stands behind each norm, or its ReLU.

    ResNet-50 has 25,557,032 parameters with 1,000 classes, ResNet-152 60,192,808, ResNeXt-101 64x4d
    83,455,272 and 32x48d 828,411,176, and SENet-154 115,088,984.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images.
      seed: of the initial weights and the dropout masks.
      dropout: in [0, 1), dropout before the head's last layer; SENet-154 has 0.2.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      stem: "large": a 7x7 convolution of stride 2, and pooling; "small": a 3x3 convolution; "auto":
        small for images of less than 64 pixels.
      depth: one of REPEATS.
      width: greater than 0; all channels are multiplied by it.
      groups: of the 3x3 convolutions.
      group_width: channels of a group in the first stage.
      excitation: whether blocks have squeeze and excitation.
      variant: "v1.5" has the stride of a block in its 3x3 convolution, "v1" in its first 1x1.
        "senet" is v1.5 with i / 2 channels in the first 1x1, shortcuts of 3x3 where the size
        changes, and a large stem of three 3x3 convolutions.
      drop_block: in [0, 1), the `rate` of `drop_block.DropBlock` in stage 4; a quarter of it in
        stage 3, as in the authors' code. 0 has no such layers.
      drop_block_size, drop_block_steps: its `size` and `steps`.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: there are no such networks.

    Source: He et al. 2016 (v1), torchvision and tensorflow/tpu (v1.5, batch norm with decay 0.9 and
    epsilon 1e-5), Xie et al. 2017, Mahajan et al. 2018, Hu et al. 2018 with the code of Cadene.
    """
    check(depth, width, groups, group_width, variant)
    is_small = stems.is_small(stem, input_shape)
    is_senet = variant == "senet"
    base = base_channels(width)
    seeds = layer_seeds(seed)
    mask_seeds = layer_seeds(seed + 2**31)  # so that initial weights are those without masks

    def conv(
        x: keras.KerasTensor, channels: int, size: int = 1, stride: int = 1, groups: int = 1
    ) -> keras.KerasTensor:
        x = convolution(x, channels, size, next(seeds), stride=stride, groups=groups)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=synchronized)(x)

    def drop(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
        rate = {4 * base: drop_block / 4, 8 * base: drop_block}.get(channels, 0.0)
        if not rate:
            return x
        return DropBlock(rate, drop_block_size, drop_block_steps, next(mask_seeds))(x)

    def bottleneck(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
        inner = inner_channels(channels, groups, group_width)
        first, second = (stride, 1) if variant == "v1" else (1, stride)
        y = layers.ReLU()(conv(x, inner // 2 if is_senet else inner, 1, first))
        y = layers.ReLU()(conv(drop(y, channels), inner, 3, second, groups))
        return drop(conv(drop(y, channels), 4 * channels), channels)

    def pair(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
        y = drop(layers.ReLU()(conv(x, channels, 3, stride)), channels)
        return drop(conv(y, channels, 3), channels)

    def block(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
        y = (bottleneck if depth in BOTTLENECKS else pair)(x, channels, stride)
        if excitation:
            units = max(y.shape[-1] // 16, 1)
            y = excite(y, units, "relu", keras.initializers.GlorotUniform, seeds)
        if stride > 1 or x.shape[-1] != y.shape[-1]:
            x = conv(x, y.shape[-1], 3 if is_senet and stride > 1 else 1, stride)
            x = drop(x, channels)
        return layers.ReLU()(layers.Add()([x, y]))

    x = inputs = keras.Input(input_shape)
    x = scaling.of_imagenet(x)
    if is_small:
        x = layers.ReLU()(conv(x, base, 3))
    elif is_senet:
        for channels, stride in ((base, 2), (base, 1), (2 * base, 1)):
            x = layers.ReLU()(conv(x, channels, 3, stride))
    else:
        x = layers.ReLU()(conv(x, base, 7, 2))
    if not is_small:
        x = OverlappingMaxPooling()(x)
    for stage, repeats in enumerate(REPEATS[depth]):
        for index in range(repeats):
            x = block(x, base * 2**stage, 2 if stage and index == 0 else 1)
    backbone = keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name=parts.BACKBONE)
    made = heads.draw(
        num_classes, x.shape[-1], seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name="resnet")


ARCHITECTURE = Architecture(
    build,
    PATTERN,
    ("resnet_DEPTH", "resnext_DEPTH_GROUPSxWIDTHd", "senet_154"),
    "residual networks, such as resnet_50, resnet_14x0.25 or resnext_101_64x4d",
    parse,
    two_parts=True,
    takes_stem=True,
    takes_drop_block=True,
    names=NAMES,
)
