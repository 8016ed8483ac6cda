"""What a network must be to serve as teacher or student."""

import keras

from mpl_tf.options import ConfigError

# Names of functions, and of the operations and layers that apply them, whose values are
# probabilities.
_PROBABILITIES = {"softmax", "sparsemax", "sigmoid", "hardsigmoid", "sparsesigmoid"}
_PASSING = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Reshape,
)


def check_logits(network: keras.Model, role: str) -> None:
    """Refuses a network that does not give logits, as far as its structure shows.

    Looked at are the output's rank and type, and the operation that makes it, also in nested
    models. A subclassed model inside hides what it applies; it passes.

    Args:
      network: any.
      role: what the network is to be, for the message: "teacher" or "student".

    Raises:
      ConfigError: the output is not one floating tensor [N, K] with K at least 2, or [N, S, K] of
        S classifiers that are trained at once, or a softmax or sigmoid makes it.
    """
    outputs = getattr(network, "outputs", None)  # a subclassed or unbuilt model has none
    if not outputs:
        return
    structure = getattr(network, "output", None)  # a Sequential model may have none
    if len(outputs) > 1 or isinstance(structure, dict):
        raise ConfigError(
            f"{role} must give one tensor, the logits [N, K]; received a "
            f"{type(structure).__name__} of {len(outputs)}."
        )
    shape, dtype = tuple(outputs[0].shape), outputs[0].dtype
    if len(shape) not in (2, 3) or shape[-1] is None or not keras.backend.is_float_dtype(dtype):
        raise ConfigError(
            f"{role} must give floating logits of shape [N, K] with a known number of classes K; "
            f"received shape {shape} and type {dtype}."
        )
    if shape[-1] < 2:
        raise ConfigError(
            f"{role} must give one logit a class, at least 2; received shape {shape}. A yes-or-no "
            "question has two classes: Dense(2)."
        )
    operation = last_operation(outputs[0])
    function = _probability_function(operation)
    if operation is not None and function:
        raise ConfigError(
            f"{role} must give logits, and its last layer {operation.name!r} applies {function}: "
            "the losses take the softmax themselves, and a second one flattens every gradient. "
            "Remedy: activation=None in the last Dense layer, and no activation layer after it."
        )


def last_operation(tensor: keras.KerasTensor) -> keras.Operation | None:
    """The operation that makes a symbolic tensor's values; None where that cannot be told.

    Layers that pass values on, such as dropout or a cast, are passed over.
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None
    operation = history.operation
    if isinstance(operation, keras.Model):
        inner = getattr(operation, "outputs", None)
        return last_operation(inner[history.tensor_index]) if inner else None
    if _passes_values(operation):
        try:
            return last_operation(operation.input)
        except (AttributeError, ValueError):  # it is used more than once
            return None
    return operation


def logits_and_features(
    network: keras.Model,
) -> tuple[keras.KerasTensor, keras.KerasTensor] | None:
    """Logits, and the input of the layer that makes them, both symbolic in a network's images.

    Layers after it that pass values on or rescale them, such as a cast to float32 or a temperature,
    are no classifiers. A model inside, such as a head, is called once for both.

    Args:
      network: functional or Sequential.

    Returns:
      ([N, K], [N, ...]); None where the layer cannot be told.
    """
    logits = network.outputs[0]
    history = logits._keras_history
    inside = history.operation
    if not isinstance(inside, keras.Model):
        operation = last_operation(logits)
        while isinstance(operation, keras.layers.Rescaling):
            operation = last_operation(operation.input)
        if operation is None or not _is_classifier(operation):
            return None
        return logits, operation.input
    pair = logits_and_features(inside) if getattr(inside, "outputs", None) else None
    if pair is None:
        return None
    images = inside._inbound_nodes[history.node_index].input_tensors
    logits, features = keras.Model(inside.inputs, list(pair))(images)
    return logits, features


def _is_classifier(operation):
    """Whether an operation makes logits of one tensor of features, by a kernel."""
    kernels = [v for v in getattr(operation, "weights", ()) if len(v.shape) > 1]
    return bool(kernels) and isinstance(operation.input, keras.KerasTensor)


def _passes_values(operation):
    linear = getattr(operation, "activation", None) is keras.activations.linear
    return isinstance(operation, _PASSING) or (
        linear and isinstance(operation, keras.layers.Activation)
    )


def _probability_function(operation):
    activation = getattr(operation, "activation", None)
    candidates = [type(operation).__name__, type(activation).__name__]
    candidates.append(getattr(activation, "__name__", ""))
    for name in candidates:
        plain = name.lower().replace("_", "").removesuffix("v2")  # tf.nn.softmax is softmax_v2
        if plain in _PROBABILITIES:
            return name
    return None
