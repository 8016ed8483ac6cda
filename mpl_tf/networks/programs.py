"""What a traced graph computes, operation by operation: the bytes it makes, and multiply-adds.

A graph is traced for a number of images that no other size is a multiple of. What is a multiple of
it grows with the images, and a program so stands for batches of all sizes.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from mpl_tf.networks.counting import multiply_adds
from mpl_tf.networks.liveness import Step
from mpl_tf.networks.operation_types import ALIASES, IN_PLACE
from mpl_tf.options import ConfigError

# A prime far above the sides and channels of networks, for which graphs are traced.
ROWS = 8191

# What is no memory of a step's own.
_NO_MEMORY = frozenset(["Const", "NoOp", "Placeholder", "VarHandleOp"])
_CHOICES = frozenset(["If", "StatelessIf"])
_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
# They change variables: what they read is computed though nobody reads what they give.
_EFFECTS = frozenset(
    ["AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp", "ResourceScatterUpdate"]
)


class Amount(NamedTuple):
    """A quantity that is linear in the number of images."""

    per_image: int = 0
    constant: int = 0

    def of(self, images: int) -> int:
        return self.per_image * images + self.constant


class Operation(NamedTuple):
    """One operation of a program.

    Attributes:
      inputs: numbers of the tensors that it reads, those in memory that the program makes or takes.
      outputs: numbers of those that it makes.
      bytes: of each output.
      in_place: whether an output may take the memory of an input.
      multiply_adds: what it computes.
      source: the tf.Operation of the graph; None of one that is no operation of it.
      changes: whether it changes a variable; then its output is the value that was there before,
        which is held for those who have read it and are not done.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    bytes: tuple[Amount, ...]
    in_place: bool
    multiply_adds: Amount
    source: Any
    changes: bool = False


@dataclasses.dataclass
class Program:
    """A traced graph in the order of its operations.

    Attributes:
      operations: those that something depends on.
      number_of: tensor's id -> its number; tensors that are one memory have one number. Constants
        have none. What is read of a variable has a number of its own after each change.
      rows: the number of images that it was traced for.
    """

    operations: list[Operation]
    number_of: dict[int, int]
    rows: int | None


def program(
    graph: tf.Graph,
    results: Iterable[tf.Tensor],
    rows: int | None = ROWS,
    keep: frozenset[str] = frozenset(),
) -> Program:
    """The program of a graph, with the functions that it calls.

    Args:
      graph: of a traced function, all shapes of which are known.
      results: the tensors that are wanted, beside the variables that it changes.
      rows: the number of images that it was traced for; None if it stands for this number alone.
      keep: types of operations that stay as they are: nothing is counted for them.

    Raises:
      ConfigError: an operation's multiply-adds are not known.
    """
    reader = _Reader(rows, keep)
    for tensor in graph.inputs:
        reader.new(tensor)
    reader.read(graph)
    wanted = {n for t in results if (n := reader.number_of.get(id(t))) is not None}
    return Program(needed(reader.operations, wanted), reader.number_of, rows)


