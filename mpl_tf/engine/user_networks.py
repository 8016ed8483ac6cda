"""What the networks of a method must be, and copies of them that answer alike."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from mpl_tf.engine.logits import check_logits
from mpl_tf.options import ConfigError

# Largest difference of a copy's logits, relative to their size: rounding alone is below it.
_TOLERANCE = 1e-3


def check_networks(student: keras.Model, teacher: keras.Model | None) -> None:
    """Refuses networks that cannot be a method's.

    Args:
      student: any.
      teacher: None if the method has none.

    Raises:
      ConfigError: a network does not give logits, or has losses of its own, which no method adds to
        its objective.
      ValueError: a network is not built, or the two share weights or do not fit together.
    """
    for role, network in (("teacher", teacher), ("student", student)):
        if network is None and role == "teacher":
            continue
        if not isinstance(network, keras.Model) or not network.built:
            raise ValueError(f"{role} must be a built keras.Model; received {network!r}.")
        check_logits(network, role)
        _check_losses(network, role)
    if teacher is None:
        return
    if teacher is student:
        raise ValueError("teacher and student must be two networks; received the same object.")
    shared = {id(v) for v in teacher.variables} & {id(v) for v in student.variables}
    if shared:
        names = [v.path for v in student.variables if id(v) in shared]
        raise ValueError(
            f"teacher and student must have weights of their own; they share {len(names)}, for "
            f"example {names[0]}. Build the second network anew, or take "
            "keras.models.clone_model(network)."
        )
    if teacher.output_shape != student.output_shape:
        raise ValueError(
            "teacher and student must give logits of the same shape; "
            f"received {teacher.output_shape} and {student.output_shape}."
        )


def _check_losses(network: keras.Model, role: str) -> None:
    _probe(network)  # losses that a call adds are there after one
    if network.losses:
        layers = [layer.name for layer in _layers(network) if _has_regularizer(layer)]
        raise ConfigError(
            f"{role} has losses of its own ({', '.join(layers) or 'by add_loss'}), which would "
            "have no effect: methods minimise their paper's objective. compile(weight_decay=...) "
            "is the L2 term of kernels; leave regularizers and add_loss out."
        )


def _has_regularizer(layer: keras.layers.Layer) -> bool:
    return any(v.regularizer is not None for v in layer.trainable_variables) or bool(
        getattr(layer, "activity_regularizer", None)
    )


def check_trainable(network: keras.Model, paths: Sequence[str], name: str) -> None:
    """Refuses a network of which other weights are trainable than when it was compiled.

    Args:
      network: any.
      paths: of the weights that were trainable then.
      name: of the optimizer that was made for them, for the message.

    Raises:
      ValueError: others are trainable.
    """
    trainable = [variable.path for variable in network.trainable_variables]
    if trainable != list(paths):
        changed = sorted(set(trainable) ^ set(paths))
        raise ValueError(
            f"layers were frozen or unfrozen after compile: {name} was made for {len(paths)} "
            f"weights, and {len(trainable)} are trainable ({changed[0]} changed). Set trainable "
            "first, then construct and compile the method."
        )


def has_synchronized(network: keras.layers.Layer) -> bool:
    """Whether a network has batch normalisation over all replicas, in nested models too."""
    return any(getattr(layer, "synchronized", False) for layer in _layers(network))


def copy_network(network: keras.Model) -> keras.Model:
    """A network of the same layers and weights, proved to give the same logits.

    Layers carry over their state by what Keras saves of them, so that a state beside the weights,
    such as that of an adapted keras.layers.Normalization, is the same.

    Raises:
      ConfigError: the copy answers otherwise: a layer keeps a state that Keras does not save.
    """
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    for original, layer in zip(_layers(network), _layers(twin), strict=True):
        if hasattr(original, "finalize_state"):  # computed of weights, once
            layer.finalize_state()
    expected, logits = _probe(network), _probe(twin)
    if expected is None or logits is None:
        return twin
    difference = np.max(np.abs(logits - expected))
    if not difference <= _TOLERANCE * max(1.0, np.max(np.abs(expected))):
        raise ConfigError(
            f"a copy of {network.name} with the same weights gives logits that differ by up to "
            f"{difference:.3g}, and its moving average would be another network. A layer keeps a "
            "state that is no weight; make it a weight (add_weight), or leave the layer out."
        )
    return twin


def _layers(network: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """All layers of a network, those of nested models too."""
    for layer in getattr(network, "layers", ()):
        yield layer
        yield from _layers(layer)


def _probe(network: keras.Model) -> np.ndarray | None:
    """Logits of two made-up inputs without training; None where the shape is not known."""
    shape = network.input_shape[1:]
    if None in shape:
        return None
    values = np.linspace(0, 255, 2 * int(np.prod(shape))).reshape(2, *shape)
    logits = network(values.astype(network.inputs[0].dtype), training=False)
    return np.asarray(keras.ops.convert_to_numpy(logits), np.float64)
