"""Dynamic loss scaling for float16: the numbers between a loss and its gradient stay in range.

Keras's LossScaleOptimizer holds the scale, halves it when a gradient is not finite and then leaves
the update out. It is handed gradients that were unscaled, averaged over replicas, clipped and
scaled again: clipping needs their true size.
"""

import keras
import tensorflow as tf


def wrapped(optimizer, network):
    """`optimizer`, with loss scaling if a layer of `network` computes in float16."""
    narrow = any(layer.compute_dtype == "float16" for layer in network.layers)
    if narrow and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def inner(optimizer):
    """The optimizer that moves the weights."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def scale_of(optimizer):
    """What a loss is multiplied by before it is differentiated: None for no scaling."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.convert_to_tensor(optimizer.dynamic_scale)
    return None


def up(tensors, scale):
    """A tensor or a list of tensors and None, multiplied by the scale."""
    return _map(lambda t: t * scale, tensors, scale)


def down(tensors, scale):
    """A tensor or a list of tensors and None, divided by the scale."""
    return _map(lambda t: t / scale, tensors, scale)


def finite(tensor, scale):
    """`tensor`, with 0 where a scaled loss has overflowed; as it is without scaling."""
    return _map(lambda t: tf.where(tf.math.is_finite(t), t, tf.zeros_like(t)), tensor, scale)


def _map(function, tensors, scale):
    if scale is None:
        return tensors
    if isinstance(tensors, list):
        return [None if t is None else function(t) for t in tensors]
    return function(tensors)
