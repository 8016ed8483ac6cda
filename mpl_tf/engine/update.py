"""From a gradient to new weights: unscale, average over replicas, L2, clip, apply.

float16 needs loss scaling: numbers between a loss and its gradient stay in range. Keras's
LossScaleOptimizer holds the scale, halves it when a gradient is not finite and then leaves the
update out. It is handed gradients that were unscaled, averaged, clipped and scaled again, because
clipping needs their true size.
"""

from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine import replicas

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

    A network that computes in float16 gets a keras.optimizers.LossScaleOptimizer around it. Call
    this in the scope of the network's strategy.

    Args:
      optimizer: what `keras.optimizers.get` takes: an optimizer, its name, or its configuration.
      network: whose trainable variables it will update.
      name: of the argument, for messages.

    Returns:
      The optimizer, built.

    Raises:
      ValueError: it is no optimizer, has a setting that acts on each replica alone, or has nothing
        to train.
    """
    optimizer = get_optimizer(optimizer, name)
    if not network.trainable_variables:
        raise ValueError(
            f"{name} has no weight to train: all layers of {network.name} are frozen. Set "
            "trainable=True on those that are to learn, at least on the last one."
        )
    for option in _PER_REPLICA:
        if getattr(inner_optimizer(optimizer), option, None):
            raise ValueError(
                f"{name} has {option} set, which Keras applies to each replica alone; "
                "use compile(clip_norm=...) and ema_decay instead."
            )
    narrow = any(layer.compute_dtype == "float16" for layer in network.layers)
    if narrow and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


def check_two_optimizers(student_optimizer: Any, teacher_optimizer: Any) -> None:
    """Refuses one optimizer object for two networks: each keeps the momentum of its own.

    Raises:
      ValueError: both are the same object.
    """
    one_object = isinstance(student_optimizer, keras.optimizers.Optimizer)
    if one_object and student_optimizer is teacher_optimizer:
        raise ValueError(
            "student_optimizer and teacher_optimizer must be two objects, because each keeps the "
            "momentum of its network; received the same object twice."
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
    filled = [
        tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
        for g, v in zip(gradient, variables, strict=True)
    ]
    reduced = replicas.mean_over_replicas(filled)
    if not weight_decay:
        return reduced
    return [
        g if v.name in _NORMALISATION else g + weight_decay * tf.cast(v, g.dtype)
        for g, v in zip(reduced, variables, strict=True)
    ]


def clip(gradient: list[tf.Tensor], clip_norm: float | None) -> list[tf.Tensor]:
    """`gradient` scaled down to the global norm `clip_norm`, if it is longer; None never clips."""
    return gradient if clip_norm is None else tf.clip_by_global_norm(gradient, clip_norm)[0]


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradient: list[tf.Tensor],
    variables: list[keras.Variable],
) -> None:
    """Applies a gradient that is the same on every replica; float16 skips what overflowed."""
    replicas.apply_reduced(optimizer, scale(gradient, scale_of(optimizer)), variables)
