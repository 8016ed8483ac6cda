"""Networks whose weights have shapes and no values: to count what cannot be held."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops


@contextlib.contextmanager
def unallocated() -> Iterator[None]:
    """Networks built while this lasts have no memory for kernels.

    Variables of two dimensions and more are handles with a shape and a type. Read from Python they
    are zeros, and what is assigned to them is dropped. Such a network can be traced by
    tf.function, and fails where it computes. Vectors and scalars are variables as always.
    """
    with tf.variable_creator_scope(_create):
        yield


def _create(following: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
    initial = arguments["initial_value"]
    if not callable(initial):
        return following(**arguments)
    with tf.Graph().as_default():  # where the initializer says its shape, and draws nothing
        value = tf.convert_to_tensor(initial())
    if len(value.shape) < 2:
        return following(**arguments)
    passed = ("trainable", "name", "aggregation", "synchronization")
    return _Handle(
        shape=value.shape, dtype=value.dtype, **{name: arguments.get(name) for name in passed}
    )


class _Handle(resource_variable_ops.UninitializedVariable):
    def numpy(self) -> np.ndarray:
        return np.broadcast_to(np.zeros((), self.dtype.as_numpy_dtype), self.shape)

    def assign(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if tf.executing_eagerly():
            return self
        return super().assign(value, *args, **kwargs)
