"""The networks of keras.applications, with seeded weights and their own input scaling."""

import contextlib
import os
import random
from collections.abc import Iterator

import keras
import numpy as np
from keras import layers

from mpl_tf.networks import heads, learned, parts, published, remade, scaling, stems
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.options import ConfigError, hint

# What the family's module in keras.applications does to images with values 0 to 255, by Keras's
# names: caffe: BGR minus mean; tf: [-1, 1]; torch: (x / 255 - mean) / std; inside: the network
# does it itself.
_SCALING = {
    "convnext": "inside",
    "densenet": "torch",
    "efficientnet": "inside",
    "efficientnet_v2": "inside",
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "mobilenet_v3": "inside",
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}
# Least height and width; of the families that are not here, 32.
_LEAST_SIZE = {"inception_resnet_v2": 75, "inception_v3": 75, "xception": 71}


def names() -> list[str]:
    """The networks of keras.applications that `build` makes, in alphabetical order."""
    functions = vars(keras.applications).items()
    return sorted(
        n for n, f in functions if n[0].isupper() and callable(f) and _family(n) in _SCALING
    )


def _family(name: str) -> str:
    return getattr(keras.applications, name).__module__.rsplit(".", 1)[-1]


def canonical(name: str) -> str:
    """The name of a network as keras.applications spells it.

    Args:
      name: in upper or lower case.

    Returns:
      One of `names()`.

    Raises:
      ConfigError: there is no such network; the message lists what there is.
    """
    by_lower = {n.lower(): n for n in names()}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    raise ConfigError(
        f"keras:NAME must name one of {', '.join(by_lower.values())}; received {name!r}."
        f"{hint(name, by_lower.values())}"
    )


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    dropout: float = 0.2,
    synchronized: bool = False,
    weights: str = "",
    head: str = "linear",
    head_temperature: float = 1.0,
    *,
    name: str,
) -> keras.Model:
    """A network of two parts: one of keras.applications with global average pooling, and a head.

    Every weight is drawn by the initializer that Keras has for it, from `seed`; so are the masks
    of dropout inside the network. Global random states are left as they are.

    Images are scaled as the family's published weights expect it. EfficientNetB0 to B7 normalise
    with ImageNet's mean and standard deviation unless a weights file brings other statistics.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images: 3 channels, or 1, which is repeated.
        Height and width are at least 32; 71 for Xception, 75 for InceptionV3, InceptionResNetV2.
      seed: of the initial weights and the dropout masks.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics are taken over all replicas.
      weights: of the backbone. "imagenet": those that Keras publishes and downloads. Or a file with
        weights of the network without its head, on 3 channels: .h5 as keras.applications publishes
        it ("notop"), .weights.h5 or .keras. "" keeps random ones.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      name: one of `names()`, in upper or lower case.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: the name is unknown, the images are too small or have another number of
        channels, the weights are not there, do not fit or are not finite.
    """
    name = canonical(name)
    _check_input_shape(name, input_shape)
    if weights not in ("", published.IMAGENET):
        weights = os.path.expanduser(weights)
        _check_file(weights)

    inputs = keras.Input(input_shape)
    x = inputs if input_shape[-1] == 3 else layers.Concatenate()([inputs] * 3)

    def make(weights: str | None) -> keras.Model:
        return getattr(keras.applications, name)(
            include_top=False,
            weights=weights,
            input_tensor=_scale(x, _SCALING[_family(name)]),
            input_shape=(*input_shape[:2], 3),
            pooling="avg",
        )

    with _unchanged_random_state():  # Keras seeds what has no seed from Python's generator
        if weights == published.IMAGENET:
            original = published.load(lambda: make(weights), name)
        else:
            original = make(None)
            if weights:
                _load(original, weights, name)
        outputs = original.outputs[0]
        if weights:
            outputs = heads.unit_length()(outputs)
        unseeded = keras.Model(inputs, outputs, name=parts.BACKBONE)

    seeds = layer_seeds(seed)

    remake_other = remade.remaker(seeds, synchronized)

    def remake(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, layers.Normalization) and layer.weights:
            return _constant_normalization(layer, loaded=bool(weights))
        return remake_other(layer)

    backbone = keras.models.clone_model(unseeded, clone_function=remake)
    if weights:
        for layer in original.layers:
            if layer.weights and not isinstance(layer, layers.Normalization):
                backbone.get_layer(layer.name).set_weights(layer.get_weights())
    (num_features,) = backbone.output_shape[1:]
    made = heads.draw(
        num_classes, num_features, seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name=name.lower())


def fetch(side: int, *, name: str) -> None:
    """Has Keras download the weights that it publishes for a network, unless they are there.

    Args:
      side: height and width of the images, for which some networks have weights of their own; 0 if
        they are not known yet.
      name: one of `names()`, in upper or lower case.

    Raises:
      ConfigError: they are not there, and cannot be had.
    """
    name, shape = canonical(name), (side or 224, side or 224, 3)
    _check_input_shape(name, shape)
    builder = getattr(keras.applications, name)
    with _unchanged_random_state():
        published.load(
            lambda: builder(include_top=False, weights=published.IMAGENET, input_shape=shape), name
        )


def _check_input_shape(name: str, input_shape: tuple[int, ...]) -> None:
    stems.check_sides(f"keras:{name}", _LEAST_SIZE.get(_family(name), 32), input_shape)
    channels = input_shape[-1]
    if channels not in (1, 3):
        raise ConfigError(f"keras:{name} needs images of 1 or 3 channels; received {channels}.")


def _check_file(path: str) -> None:
    if not path.endswith((".h5", ".keras")):
        raise ConfigError(
            f"network_weights must be {published.IMAGENET}, or a file that ends in .h5, "
            f".weights.h5 or .keras; received {path}."
        )
    if not os.path.isfile(path):
        raise ConfigError(f"network_weights {path} is no file.")


def _load(backbone: keras.Model, path: str, name: str) -> None:
    try:
        backbone.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras have no common error for a wrong file
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"network_weights must hold the weights of keras:{name} without its head "
            f"(include_top=False, 3 channels); {path} does not fit: {reason}"
        ) from error
    learned.check(backbone, f"network_weights={path}")


def _scale(x: keras.KerasTensor, form: str) -> keras.KerasTensor:
    """What `preprocess_input` does, as layers that can be cloned and exported."""
    if form == "tf":
        return scaling.to_one(x)
    if form == "torch":
        return scaling.of_imagenet(x)
    if form == "caffe":
        return layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68])(keras.ops.flip(x, -1))
    return x


def _constant_normalization(layer: keras.Layer, loaded: bool) -> keras.Layer:
    """`layer` with constants in place of weights, which `set_weights` would not bring into use."""
    if loaded:
        mean, variance, _ = layer.get_weights()
        # The published files hold the standard deviation where the layer takes the variance.
        if np.allclose(variance, scaling.IMAGENET_STD, atol=1e-4):
            variance = variance**2
    else:
        mean, variance = scaling.IMAGENET_MEAN, scaling.IMAGENET_STD**2
    return layers.Normalization(
        axis=layer.axis, mean=mean.tolist(), variance=variance.tolist(), name=layer.name
    )


@contextlib.contextmanager
def _unchanged_random_state() -> Iterator[None]:
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


ARCHITECTURE = Architecture(
    build,
    r"(?i:keras):(?P<name>.*)",
    ("keras:NAME",),
    "a network of keras.applications in upper or lower case, such as keras:ResNet50",
    lambda name: {"name": canonical(name)},
    two_parts=True,
    fetch=fetch,
)
