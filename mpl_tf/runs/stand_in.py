"""A network that stands in for another one while a step is traced: its passes are single marks.

The step of a method is traced with stand-ins in seconds, whatever the network's size. The marks say
which passes the step makes, in what order and with how many images; what a pass costs, a trace of
the network itself says (`networks.passes`).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# What a mark is called: the pass forward, backward to the weights, backward to the images, and the
# derivative of the gradient's product with a direction.
FORWARD, BACKWARD, TO_IMAGES, TWICE = (
    "pass_forward",
    "pass_backward",
    "pass_to_images",
    "pass_twice",
)
MARKS = (FORWARD, BACKWARD, TO_IMAGES, TWICE)
OPERATION = "PyFuncStateless"
# The weights come in so many equal parts, for an optimizer to go through.
PARTS = 8
# Sizes of one part of the weights, and of the batch statistics: primes, which no other size has.
SIZES = {"student": (10_009, 10_039), "teacher": (10_007, 10_037)}


def build(num_classes: int, input_shape: Sequence[int], role: str) -> keras.Model:
    """A stand-in.

    Args:
      num_classes: K.
      input_shape: (height, width, channels) of the images.
      role: "teacher" or "student".

    Returns:
      keras.Model, images [N, H, W, C] -> logits [N, K], all 0.
    """
    inputs = keras.Input(tuple(input_shape))
    logits = PassMarks(num_classes, role, dtype="float32")(inputs)
    # A last layer apart, for methods that put another one beside it.
    return keras.Model(inputs, keras.layers.Identity(dtype="float32")(logits))


def mark_of(operation: tf.Operation) -> str | None:
    """The mark that an operation is; None if it is none."""
    if operation.type != OPERATION:
        return None
    last = operation.name.rsplit("/", 1)[-1]
    return next(mark for mark in MARKS if last.startswith(mark))


class PassMarks(keras.Layer):
    """The passes of a network as operations that compute nothing."""

    def __init__(self, num_classes: int, role: str, **kwargs: Any):
        super().__init__(**kwargs)
        self._arguments = {"num_classes": num_classes, "role": role}
        self.num_classes = num_classes
        size, state = SIZES[role]
        self._kernels = [
            self.add_weight(name=f"kernel_{i}", shape=(size,), initializer="zeros")
            for i in range(PARTS)
        ]
        self._state = self.add_weight(
            name="statistics", shape=(state,), initializer="zeros", trainable=False
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._arguments}

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return input_shape[0], self.num_classes

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return _forward(self.num_classes, images, map(tf.convert_to_tensor, self._kernels))


def _forward(num_classes, images, kernels):
    rows = images.shape[0]

    @tf.custom_gradient
    def run(images, *kernels):
        logits, token = _mark(FORWARD, [images, *kernels], [(rows, num_classes), (1,)])

        def backward(upstream):
            (to_images,) = _mark(TO_IMAGES, [token, upstream, images, *kernels], [images.shape])
            return to_images, *_gradient(token, upstream, *kernels)

        return logits, backward

    return run(images, *kernels)


@tf.custom_gradient
def _gradient(token, upstream, *kernels):
    gradient = _mark(BACKWARD, [token, upstream, *kernels], [k.shape for k in kernels])

    def again(*directions):
        (credit,) = _mark(TWICE, [token, upstream, *directions], [upstream.shape])
        return None, credit, *([None] * len(kernels))

    return gradient, again


def _mark(name, inputs, shapes):
    def zeros(images, *_):
        return [
            np.zeros([images.shape[0] if s is None else s for s in shape], np.float32)
            for shape in shapes
        ]

    made = tf.numpy_function(zeros, inputs, [tf.float32] * len(shapes), name=name, stateful=False)
    for tensor, shape in zip(made, shapes, strict=True):
        tensor.set_shape(shape)
    return made
