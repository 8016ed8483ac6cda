"""What the networks of a method must be, and copies of them that answer alike."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.engine.logits import check_logits
from mpl_tf.networks.layers import all_layers, from_config
from mpl_tf.options import ConfigError

# Largest difference of a copy's logits, relative to their size: rounding alone is below it.
_TOLERANCE = 1e-3


def check_networks(
    student: keras.Model, teacher: keras.Model | None, strategy: tf.distribute.Strategy
) -> None:
    """Refuses networks that cannot be a method's.

    Args:
      student: any.
      teacher: None if the method has none.
      strategy: of the method.

    Raises:
      ConfigError: a network does not take images of one size, does not give logits, has losses of
        its own, which no method adds to its objective, or was made outside the strategy's scope.
      ValueError: a network is not built, or the two share weights or do not fit together.
    """
    for role, network in (("teacher", teacher), ("student", student)):
        if network is None and role == "teacher":
            continue
        if not isinstance(network, keras.Model) or not network.built:
            raise ValueError(
                f"{role} must be a keras.Model that is built, as it is where it begins with "
                f"keras.Input((height, width, channels)); received {network!r}."
            )
        _check_images(network, role)
        _check_precision(network, role)
        check_logits(network, role)
        _check_values(network, role)
        _check_losses(network, role)  # those that a call adds are there after it
        _check_scope(network, role, strategy)
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


def _check_images(network: keras.Model, role: str) -> None:
    """Raises ConfigError unless a network takes one tensor, of a shape that is known."""
    remedy = (
        "Wrap it: inputs = keras.Input((height, width, channels)); "
        f"{role} = keras.Model(inputs, {role}(inputs))."
    )
    inputs = getattr(network, "inputs", None)
    if not inputs:
        raise ConfigError(
            f"{role} must be a functional or Sequential model, which knows the shapes of its "
            f"images and logits; received {type(network).__name__}, a subclass. {remedy}"
        )
    if len(inputs) > 1:
        raise ConfigError(
            f"{role} must take one tensor, the images; received a network of {len(inputs)} inputs: "
            f"{', '.join(each.name for each in inputs)}."
        )
    shape = tuple(inputs[0].shape[1:])
    if None in shape:
        raise ConfigError(
            f"{role} must take images of one size, which its export needs too; received {shape}. "
            f"{remedy}"
        )


def _check_precision(network: keras.Model, role: str) -> None:
    """Raises ConfigError if weights have 16 bits, in which the updates of training are lost."""
    for weight in network.trainable_variables:
        if weight.dtype in ("float16", "bfloat16"):
            raise ConfigError(
                f"{role} must have weights of float32 or float64; {weight.path} is {weight.dtype}. "
                "Make the network with such ones (keras.config.set_floatx('float32')); for speed, "
                f"layers compute in 16 bits by keras.config.set_dtype_policy('mixed_{weight.dtype}'"
                f"), or, in a run, by --precision={weight.dtype}."
            )


def _check_values(network: keras.Model, role: str) -> None:
    """Raises ConfigError if the values of a network show that they are no logits."""
    logits = _probe(network)
    sums = np.sum(logits, axis=-1)
    if np.min(logits) >= 0 and np.allclose(sums, 1, atol=1e-3):
        raise ConfigError(
            f"{role} must give logits; its outputs are probabilities: at least 0, with a sum of 1. "
            "Leave the softmax out, because the losses take it themselves."
        )


def _check_scope(network: keras.Model, role: str, strategy: tf.distribute.Strategy) -> None:
    """Raises ConfigError if a network was made for other devices than a method's."""
    weights = [variable.value for variable in network.variables]
    if not all(map(strategy.extended.variable_created_in_scope, weights)):
        raise ConfigError(
            f"{role} must be made in the scope of the method's strategy, "
            f"{type(strategy).__name__}: with strategy.scope(): {role} = ...; then, outside of it, "
            "the method with strategy=strategy."
        )


