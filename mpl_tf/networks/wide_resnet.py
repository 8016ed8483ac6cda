"""Wide residual networks (Zagoruyko and Komodakis 2016), by depth and width."""

import keras
from keras import layers

from mpl_tf.networks.architecture import MOST_LAYERS, Architecture
from mpl_tf.networks.initializers import he_normal_out, layer_seeds
from mpl_tf.networks.precision import full
from mpl_tf.options import ConfigError


def check(depth: int, width: int) -> None:
    """Raises ConfigError unless `depth` is 6n + 4, 10 to 1,000, and `width` at least 1."""
    allowed = range(10, MOST_LAYERS + 1, 6)
    if depth not in allowed:
        least = min(abs(depth - d) for d in allowed)
        nearest = " or ".join(str(d) for d in allowed if abs(depth - d) == least)
        raise ConfigError(
            "depth of a Wide-ResNet must be 6n + 4 with n at least 1 (10, 16, 22, 28, ...) and at "
            f"most {MOST_LAYERS:,}; received {depth}, the nearest is {nearest}."
        )
    if width < 1:
        raise ConfigError(f"width of a Wide-ResNet must be at least 1; received {width}.")


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    depth: int = 28,
    width: int = 2,
    dropout: float = 0.2,
    synchronized: bool = False,
) -> keras.Model:
    """Pre-activation residual blocks in three groups; the second and third halve the image.

    A block is `shortcut(x) + conv(act(bn(conv(act(bn(x))))))` with 3x3 convolutions and leaky ReLU
    of slope 0.2. Where the number of channels or the size changes, `shortcut` is a 1x1 convolution
    of `act(bn(x))`, the very tensor that the block's first convolution takes; elsewhere it is x.

    Depth 28 and width 2 on colour images with 10 classes have 1,467,610 trainable parameters. The
    paper's 1.45 M is what remains of them without the shortcuts' convolutions (10,752) and batch
    normalisation (3,616), with or without the head (1,290); what it counted, it does not say.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images.
      seed: of the initial weights and the dropout masks.
      depth: 6n + 4 with n at least 1.
      width: at least 1; the groups have 16, 32 and 64 times as many channels.
      dropout: in [0, 1), dropout before the head.
      synchronized: whether batch statistics are taken over all replicas.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K].

    Raises:
      ConfigError: `depth` or `width` is not allowed.

    Source: Meta Pseudo Labels, the network of CIFAR-10 and SVHN (28-2): batch norm with decay 0.99
    and epsilon 1e-3, kernels normal with variance 2 / fan_out.
    """
    check(depth, width)
    seeds = layer_seeds(seed)

    def conv(
        x: keras.KerasTensor, channels: int, size: int = 3, stride: int = 1
    ) -> keras.KerasTensor:
        return layers.Conv2D(
            channels,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer=he_normal_out(next(seeds)),
        )(x)

    def activate(x: keras.KerasTensor) -> keras.KerasTensor:
        norm = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, synchronized=synchronized)
        return layers.LeakyReLU(negative_slope=0.2)(norm(x))

    def block(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
        activated = activate(x)
        changes = stride > 1 or x.shape[-1] != channels
        shortcut = conv(activated, channels, 1, stride) if changes else x
        y = conv(activated, channels, 3, stride)
        return layers.Add()([shortcut, conv(activate(y), channels)])

    x = inputs = keras.Input(input_shape)
    x = conv(layers.Rescaling(1 / 127.5, offset=-1)(x), 16)
    for group in range(3):
        for index in range((depth - 4) // 6):
            stride = 2 if group and index == 0 else 1
            x = block(x, 16 * 2**group * width, stride)
    x = layers.GlobalAveragePooling2D()(activate(x))
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    head = keras.initializers.GlorotUniform(seed=next(seeds))
    logits = layers.Dense(num_classes, kernel_initializer=head, dtype=full())(x)
    return keras.Model(inputs, logits, name=f"wide_resnet_{depth}_{width}")


def _parse(depth: str, width: str) -> dict[str, int]:
    check(int(depth), int(width))
    return {"depth": int(depth), "width": int(width)}


ARCHITECTURE = Architecture(
    build,
    r"wide_resnet(_(?P<depth>\d+)_(?P<width>\d+))?",
    ("wide_resnet", "wide_resnet_DEPTH_WIDTH"),
    "Wide-ResNet, such as wide_resnet_28_10; wide_resnet is 28_2",
    _parse,
)
