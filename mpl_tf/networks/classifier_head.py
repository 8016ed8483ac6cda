"""The classification head of a network made by others: where it begins, and its weights."""

import dataclasses
from typing import Any

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
# As operations of keras.ops, which are no layers.
_PASSING_OPERATIONS = ("Cast", "LogSoftmax", "Reshape", "Sigmoid", "Softmax", "Squeeze")
# Activations of layers that make logits or probabilities; others make features.
_OF_HEADS = {"linear", "log_softmax", "sigmoid", "softmax"}


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
    no activation, a softmax or a sigmoid, as a layer or by keras.ops; it may lie in a model that
    the network ends with. Dropout before it goes with it, and so does a factor of its outputs, in
    which kernel and bias are.

    Args:
      network: functional or Sequential, of one output.
      name: of the network, for messages.

    Raises:
      ConfigError: the network ends with a softmax of something else.
    """
    whole = Cut(keras.Model(network.inputs, network.outputs))
    output = network.outputs[0]
    node, factor, is_softmax = _node(output), 1.0, False
    while node is not None and (passed := _factor(node)) is not None:
        factor *= passed
        is_softmax |= _is_softmax(node.operation)
        node = _node(node.input_tensors[0])
    if node is None or not _makes_vectors(output):
        return whole
    layer = node.operation
    if _is_chain(layer) and (inner := cut(layer, name)).layer:
        return _of_nested(network, inner, node, factor)
    if not _is_classifier(layer):
        if is_softmax:
            raise ConfigError(
                f"{name} ends with a softmax of what {layer.name!r}, a {type(layer).__name__}, "
                "makes, and only a dense layer, or a 1x1 convolution of one pixel, is known here "
                "as a head. Save the model without its head, up to its features."
            )
        return whole
    features = keras.Model(network.inputs, _before_dropout(node.input_tensors[0]))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    kernel = kernel.reshape(kernel.shape[-2:])
    return Cut(features, layer.name, factor * kernel, factor * _bias(layer, kernel))


def last_layer(network: keras.Model) -> keras.Operation | None:
    """What makes the output of a network, inside of the models that it ends with."""
    node = _node(network.outputs[0])
    if node is None:
        return None
    return last_layer(node.operation) if _is_chain(node.operation) else node.operation


def _of_nested(network: keras.Model, inner: Cut, node: Any, factor: float) -> Cut:
    """The cut of a network whose last layer is a model.

    Args:
      network: the network.
      inner: the cut of that model.
      node: its call.
      factor: of its outputs.
    """
    if not parts.has_parts(network):
        tensor = node.input_tensors[0]
        if inner.features.outputs[0] is inner.features.inputs[0]:  # the model is the head
            tensor = _before_dropout(tensor)
        else:
            tensor = inner.features(tensor)
        features = keras.Model(network.inputs, tensor)
        if inner.kernel is None or inner.bias is None:
            return Cut(features, inner.layer)
        return Cut(features, inner.layer, factor * inner.kernel, factor * inner.bias)
    backbone = parts.backbone(network)
    features = keras.Model(backbone.inputs, backbone.outputs)
    if sum(bool(each.weights) for each in node.operation.layers) > 1:  # with a hidden layer
        return Cut(features, inner.layer)
    return dataclasses.replace(inner, features=features)


def _node(tensor: keras.KerasTensor) -> Any:
    """The call of an operation that makes a symbolic tensor; None of an input."""
    history = getattr(tensor, "_keras_history", None)
    if history is None or isinstance(history.operation, layers.InputLayer):
        return None
    return history.operation._inbound_nodes[history.node_index]


def _before_dropout(tensor: keras.KerasTensor) -> keras.KerasTensor:
    node = _node(tensor)
    while node is not None and isinstance(node.operation, layers.Dropout):
        tensor = node.input_tensors[0]
        node = _node(tensor)
    return tensor


def _factor(node: Any) -> float | None:
    """What a call multiplies its input by, softmax and shapes aside; None if it does more."""
    operation = node.operation
    if isinstance(operation, layers.Rescaling):
        return operation.scale if _is_of_head(operation) else None
    if isinstance(operation, layers.Layer):
        return 1.0 if isinstance(operation, _PASSING) and _is_of_head(operation) else None
    if type(operation).__name__ in _PASSING_OPERATIONS:
        return 1.0
    name, arguments = type(operation).__name__, node.arguments.args
    numbers = [each for each in arguments if isinstance(each, int | float)]
    if len(numbers) == 1 and name == "Multiply":
        return numbers[0]
    if len(numbers) == 1 and name in ("Divide", "TrueDivide") and arguments[1] is numbers[0]:
        return 1 / numbers[0]
    return None


def _is_softmax(operation: keras.Operation) -> bool:
    activation = getattr(operation, "activation", None)
    return "Softmax" in type(operation).__name__ or "softmax" in getattr(activation, "__name__", "")


def _is_chain(operation: keras.Operation) -> bool:
    """Whether an operation is a model of layers that are known, of one input and one output."""
    return isinstance(operation, keras.Model) and all(
        len(getattr(operation, end, None) or ()) == 1 for end in ("inputs", "outputs")
    )


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
