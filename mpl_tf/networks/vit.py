"""Vision transformers, by layers, width and patch (Dosovitskiy et al. 2021)."""

from typing import Any

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling
from mpl_tf.networks.architecture import MOST_LAYERS, Architecture
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.patches import Tokens, check
from mpl_tf.options import ConfigError

# Layers, width and heads; hidden layers are four times as wide.
SIZES = {
    "ti": (12, 192, 3),
    "s": (12, 384, 6),
    "b": (12, 768, 12),
    "l": (24, 1024, 16),
    "h": (32, 1280, 16),
}
_WIDTH_OF_A_HEAD = 64


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    dropout: float = 0.1,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    *,
    depth: int = 12,
    width: int = 192,
    num_heads: int = 3,
    patch: int = 16,
) -> keras.Model:
    """A network of two parts: a transformer's encoder of the image's patches, and a head.

        x = drop([class token, patches W + b] + positions)
        x = x + attention(norm(x))                                                 depth times
        x = x + drop(drop(gelu(norm(x) V + c)) U + d)
        features = norm(x)[class token]

    with layer norm (epsilon 1e-6) and, in each head of attention, softmax(q k / sqrt(d)) v.

    ViT-H/14 has 632,045,800 parameters with 1,000 classes and images of 224 pixels, 633,470,440
    with 518; B/16 has 86,567,656, Ti/16 5,717,416.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images, sides multiples of `patch`.
      seed: of the initial weights and the dropout masks.
      dropout: in [0, 1), at the places of `drop` above, and before the head's last layer.
      synchronized: whether batch statistics, which only a spinal head has, are taken over all
        replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      depth: layers of attention, at least 1.
      width: length of a token, a multiple of `num_heads`.
      num_heads: of attention.
      patch: height and width of a patch in pixels.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: there is no such network, or patches do not divide the images.

    Source: github.com/google-research/vision_transformer: positions normal with deviation 0.02,
    other kernels uniform (Glorot) but the patches', normal with variance 1 / fan_in.
    """
    _check(depth, width, num_heads, patch)
    check(input_shape, patch, "a ViT of this size")
    seeds = layer_seeds(seed)

    def norm(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.LayerNormalization(epsilon=1e-6)(x)

    def drop(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.Dropout(dropout, seed=next(seeds))(x)

    def dense(x: keras.KerasTensor, units: int) -> keras.KerasTensor:
        initializer = keras.initializers.GlorotUniform(seed=next(seeds))
        return layers.Dense(units, kernel_initializer=initializer)(x)

    def attention(x: keras.KerasTensor) -> keras.KerasTensor:
        # Of one dense layer each: keras.layers.MultiHeadAttention would draw all from one seed.
        tokens, size = x.shape[1], width // num_heads
        query, key, value = (
            layers.Reshape((tokens, num_heads, size))(dense(x, width)) for _ in range(3)
        )
        attended = keras.ops.dot_product_attention(query, key, value)
        return dense(layers.Reshape((tokens, width))(attended), width)

    x = inputs = keras.Input(input_shape)
    x = layers.Conv2D(
        *(width, patch, patch),
        kernel_initializer=keras.initializers.LecunNormal(seed=next(seeds)),
    )(scaling.to_one(x))
    x = layers.Reshape((x.shape[1] * x.shape[2], width))(x)
    x = drop(Tokens(seed=next(seeds))(x))
    for _ in range(depth):
        x = layers.Add()([x, attention(norm(x))])
        y = layers.Activation("gelu")(dense(norm(x), 4 * width))
        x = layers.Add()([x, drop(dense(drop(y), width))])
    features = norm(x)[:, 0]
    backbone = keras.Model(inputs, features, name=parts.BACKBONE)
    made = heads.draw(num_classes, width, seeds, dropout, head, head_temperature, synchronized)
    return parts.join(backbone, made, name="vit")


def _check(depth: int, width: int, num_heads: int, patch: int) -> None:
    if min(depth, width, num_heads, patch) < 1 or width % num_heads or depth > MOST_LAYERS:
        raise ConfigError(
            f"a ViT has at least one layer and at most {MOST_LAYERS:,}, patches of at least one "
            "pixel, and a width that its "
            f"heads divide; received depth={depth}, width={width}, num_heads={num_heads}, "
            f"patch={patch}."
        )


def _parse(patch: str, size: str = "", depth: str = "", width: str = "") -> dict[str, Any]:
    if size:
        of_depth, of_width, num_heads = SIZES[size]
    else:
        of_depth, of_width = int(depth), int(width)
        num_heads = max(of_width // _WIDTH_OF_A_HEAD, 1)
    _check(of_depth, of_width, num_heads, int(patch))
    return {"depth": of_depth, "width": of_width, "num_heads": num_heads, "patch": int(patch)}


ARCHITECTURE = Architecture(
    build,
    rf"vit_((?P<size>{'|'.join(SIZES)})|(?P<depth>\d+)_(?P<width>\d+)_)(?P<patch>\d+)",
    ("vit_SIZEPATCH", "vit_LAYERS_WIDTH_PATCH"),
    "vision transformers, such as vit_b16",
    _parse,
    two_parts=True,
    names=("vit_ti16", "vit_s16", "vit_b32", "vit_b16", "vit_l16", "vit_h14"),
)