def _amount(value: int, rows: int | None) -> Amount:
    if rows is None or value % rows:
        return Amount(0, value)
    return Amount(value // rows)


def needed(operations: Sequence[Operation], wanted: Iterable[int]) -> list[Operation]:
    """Those of the operations that make tensors that are wanted, or change a variable."""
    read, left = set(wanted), []
    for operation in reversed(operations):
        if operation.changes or not read.isdisjoint(operation.outputs):
            read.update(operation.inputs)
            left.append(operation)
    return left[::-1]


def steps(operations: Iterable[Operation], images: int) -> list[Step]:
    """A program for a number of images, for `liveness.over_time`."""
    return [
        Step(
            each.inputs,
            each.outputs,
            [size.of(images) for size in each.bytes],
            each.in_place,
            each.source is None,
        )
        for each in operations
    ]


class _Reader:
    def __init__(self, rows: int | None, keep: frozenset[str]):
        self.rows, self.keep = rows, keep
        self.operations: list[Operation] = []
        self.number_of: dict[int, int] = {}
        self._tensors: list[tf.Tensor] = []  # so that ids stay theirs
        self._count = 0
        self._values: dict[int, int] = {}  # variable -> number of what it holds

    def new(self, tensor: tf.Tensor) -> int:
        self._tensors.append(tensor)
        number = self.number_of[id(tensor)] = self._count
        self._count += 1
        return number

    def read(self, graph: tf.Graph) -> None:
        for operation in graph.get_operations():
            kind = operation.type
            if kind in _NO_MEMORY:
                continue
            if kind == "ReadVariableOp":
                self._read_variable(operation)
            elif kind in _EFFECTS:
                self._change(operation)
            elif kind in _CALLS:
                self._call(graph, operation)
            elif kind in _CHOICES:
                self._branches(graph, operation)
            elif kind in ("Split", "SplitV") and _first_axis(operation):
                for part in operation.outputs:  # rows of the same memory
                    self._same(part, operation.inputs[1 if kind == "Split" else 0])
            elif kind in ALIASES:
                self._same(operation.outputs[0], operation.inputs[0])
            elif kind == "IdentityN":
                for new, old in zip(operation.outputs, operation.inputs, strict=True):
                    self._same(new, old)
            else:
                self._append(operation)

    def _same(self, new: tf.Tensor, old: tf.Tensor) -> None:
        self._tensors.append(new)
        number = self.number_of.get(id(old))
        if number is not None:
            self.number_of[id(new)] = number

    def _value(self, handle: tf.Tensor) -> int:
        """The number of what a variable holds."""
        key = self.number_of.get(id(handle), id(handle))
        if key not in self._values:
            self._values[key] = self._count
            self._count += 1
        return self._values[key]

    def _read_variable(self, operation: tf.Operation) -> None:
        (tensor,) = operation.outputs
        self._tensors.append(tensor)
        self.number_of[id(tensor)] = self._value(operation.inputs[0])

    def _change(self, operation: tf.Operation) -> None:
        handle, *others = operation.inputs
        before = self._value(handle)
        del self._values[self.number_of.get(id(handle), id(handle))]
        inputs = tuple(self.number_of[id(t)] for t in others if id(t) in self.number_of)
        size = _amount(_bytes(others[-1]), self.rows)
        self.operations.append(
            Operation(inputs, (before,), (size,), False, Amount(), operation, changes=True)
        )

    def _branches(self, graph: tf.Graph, operation: tf.Operation) -> None:
        """A choice in which nothing is multiplied: what it gives is memory."""
        if self._multiplies(graph, operation):
            raise ConfigError(
                f"{operation.name} multiplies matrices or convolves in one of two branches; what "
                "it costs depends on the images."
            )
        self._append(operation, products=0)

    def _multiplies(self, graph: tf.Graph, operation: tf.Operation) -> bool:
        if operation.type not in _CHOICES:
            return bool(multiply_adds(operation))
        branches = (operation.get_attr(f"{name}_branch").name for name in ("then", "else"))
        bodies = [graph._get_function(name).graph for name in branches]
        return any(self._multiplies(body, o) for body in bodies for o in body.get_operations())

    def _call(self, graph: tf.Graph, operation: tf.Operation) -> None:
        name = operation.get_attr("f").name
        body = graph._get_function(name).graph
        for inner, outer in zip(body.inputs, operation.inputs, strict=True):
            self._same(inner, outer)
        self.read(body)
        for outer, inner in zip(operation.outputs, body.outputs, strict=True):
            self._same(outer, inner)
        # Another call of the same function makes other tensors.
        for each in body.get_operations():
            for tensor in each.outputs:
                self.number_of.pop(id(tensor), None)

    def _append(self, operation: tf.Operation, products: int | None = None) -> None:
        numbers = self.number_of
        inputs = tuple(numbers[id(t)] for t in operation.inputs if id(t) in numbers)
        if products is None:
            products = 0 if operation.type in self.keep else multiply_adds(operation)
        sizes = tuple(_amount(_bytes(t), self.rows) for t in operation.outputs)
        self.operations.append(
            Operation(
                inputs,
                tuple(self.new(t) for t in operation.outputs),
                sizes,
                operation.type in IN_PLACE,
                _amount(products, self.rows),
                operation,
            )
        )


def _first_axis(operation: tf.Operation) -> bool:
    axis = tf.get_static_value(operation.inputs[0 if operation.type == "Split" else 2])
    return axis is not None and int(axis) == 0


def _bytes(tensor: tf.Tensor) -> int:
    if tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    return (tensor.shape.num_elements() or 0) * tensor.dtype.size
