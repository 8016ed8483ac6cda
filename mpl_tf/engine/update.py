"""From a gradient to new weights: unscale, average over replicas, L2, clip, apply.

float16 needs loss scaling: numbers between a loss and its gradient stay in range. Keras's
LossScaleOptimizer holds the scale, halves it when a gradient is not finite and then leaves the
update out. It is handed gradients that were unscaled, averaged, clipped and scaled again, because
clipping needs their true size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.networks.layers import all_layers

# Parameters of normalisation layers, by the names Keras gives them: no weight decay.
_NORMALISATION = {"gamma", "beta", "scale"}
# What Keras's optimizers do to the gradient of each replica alone.
_PER_REPLICA = ("clipnorm", "global_clipnorm", "clipvalue", "use_ema")

Gradient = list[tf.Tensor | None]


def get_optimizer(optimizer: Any, name: str) -> keras.optimizers.Optimizer:
    """keras.optimizers.get: of an optimizer, its name, or its configuration.

    Args:
      optimizer: any of these.
      name: of the argument, for messages.

    Raises:
      ValueError: it is none of these.
    """
    message = (
        f"{name} must be a keras.optimizers.Optimizer, its name such as 'sgd', or its "
        f"configuration; received {optimizer!r}."
    )
    if optimizer is None:  # which Keras takes as it is
        raise ValueError(message)
    try:
        return keras.optimizers.get(optimizer)
    except (ValueError, TypeError) as error:
        raise ValueError(message) from error


def prepare_optimizer(
    optimizer: Any, network: keras.Model, name: str
) -> keras.optimizers.Optimizer:
    """An optimizer for a network, with its slots: made inside a step they crash.

    A network that computes in float16 gets a keras.optimizers.LossScaleOptimizer around it, unless
    the optimizer has a `loss_scale_factor`. Call this in the scope of the network's strategy.

    Args:
      optimizer: what `keras.optimizers.get` takes: an optimizer, its name, or its configuration.
      network: whose trainable variables it will update.
      name: of the argument, for messages.

    Returns:
      The optimizer, built; it takes gradients that are the same on every replica.

    Raises:
      ValueError: it is no optimizer, was used for another network, has a setting that acts on each
        replica alone or leaves steps out, or has nothing to train.
    """
    optimizer = get_optimizer(optimizer, name)
    if not network.trainable_variables:
        raise ValueError(
            f"{name} has no weight to train: all layers of {network.name} are frozen. Set "
            "trainable=True on those that are to learn, at least on the last one."
        )
    inner = inner_optimizer(optimizer)
    _check_fresh(inner, network, name)
    if inner.gradient_accumulation_steps:
        raise ValueError(
            f"{name} has gradient_accumulation_steps set, by which most steps leave the network as "
            "it is; a larger labeled_batch with compile(accumulate_steps=...) is one step."
        )
    for option in _PER_REPLICA:
        if getattr(inner, option, None):
            raise ValueError(
                f"{name} has {option} set, which Keras applies to each replica alone; "
                "use compile(clip_norm=...) and ema_decay instead."
            )
    narrow = any(layer.compute_dtype == "float16" for layer in all_layers(network))
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or inner.loss_scale_factor
    if narrow and not scales:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    # Keras sums gradients over replicas, also over one. Those of `apply` are the same on every
    # replica; and TensorFlow keeps each graph with such a sum for as long as the process lives.
    inner._all_reduce_sum_gradients = _as_they_are
    return optimizer


def _as_they_are(gradients_and_variables):
    return gradients_and_variables


def _check_fresh(optimizer, network, name):
    """Raises ValueError if an optimizer keeps the momentum of another network."""
    variables = getattr(optimizer, "_trainable_variables", None) or ()
    own = {id(variable) for variable in network.variables}
    if not all(id(variable) in own for variable in variables):
        raise ValueError(
            f"{name} was used for another network, whose momentum it keeps. Make a new optimizer "
            "for each network, or give its name or configuration."
        )


def check_two_optimizers(
    caller: str,
    positional: Sequence[Any],
    student_optimizer: Any,
    teacher_optimizer: Any,
    others: Mapping[str, Any],
) -> None:
    """Refuses anything but two optimizers by their names: each keeps the momentum of its network.

    Args:
      caller: the method's name, for messages.
      positional: optimizers without a name.
      student_optimizer, teacher_optimizer: those by name; `...` where there is none.
      others: further arguments of `compile`.

    Raises:
      ValueError: one is missing or has another name, or both are the same object.
    """
    unnamed = positional or "optimizer" in others
    if unnamed or student_optimizer is ... or teacher_optimizer is ...:
        raise ValueError(
            f"{caller} has two networks, and its compile takes two optimizers by their names: "
            "compile(student_optimizer=..., teacher_optimizer=...)."
        )
    one_object = isinstance(student_optimizer, keras.optimizers.Optimizer)
    if one_object and student_optimizer is teacher_optimizer:
        raise ValueError(
            "student_optimizer and teacher_optimizer must be two objects, because each keeps the "
            "momentum of its network; received the same object twice."
        )


def check_rates(optimizer: keras.optimizers.Optimizer, name: str) -> None:
    """Raises ValueError unless a multiple of a gradient is a multiple of the optimizer's rate."""
    inner = inner_optimizer(optimizer)
    if type(inner) is not keras.optimizers.SGD or inner.weight_decay:
        received = type(inner).__name__ + (" with weight_decay" if inner.weight_decay else "")
        raise ValueError(
            f"backbone_rate scales gradients, which scales the rate of SGD without weight_decay "
            f"alone; {name} is {received}. Take keras.optimizers.SGD and "
            "compile(weight_decay=...), or backbone_rate=1."
        )


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that moves the weights, without the one that scales losses around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def scale_of(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | float | None:
    """What `optimizer.scale_loss` multiplies a loss by; None for nothing."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.convert_to_tensor(optimizer.dynamic_scale)
    return optimizer.loss_scale_factor


def scale(tensors: Any, factor: tf.Tensor | float | None) -> Any:
    """A tensor, or a list of tensors and None, multiplied by a factor of `scale_of`."""
    return _map(lambda t: t * factor, tensors, factor)


def unscale(tensors: Any, factor: tf.Tensor | float | None) -> Any:
    """A tensor, or a list of tensors and None, divided by a factor of `scale_of`."""
    return _map(lambda t: t / factor, tensors, factor)


def _map(function: Any, tensors: Any, factor: tf.Tensor | float | None) -> Any:
    if factor is None:
        return tensors
    if isinstance(tensors, list):
        return [None if t is None else function(t) for t in tensors]
    return function(tensors)


def reduce_gradient(
    gradient: Gradient, variables: list[keras.Variable], weight_decay: float
) -> list[tf.Tensor]:
    """Mean over replicas plus the L2 term: the gradient before clipping.

        g <- mean over replicas of g + weight_decay * w      not for normalisation parameters

    Args:
      gradient: this replica's, unscaled; None where a variable has none.
      variables: those it belongs to.
      weight_decay: at least 0.

    Returns:
      List of tensors, the same on every replica.
    """
    reduced = replicas.mean_over_replicas(filled(gradient, variables))
    return with_decay(reduced, variables, weight_decay, variables)


def filled(gradient: Gradient, variables: list[keras.Variable]) -> list[tf.Tensor]:
    """A gradient as dense tensors, 0 where a variable has none."""
    return [
        tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
        for g, v in zip(gradient, variables, strict=True)
    ]


def with_decay(
    gradient: list[tf.Tensor],
    variables: list[keras.Variable],
    weight_decay: float,
    values: Sequence[Any],
) -> list[tf.Tensor]:
    """g + weight_decay * value, but for normalisation parameters.

    Args:
      gradient: one tensor for each variable.
      variables: those it belongs to.
      weight_decay: at least 0.
      values: the weights, or what is to be decayed in their place.
    """
    if not weight_decay:
        return gradient
    return [
        _decayed(g, v, weight_decay, value)
        for g, v, value in zip(gradient, variables, values, strict=True)
    ]


def _decayed(gradient, variable, weight_decay, value):
    if variable.name in _NORMALISATION:
        return gradient
    with tf.device(gradient.device):  # of networks in stages, that of the variable
        return gradient + weight_decay * tf.cast(value, gradient.dtype)


def clip(gradient: list[tf.Tensor], clip_norm: float | None) -> list[tf.Tensor]:
    """`gradient` scaled down to the global norm `clip_norm`, if it is longer; None never clips."""
    return gradient if clip_norm is None else tf.clip_by_global_norm(gradient, clip_norm)[0]


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradient: list[tf.Tensor],
    variables: list[keras.Variable],
) -> None:
    """Applies a gradient that is the same on every replica; float16 skips what overflowed.

    Args:
      optimizer: of `prepare_optimizer`.
      gradient: reduced and clipped.
      variables: those it belongs to.
    """
    optimizer.apply(scale(gradient, scale_of(optimizer)), variables)
