"""Backbones of KerasHub by preset, with their weights and their preprocessing."""

import os
from types import ModuleType
from typing import Any

import keras
from keras import layers

from mpl_tf.networks import heads, learned, parts, patches, published, remade
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.options import ConfigError

# Families whose features are those of the first token, the class token.
_CLASS_TOKEN = ("ViTBackbone", "DINOV2Backbone")
# Families that interpolate their position embeddings for images of other sizes.
_ANY_SIZE = ("DINOV2Backbone",)


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    dropout: float = 0.2,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    *,
    preset: str,
) -> keras.Model:
    """A network of two parts whose backbone is a preset of KerasHub, with its weights.

    Images are scaled as the preset's image converter does. Those of a backbone for one size, such
    as ViT, are resized to it; DINOv2 interpolates its position embeddings. Features are the mean
    over the places of a map, or the class token.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images; of 1 channel they are repeated.
      seed: of the head's initial weights and the dropout masks.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      preset: its name, an address (hf://, kaggle://), or a folder that `save_to_preset` has made.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: KerasHub is not installed, there is no such preset, it is none of images, its
        patches do not divide the images, or its weights are quantized or not finite.
    """
    library, name = _library(), f"network=hub:{preset}"
    shape = (*input_shape[:2], 3)
    original = _load(library.models.Backbone, preset, name)
    if type(original).__name__ in _ANY_SIZE:
        patches.check(shape, original.patch_size, name)
        original = _load(library.models.Backbone, preset, name, image_shape=shape)
    learned.check(original, name)
    converter = _load(library.layers.ImageConverter, preset, name)
    features = _features(original, converter, shape, name)
    seeds = layer_seeds(seed)
    last = heads.unit_length()
    backbone = remade.backbone(features, input_shape, seeds, synchronized, name, last)
    num_features = backbone.output_shape[-1]
    made = heads.draw(
        num_classes, num_features, seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name="hub")


def _library() -> ModuleType:
    try:
        import keras_hub  # it brings much, which nothing else here needs
    except ImportError as error:
        raise ConfigError(
            "network=hub:PRESET needs KerasHub: pip install -e '.[hub]'. Python says: "
            f"{remade.first_line(error)}"
        ) from error
    return keras_hub


def _load(part: Any, preset: str, name: str, **arguments: Any) -> Any:
    try:
        with published.impatient():
            return part.from_preset(preset, **arguments)
    except Exception as error:  # of KerasHub, kagglehub, huggingface_hub and what they use
        raise ConfigError(
            f"{name} cannot be loaded as {part.__name__}: {remade.first_line(error)} A preset is a "
            "name of KerasHub, hf://USER/NAME, kaggle://..., or a folder of save_to_preset, which "
            "needs no network."
        ) from error


def _features(
    original: keras.Model, converter: Any, shape: tuple[int, ...], name: str
) -> keras.Model:
    """What is in a preset as one functional model, images -> features."""
    x = inputs = keras.Input(shape)
    (taken,) = keras.tree.flatten(original.input)
    size = tuple(taken.shape[1:3])
    if None not in size and size != shape[:2]:
        x = layers.Resizing(*size, interpolation=converter.interpolation)(x)
    if converter.scale is not None or converter.offset is not None:
        scale = 1.0 if converter.scale is None else converter.scale
        x = layers.Rescaling(scale, converter.offset or 0.0)(x)
    outputs = original(keras.tree.map_structure(lambda _: x, original.input))
    if type(original).__name__ in _CLASS_TOKEN:
        outputs = outputs[:, 0]
    elif not hasattr(outputs, "shape") or len(outputs.shape) not in (2, 4):
        raise ConfigError(
            f"{name} is a {type(original).__name__}, which does not give features of images that "
            f"are known here. Take a convolutional backbone, or one of {', '.join(_CLASS_TOKEN)}."
        )
    return keras.Model(inputs, outputs)


def _parse(preset: str) -> dict[str, str]:
    path = os.path.expanduser(preset)
    if not preset:
        raise ConfigError("network=hub:PRESET needs a name, hf://, kaggle:// or a folder.")
    _library()
    if os.sep in path and "://" not in path and not os.path.isdir(path):
        raise ConfigError(f"network=hub:{preset} is no folder.")
    return {"preset": path}


ARCHITECTURE = Architecture(
    build,
    r"(?i:hub):(?P<preset>.*)",
    ("hub:PRESET",),
    "a backbone of KerasHub by name, hf://, kaggle:// or folder, with its weights",
    _parse,
    two_parts=True,
    pretrained=True,
)