def _check_losses(network: keras.Model, role: str) -> None:
    if network.losses:
        layers = [layer.name for layer in all_layers(network) if _has_regularizer(layer)]
        raise ConfigError(
            f"{role} has losses of its own ({', '.join(layers) or 'by add_loss'}), which would "
            "have no effect: methods minimise their paper's objective. weight_decay is the L2 term "
            "of kernels; make the network without regularizers and add_loss."
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
    """Whether a network has batch normalisation over all replicas, inside of layers too."""
    return any(getattr(layer, "synchronized", False) for layer in all_layers(network))


def copy_network(network: keras.Model) -> keras.Model:
    """A network of the same layers and weights, proved to give the same logits.

    Layers carry over their state by what Keras saves of them, so that a state beside the weights,
    such as that of an adapted keras.layers.Normalization, is the same.

    Raises:
      ConfigError: a layer cannot be copied, or the copy answers otherwise: a layer keeps a state
        that Keras does not save.
    """
    twin = keras.models.clone_model(network, clone_function=_copy_layer, recursive=True)
    for original, layer in zip(all_layers(network), all_layers(twin), strict=True):
        if getattr(original, "lora_enabled", False) and not layer.lora_enabled:
            layer.enable_lora(original.lora_rank)  # of layers inside of one that does not say so
    twin.set_weights(network.get_weights())
    _copy_seeds(network, twin)
    for original, layer in zip(all_layers(network), all_layers(twin), strict=True):
        if hasattr(original, "finalize_state"):  # computed of weights, once
            layer.finalize_state()
    follow_trainable(twin, network)
    expected, logits = _probe(network), _probe(twin)
    difference = np.max(np.abs(logits - expected))
    if not difference <= _TOLERANCE * max(1.0, np.max(np.abs(expected))):
        raise ConfigError(
            f"a copy of {network.name} with the same weights gives logits that differ by up to "
            f"{difference:.3g}, and its moving average would be another network. A layer keeps a "
            "state that is no weight; make it a weight (add_weight), or leave the layer out."
        )
    return twin


def follow_trainable(network: keras.Model, leader: keras.Model) -> None:
    """Freezes and unfreezes layers and weights of a copy as in the network it is a copy of."""
    for layer, other in zip(all_layers(network), all_layers(leader), strict=True):
        if layer.trainable != other.trainable:
            layer.trainable = other.trainable  # and all layers inside of it, which follow
    for weight, of_leader in zip(network.weights, leader.weights, strict=True):
        if weight.trainable != of_leader.trainable:
            weight.trainable = of_leader.trainable


def _copy_layer(layer: keras.Layer) -> keras.Layer:
    """A layer like another, with weights of its own."""
    if isinstance(layer, keras.layers.Lambda):  # Keras makes none of the configuration of a lambda
        return keras.layers.Lambda(
            layer.function,
            output_shape=layer.compute_output_shape,
            arguments=layer.arguments,
            name=layer.name,
            dtype=layer.dtype_policy,
        )
    try:
        config = layer.get_config()
        if getattr(layer, "seed_generator", None) is not None and config.get("rate") == 0:
            config["rate"] = 0.5  # so that it has a generator, too; then it has the layer's rate
        return from_config(type(layer), config)
    except Exception as error:  # of whatever kind the class raises
        raise ConfigError(
            f"layer {layer.name!r}, a {type(layer).__name__}, cannot be copied, and the moving "
            "average is a copy of the network. Its class must have a get_config() that returns the "
            "arguments of its constructor, and a constructor that passes **kwargs on to "
            f"super().__init__. Keras says: {_first_line(error)}"
        ) from error


def frozen_weights(network: keras.Model) -> list[keras.Variable]:
    """The weights that training never moves: of frozen layers, and kernels that LoRA wraps."""
    frozen = []
    for layer in all_layers(network):
        if not layer.trainable:
            frozen += layer.weights
        elif getattr(layer, "lora_enabled", False):
            frozen += layer.non_trainable_weights
    return frozen


def check_same_weights(teacher: keras.Model, student: keras.Model) -> None:
    """Raises ConfigError unless a student can start from the weights of its teacher."""
    shapes = [[tuple(weight.shape) for weight in each.weights] for each in (teacher, student)]
    if shapes[0] != shapes[1]:
        raise ConfigError(
            "student_init=teacher needs a student of the teacher's layers; received a teacher of "
            f"{teacher.count_params():,} weights and a student of {student.count_params():,}."
        )


def _copy_seeds(network: keras.Model, twin: keras.Model) -> None:
    """Has the layers of a copy draw what those of the network would draw next."""
    for layer, copy in zip(all_layers(network), all_layers(twin), strict=True):
        if getattr(layer, "seed_generator", None) is not None and hasattr(layer, "rate"):
            copy.rate = layer.rate  # 0 in frozen layers, also of a layer inside another one
    states = [
        [v for v in each.non_trainable_variables if v.name == "seed_generator_state"]
        for each in (network, twin)
    ]
    if len(states[0]) == len(states[1]):
        for state, of_copy in zip(*states, strict=True):
            of_copy.assign(state)


def _probe(network: keras.Model) -> np.ndarray:
    """Logits of made-up images without training."""
    batch, *shape = network.input_shape
    values = np.linspace(0, 255, (batch or 2) * int(np.prod(shape))).reshape(-1, *shape)
    try:
        logits = network(values.astype(network.inputs[0].dtype), training=False)
    except Exception as error:  # of whatever kind a layer raises
        raise ConfigError(
            f"{network.name} fails on images of shape {tuple(shape)}: {_first_line(error)}"
        ) from error
    return np.asarray(keras.ops.convert_to_numpy(logits), np.float64)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
