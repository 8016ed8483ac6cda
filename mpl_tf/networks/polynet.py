"""PolyNet (Zhang et al. 2017), by modules and width."""

from collections.abc import Callable

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.inception_layers import NUMBERS, InceptionLayers, check, parse, pool
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.layers import drop_path as dropped

# The branches of an inception unit in each stage: (channels, size of the kernel) of convolutions.
_BRANCHES = (
    (((32, 1), (48, 3), (64, 3)), ((32, 1), (32, 3)), ((32, 1),)),
    (((128, 1), (160, (1, 7)), (192, (7, 1))), ((192, 1),)),
    (((192, 1), (224, (1, 3)), (256, (3, 1))), ((192, 1),)),
)
_LEAST_SCALE = 0.7  # of the last module's units
_Unit = Callable[[keras.KerasTensor], keras.KerasTensor]


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    blocks: tuple[int, int, int] = (10, 20, 10),
    width: float = 1.0,
    dropout: float = 0.2,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    drop_path: float = 0.0,
) -> keras.Model:
    """A network of two parts: a stem, three stages of residual modules of units, and a head.

    A unit F is a block of Inception-ResNet-v2: branches of convolutions, concatenated, and a 1x1
    convolution to the channels of its input without ReLU. Modules are polynomials of units:

        2-way:   relu(x + s (F1(x) + F2(x)))
        poly-3:  relu(x + s (F(x) + F(relu(F(x))) + F(relu(F(relu(F(x)))))))

    The three F of a poly-3 share the convolutions of their branches; batch normalisation and the
    last convolution are each one's. Stage A has 2-way modules; in stages B and C poly-3 and 2-way
    take turns, and a poly-3 begins. s falls from 1 in the first module to 0.7 in the last one, by
    the same step. The stem and what reduces the size between stages are Inception-v4's and
    Inception-ResNet-v2's, with more channels: 384, 1,152 and 2,048 in the stages.

    With 1,000 classes the network has 95,366,600 trainable parameters.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images, at least 75 pixels high and wide.
      seed: of the initial weights, the dropout masks and the units that are dropped.
      blocks: numbers of modules in stages A, B and C, each at least 1.
      width: greater than 0, the factor of all numbers of channels.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      drop_path: in [0, 1), the rate at which a unit of the last module is dropped for an image in
        training; it grows with depth by the same step. The paper's stochastic paths, which it turns
        on only for networks that overfit.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: a number is not allowed, or the images are too small.

    Source: the paper, its prototxt in open-mmlab/polynet, and Cadene's code for PyTorch. Images are
    scaled to [-1, 1] and batch normalisation has epsilon 1e-3, as most networks here.
    """
    check(blocks, width, input_shape)
    seeds = layer_seeds(seed)
    make = InceptionLayers(seeds, synchronized, width)

    def unit(stage: int) -> _Unit:
        branches = [
            [make.convolution(make.channels(filters), size) for filters, size in branch]
            for branch in _BRANCHES[stage]
        ]

        def apply(x: keras.KerasTensor) -> keras.KerasTensor:
            outputs = []
            for branch in branches:
                y = x
                for convolution in branch:
                    y = make.normalize(convolution(y))
                outputs.append(y)
            last = make.convolution(x.shape[-1])
            return make.normalize(last(layers.Concatenate()(outputs)), activate=False)

        return apply

    def module(x: keras.KerasTensor, stage: int, is_poly: bool, depth: float) -> keras.KerasTensor:
        if is_poly:
            once, first = unit(stage), x
            summands = [first := once(layers.ReLU()(first) if i else first) for i in range(3)]
        else:
            summands = [unit(stage)(x) for _ in range(2)]
        if drop_path:
            summands = [dropped(drop_path * depth, next(seeds))(y) for y in summands]
        scaled = layers.Rescaling(1 - (1 - _LEAST_SCALE) * depth)(layers.Add()(summands))
        return layers.ReLU()(layers.Add()([x, scaled]))

    def reduction_a(x: keras.KerasTensor) -> keras.KerasTensor:
        narrow = make.convolve(x, (256, 1), (256, 3))
        return layers.Concatenate()([make.shrink(narrow, 384), make.shrink(x, 384), pool(x)])

    def reduction_b(x: keras.KerasTensor) -> keras.KerasTensor:
        long = make.convolve(x, (256, 1), (256, 3))
        narrow = [long, make.convolve(x, (256, 1)), make.convolve(x, (256, 1))]
        shrunk = [make.shrink(y, n) for y, n in zip(narrow, (256, 256, 384), strict=True)]
        return layers.Concatenate()([*shrunk, pool(x)])

    inputs = keras.Input(input_shape)
    x = make.stem(scaling.to_one(inputs))
    before = 0  # modules
    for stage, modules in enumerate(blocks):
        if stage:
            x = (reduction_a if stage == 1 else reduction_b)(x)
        for index in range(modules):
            is_poly = stage > 0 and index % 2 == 0
            x = module(x, stage, is_poly, depth=before / (sum(blocks) - 1))
            before += 1
    features = layers.GlobalAveragePooling2D()(x)
    backbone = keras.Model(inputs, features, name=parts.BACKBONE)
    made = heads.draw(
        num_classes, features.shape[-1], seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name="polynet")


ARCHITECTURE = Architecture(
    build,
    rf"polynet{NUMBERS}",
    ("polynet", "polynet_A_B_C_WIDTH"),
    "for images of at least 75 pixels, such as polynet_1_2_2_0.25",
    parse,
    two_parts=True,
    names=("polynet",),
)
