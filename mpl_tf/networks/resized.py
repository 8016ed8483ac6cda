"""A network for images of another size: the same layers, with the same weights."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.networks.layers import all_layers
from mpl_tf.networks.patches import Tokens
from mpl_tf.networks.remade import first_line
from mpl_tf.networks.stages import is_open
from mpl_tf.options import ConfigError


def resized(network: keras.Model, size: Sequence[int], name: str = "") -> keras.Model:
    """The layers of a network on images of another height and width.

    Both have one set of weights: what is trained in one holds in the other. A network of two parts
    is one of two parts again. Layers are those that were made for the network's own size: a stem,
    paddings and pooling stay as they are.

    Args:
      network: functional or Sequential, images [N, H, W, C] -> outputs.
      size: (height, width).
      name: of what is asked for, for messages.

    Returns:
      keras.Model, images [N, *size, C] -> outputs of the same shape; the network itself if that is
      its size.

    Raises:
      ConfigError: it takes no images, it learns positions of patches, or another layer depends on
        the size of its images.
    """
    shape = network.input_shape[1:]
    name = name or network.name
    if len(shape) != 3:
        raise ConfigError(f"{name} takes no images [N, H, W, C], whose size could be another.")
    if tuple(size) == tuple(shape[:2]):
        return network
    if any(isinstance(layer, Tokens) for layer in all_layers(network)):
        # Also where as many patches fit into the images, with some pixels left over.
        raise _made_for(shape, size, name, "it learns a position for each patch of its images")
    images = keras.Input((*size, shape[-1]), dtype=network.inputs[0].dtype)
    try:
        made = _of(network, images)
        # Shapes that layers announce need not be those of what they compute.
        computed = tf.function(lambda x: made(x, training=False), autograph=False)
        computed.get_concrete_function(tf.TensorSpec(made.input_shape, images.dtype))
    except _Refused as error:
        raise _made_for(shape, size, name, str(error)) from error
    except Exception as error:  # whatever a layer raises that announces another shape
        reason = f"one of its layers gives another shape than it says: {first_line(error)}"
        raise _made_for(shape, size, name, reason) from error
    if made.output_shape != network.output_shape:
        raise ConfigError(
            f"{name} gives outputs of shape {network.output_shape} for images of {_text(shape)} "
            f"pixels, and of {made.output_shape} for {_text(size)}."
        )
    return made


class _Refused(Exception):  # noqa: N818 - what happened, for `resized` alone
    """A layer cannot take what it is given; the message says which, and what."""


def _made_for(shape: Sequence[int], size: Sequence[int], name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"{name} is made for images of {_text(shape)} pixels, and cannot be used on {_text(size)}: "
        f"{reason}. Networks for images of any size take the mean of their last maps over all "
        "places, as resnet_50 does."
    )


def _of(network: keras.Model, inputs: Any) -> keras.Model:
    """A model of a network's layers on symbolic inputs."""
    graph = getattr(network, "_functional", None) or network  # which Sequential has inside
    tensors = iter(keras.tree.flatten(inputs))
    made = keras.models.clone_model(
        graph,
        input_tensors=keras.tree.map_structure(lambda _: next(tensors), graph.input),
        clone_function=lambda layer: layer,
        call_function=_call,
    )
    return made if graph is network else keras.Model(inputs, made.outputs[0], name=network.name)


def _call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer; a model inside the network is made for the size of what it is given."""
    if is_open(layer):
        shapes = [tensor.shape for tensor in keras.tree.flatten(args[0])]
        if shapes != [tensor.shape for tensor in layer.inputs]:
            taken = zip(shapes, layer.inputs, strict=True)
            layer = _of(layer, [keras.Input(s[1:], dtype=t.dtype) for s, t in taken])
    try:
        return layer(*args, **kwargs)
    except _Refused:
        raise
    except Exception as error:  # Keras has no common error for shapes that do not fit
        given = ", ".join(str(list(t.shape[1:])) for t in keras.tree.flatten(args))
        kind = type(layer).__name__
        raise _Refused(f"its layer {layer.name} ({kind}) cannot take {given} an image") from error


def _text(size: Sequence[int]) -> str:
    return "x".join(map(str, size[:2]))
