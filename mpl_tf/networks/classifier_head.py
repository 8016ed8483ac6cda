"""The classification head of a network made by others: where it begins, and its weights."""

import dataclasses

import keras
import numpy as np
from keras import layers

from mpl_tf.networks import parts
from mpl_tf.options import ConfigError

# What stands between a head and the output, and changes no shape but a singular one's.
_PASSING = (
    layers.Activation,
    layers.Dropout,
    layers.Flatten,
    layers.Identity,
    layers.Rescaling,
    layers.Reshape,
    layers.Softmax,
)
# Activations of layers that make logits or probabilities; others make features.
_OF_HEADS = {"linear", "softmax", "sigmoid"}


@dataclasses.dataclass(frozen=True)
class Cut:
    """A network without its classification head.

    Attributes:
      features: functional model of what the head took, or of the whole network if it has none.
      layer: name of the layer that was the head; "" if there was none.
      kernel: [F, K], of that layer; None if there was none.
      bias: [K], 0 where the layer has none; None if there was none.
    """

    features: keras.Model
    layer: str = ""
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None


def cut(network: keras.Model, name: str) -> Cut:
    """Cuts the classification head off a network.

    The head is the last layer if that is dense, or a 1x1 convolution of an image of one pixel, with
    no activation, a softmax or a sigmoid. Dropout before it goes with it, and so does a factor of
    its outputs, in which kernel and bias are.

    Args:
      network: functional or Sequential, of one output.
      name: of the network, for messages.

    Raises:
      ConfigError: the head is inside of a model that the network ends with.
    """
    whole = keras.Model(network.inputs, network.outputs)
    tensor, factor = network.outputs[0], 1.0
    layer = _maker(tensor)
    while isinstance(layer, layers.Layer) and isinstance(layer, _PASSING) and _is_of_head(layer):
        if isinstance(layer, layers.Rescaling):
            factor *= layer.scale
        tensor = layer.input
        layer = _maker(tensor)
    if isinstance(layer, keras.Model):
        return _of_nested(network, whole, layer, name)
    if layer is None or not (_makes_vectors(network.outputs[0]) and _is_classifier(layer)):
        return Cut(whole)
    tensor = layer.input
    before = _maker(tensor)
    while isinstance(before, layers.Dropout):
        tensor = before.input
        before = _maker(tensor)
    features = keras.Model(network.inputs, tensor)
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    kernel = kernel.reshape(kernel.shape[-2:])
    return Cut(features, layer.name, factor * kernel, factor * _bias(layer, kernel))


def last_layer(network: keras.Model) -> keras.Operation | None:
    """What makes the output of a network, inside of the models that it ends with."""
    layer = _maker(network.outputs[0])
    inside = isinstance(layer, keras.Model) and getattr(layer, "outputs", None)
    return last_layer(layer) if inside else layer


def _of_nested(network: keras.Model, whole: keras.Model, last: keras.Model, name: str) -> Cut:
    """The cut of a network whose last layer is a model."""
    inner = cut(last, name)
    if not parts.has_parts(network):
        if inner.layer:
            raise ConfigError(
                f"{name} ends with a model inside it, {last.name!r}, whose layer {inner.layer!r} "
                "is a classification head. Save the network without that head."
            )
        return Cut(whole)
    backbone = parts.backbone(network)
    features = keras.Model(backbone.inputs, backbone.outputs)
    if sum(bool(each.weights) for each in last.layers) > 1:  # with a hidden layer
        return Cut(features, inner.layer)
    return dataclasses.replace(inner, features=features)


def _maker(tensor: keras.KerasTensor) -> keras.Operation | None:
    """The operation that makes a symbolic tensor; None of an input."""
    history = getattr(tensor, "_keras_history", None)
    operation = None if history is None else history.operation
    return None if isinstance(operation, layers.InputLayer) else operation


def _makes_vectors(tensor: keras.KerasTensor) -> bool:
    return len(tensor.shape) == 2 and tensor.shape[-1] is not None


def _is_of_head(layer: keras.Layer) -> bool:
    if isinstance(layer, layers.Rescaling):
        return isinstance(layer.scale, float) and layer.offset == 0
    activation = getattr(layer, "activation", None)
    return activation is None or activation.__name__ in _OF_HEADS


def _is_classifier(layer: keras.Operation) -> bool:
    if not isinstance(layer, (layers.Dense, layers.Conv2D)) or not _is_of_head(layer):
        return False
    if isinstance(layer, layers.Dense):
        return len(layer.kernel.shape) == 2
    of_one_pixel = tuple(layer.output.shape[1:3]) == (1, 1)
    return of_one_pixel and tuple(layer.kernel_size) == (1, 1) and layer.groups == 1


def _bias(layer: keras.Layer, kernel: np.ndarray) -> np.ndarray:
    if layer.bias is None:
        return np.zeros(kernel.shape[-1], kernel.dtype)
    return keras.ops.convert_to_numpy(layer.bias)
