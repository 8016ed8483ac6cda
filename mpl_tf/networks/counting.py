"""Multiply-adds of TensorFlow's operations, exact by their shapes.

A multiplication with the addition that follows it counts as one. Counted are the operations that
are sums of products: matrix products of all forms, among them those of attention, and convolutions
of all forms, with their gradients. A position that a convolution takes from its padding counts as
any other. Activations, normalisation, pooling, biases and all that works value by value count as
nothing, as is usual.
"""

import math

import tensorflow as tf

from mpl_tf.networks.operation_types import FREE
from mpl_tf.options import ConfigError

_CONVOLUTIONS = ("Conv2D", "Conv3D")
_DEPTHWISE = "DepthwiseConv2dNative"


def multiply_adds(operation: tf.Operation) -> int:
    """Multiply-adds of an operation of a graph, whose shapes must be known.

        matrix product  [m, k] [k, n]:                       m n k, for each of a batch
        convolution     [N, H, W, C] with [h, w, C/g, D]:     N H' W' D h w C/g
        depthwise       [N, H, W, C] with [h, w, C, d]:       N H' W' C d h w
        einsum of two:                                       the product of all its different axes

    H' and W' are the sizes that come out, or of a transposed convolution, those that go in. The
    gradients of a convolution by its input and by its kernel cost as much as it does each.

    Raises:
      ConfigError: it is of a type that is not known, or a shape is open; the message names it.
    """
    name = operation.type
    if name in FREE:
        return 0
    if name in ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "SparseMatMul"):
        adjoint = "transpose_a" if name in ("MatMul", "SparseMatMul") else "adj_x"
        left = _shape(operation, operation.inputs[0])
        inner = left[-2] if operation.get_attr(adjoint) else left[-1]
        return math.prod(_shape(operation, operation.outputs[0])) * inner
    if name == "Einsum":
        return _einsum(operation)
    base = name.replace("BackpropInput", "").replace("BackpropFilter", "").removesuffix("V2")
    if base in _CONVOLUTIONS or base == _DEPTHWISE:
        if "Backprop" not in name:
            kernel, result = operation.inputs[1], operation.outputs[0]
        elif "Input" in name:
            kernel, result = operation.inputs[1], operation.inputs[2]
        else:
            kernel, result = operation.outputs[0], operation.inputs[2]
        *places, channels, multiplier = _shape(operation, kernel)
        positions = _positions(operation, result)
        if base == _DEPTHWISE:
            return positions * channels * multiplier * math.prod(places)
        return positions * math.prod(places) * channels * multiplier
    raise ConfigError(
        f"{operation.name}, of TensorFlow's type {name}, is not among the operations whose "
        "multiply-adds are known (mpl_tf/networks/operation_types.py); without it the count "
        "would be wrong."
    )


def _positions(operation, result):
    """Images times places of [N, H, W, C], or of [N, C, H, W]."""
    shape = _shape(operation, result)
    by_channel = operation.get_attr("data_format").decode().startswith("NC")
    return math.prod([shape[0], *shape[2:]] if by_channel else shape[:-1])


def _einsum(operation):
    """Of two operands: every combination of all axes; of one: nothing."""
    if len(operation.inputs) == 1:
        return 0
    terms = operation.get_attr("equation").decode().replace(" ", "").split("->")[0].split(",")
    sizes: dict[object, int] = {}
    for term, operand in zip(terms, operation.inputs, strict=True):
        shape = _shape(operation, operand)
        before, dots, after = term.partition("...")
        hidden = len(shape) - len(before) - len(after) if dots else 0
        # The axes behind the dots are counted from their end, as broadcasting does.
        axes = [*before, *range(-hidden, 0), *after]
        for axis, size in zip(axes, shape, strict=True):
            sizes[axis] = max(size, sizes.get(axis, 1))
    return math.prod(sizes.values())


def _shape(operation, tensor):
    if not tensor.shape.is_fully_defined():
        raise ConfigError(
            f"{operation.name} works on {tensor.name}, the shape of which is open: {tensor.shape}. "
            "Its multiply-adds cannot be counted."
        )
    return tensor.shape.as_list()
