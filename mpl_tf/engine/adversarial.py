"""The worst small perturbations of images, and what they change (Miyato et al., TPAMI 2018)."""

import math
from typing import Any

import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.formulas import losses, random


def divergence(
    method: Any,
    images: tf.Tensor,
    logits: tf.Tensor,
    length: float,
    probe: float,
    iterations: int,
) -> tf.Tensor:
    """How much the worst perturbation of each image changes the prediction.

        KL(softmax(S(x_i)) || softmax(S(x_i + r_i)))       r: `perturbation`

    The gradient goes through S(x + r) alone. The pass leaves no trace in the student's state.

    Args:
      method: engine.student.StudentMethod, whose student S is.
      images: floating [U,H,W,C], or features [U,F].
      logits: floating [U, K], the student's on them, of a pass that has kept the state.
      length, probe, iterations: as for `perturbation`.

    Returns:
      [U], in nats.
    """
    change = perturbation(method, images, logits, length, probe, iterations)
    changed = images + tf.stop_gradient(change)
    (perturbed,) = method.forward(method.student, changed, keep_state=True)
    return losses.divergence(tf.stop_gradient(logits), perturbed)


def perturbation(
    method: Any,
    images: tf.Tensor,
    logits: tf.Tensor,
    length: float,
    probe: float,
    iterations: int,
) -> tf.Tensor:
    """The perturbation of that length that changes the predictions most, to second order.

    Lengths are those of colour images of 32 x 32 pixels with values from 0 to 1, of others in
    proportion to sqrt(H * W * C / 3072); of features in proportion to their own length, of which
    whitened images of that size have sqrt(3072).

    Args:
      method: engine.student.StudentMethod, whose student it is, and whose draws.
      images: floating [U,H,W,C] of values from 0 to 255, or features [U,F].
      logits: floating [U, K], the network's on them.
      length: of the perturbation, at least 0.
      probe: of the one with which its direction is sought, above 0.
      iterations: times the direction is improved, at least 1.

    Returns:
      Like `images`.
    """
    # Drawn for the global batch, so that replicas together draw what one alone would.
    index, _ = replicas.replica()
    shape = replicas.shape_on_all(images)
    direction = _unit(random.normal(method.draw_seed(), shape, images.dtype)[index])
    unit = _size(images) / math.sqrt(3072)

    def difference(changed, unchanged):
        return tf.reduce_sum(losses.divergence(unchanged, changed))

    for _ in range(iterations):
        direction = _unit(
            method.image_gradient(images, probe * unit * direction, difference, logits)
        )
    return length * unit * direction


def _size(images: tf.Tensor) -> tf.Tensor | float:
    """The length of a white image; of features [U, F] their own, [U, 1]."""
    if images.shape.rank == 2:
        return tf.norm(images, axis=1, keepdims=True)
    return 255 * math.sqrt(math.prod(images.shape[1:]))


def _unit(directions: tf.Tensor) -> tf.Tensor:
    """Directions [U, ...], each of length 1; where one is 0 it stays 0."""
    axes = list(range(1, directions.shape.rank))
    largest = tf.reduce_max(tf.abs(directions), axes, keepdims=True)  # else squares underflow
    scaled = tf.math.divide_no_nan(directions, largest)
    length = tf.sqrt(tf.reduce_sum(scaled**2, axes, keepdims=True))
    return tf.math.divide_no_nan(scaled, length)
