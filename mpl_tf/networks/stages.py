"""A network as consecutive stages, each a function of a few tensors, cut where few tensors cross.

What the layers compute, one after the other, is a list of calls, those inside nested models among
them. A cut between two calls is possible where at most `MOST_TENSORS` tensors cross, all of them
floating, and no weight is used on both sides.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.networks.counting import multiply_adds
from mpl_tf.options import ConfigError

# Cells of NASNet and its like take the outputs of the two before them.
MOST_TENSORS = 2
# By how much the largest stage may exceed the least possible, so that less goes over the cuts.
_TOLERANCE = 0.05
_FLOATING = ("float64", "float32", "bfloat16", "float16")
_IMAGES = 0  # the number of the tensor that a network takes


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a layer or another operation.

    Attributes:
      operation: keras.Operation.
      node: Keras's record of the call; None is a call with the one tensor alone.
      reads: numbers of the tensors that it takes.
      writes: numbers of those that it gives.
      symbols: keras.KerasTensor of each of those that it gives.
    """

    operation: Any
    node: Any
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    symbols: tuple[Any, ...]

    def __call__(self, values: dict[int, tf.Tensor], training: bool) -> None:
        """Computes: `values`, number of a tensor -> tensor, gains those that it gives."""
        tensors = [values[number] for number in self.reads]
        if self.node is None:
            outputs = self.operation(*tensors)
        else:
            taken = zip(map(id, self.node.input_tensors), tensors, strict=True)
            arguments, named = self.node.arguments.fill_in(dict(taken))
            if "training" in getattr(self.operation, "_call_context_args", ()):
                named["training"] = training
            outputs = self.operation(*arguments, **named)
        values.update(zip(self.writes, keras.tree.flatten(outputs), strict=True))

    @property
    def variables(self) -> list[keras.Variable]:
        """Those of the operation."""
        return list(getattr(self.operation, "variables", ()))


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a network: consecutive calls.

    Attributes:
      calls: in their order.
      reads: numbers of the tensors that come from the stage before; of the first, the images.
      writes: numbers of those that the next one takes; of the last, the logits.
      trainable, state: its part of the network's trainable variables, and of the others.
    """

    calls: tuple[Call, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    trainable: tuple[keras.Variable, ...]
    state: tuple[keras.Variable, ...]

    def __call__(
        self,
        weights: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        tensors: Sequence[tf.Tensor],
        training: bool,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """A pass that changes nothing.

        Args:
          weights: values for `trainable`.
          state: values for `state`.
          tensors: those that it reads.
          training: whether it is a pass in training.

        Returns:
          (the tensors that it writes, the state that it leaves).
        """
        pairs = [
            *zip(self.trainable, weights, strict=True),
            *zip(self.state, state, strict=True),
        ]
        values = dict(zip(self.reads, tensors, strict=True))
        with keras.StatelessScope(state_mapping=pairs) as scope:
            for call in self.calls:
                call(values, training)
        left = [tf.convert_to_tensor(scope.get_current_value(v)) for v in self.state]
        return [values[number] for number in self.writes], left


def split(network: keras.Model, count: int) -> list[Stage]:
    """Stages of about equal multiply-adds.

    Of all ways to cut whose largest stage is at most 5% above the least possible, the one over
    whose cuts the fewest values go.

    Args:
      network: functional or Sequential, of one input and one output of known shapes.
      count: of stages, at least 1.

    Raises:
      ConfigError: it cannot be cut into as many, or is a class of its own that hides its layers.
    """
    if not is_open(network):
        raise ConfigError(
            f"stages are for functional and Sequential models, whose layers Keras knows; received "
            f"{network.name}, a {type(network).__name__} with a call of its own."
        )
    calls, logits = calls_of(network)
    crossing = _crossing(calls, logits, network.inputs[0])
    if count > len(crossing) + 1:
        raise ConfigError(
            f"stages={count} needs {count - 1} cuts, and {network.name} has {len(crossing)} points "
            f"where at most {MOST_TENSORS} tensors cross. Take at most stages={len(crossing) + 1}."
        )
    sizes = {place: sum(map(_values, tensors.values())) for place, tensors in crossing.items()}
    ends = [*_cuts(costs_of(network), sizes, count), len(calls)]
    in_calls = {id(v) for call in calls for v in call.variables}
    inside = {id(v) for v in network.variables} - in_calls  # go with the first
    stages, begin, reads = list[Stage](), 0, (_IMAGES,)
    for end in ends:
        writes = (logits,) if end == len(calls) else tuple(crossing[end])
        part = tuple(calls[begin:end])
        inside |= {id(v) for call in part for v in call.variables}
        trainable, state = (
            tuple(v for v in variables if id(v) in inside)
            for variables in (network.trainable_variables, network.non_trainable_variables)
        )
        stages.append(Stage(part, reads, writes, trainable, state))
        begin, reads, inside = end, writes, set()
    return stages


def is_open(operation: Any) -> bool:
    """Whether an operation is a functional or Sequential model that is called as Keras calls it."""
    call = getattr(type(operation), "call", None)
    return getattr(call, "__qualname__", "") in ("Functional.call", "Sequential.call")


def calls_of(network: keras.Model) -> tuple[list[Call], int]:
    """(calls of a network in their order, number of the logits); nested models are taken apart."""
    calls: list[Call] = []
    (logits,) = _unfold(network, [_IMAGES], calls)
    return calls, logits


def _unfold(network: keras.Model, taken: Sequence[int], calls: list[Call]) -> list[int]:
    """Appends the calls of a model of the tensors `taken`; gives the numbers of its outputs."""
    graph = getattr(network, "_functional", None) or network  # which Sequential has inside
    numbers = dict(zip(map(id, graph.inputs), taken, strict=True))
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            reads = [numbers[id(symbol)] for symbol in node.input_tensors]
            if is_open(node.operation):
                writes = _unfold(node.operation, _cast(node, reads, calls), calls)
            else:
                writes = _append(calls, node.operation, node, reads, node.outputs)
            numbers |= dict(zip(map(id, node.outputs), writes, strict=True))
    return [numbers[id(symbol)] for symbol in graph.outputs]


def _append(calls, operation, node, reads, symbols):
    """Appends a call; gives the numbers of its outputs, which rise from call to call."""
    first = calls[-1].writes[-1] + 1 if calls else _IMAGES + 1
    writes = list(range(first, first + len(symbols)))
    calls.append(Call(operation, node, tuple(reads), tuple(writes), tuple(symbols)))
    return writes


def _cast(node, reads, calls):
    """Numbers of what a nested model is given in the dtypes that it takes, as Keras casts them."""
    cast = []
    inputs = node.operation.inputs
    for number, symbol, inside in zip(reads, node.input_tensors, inputs, strict=True):
        if symbol.dtype != inside.dtype:
            (number,) = _append(calls, _Cast(inside.dtype), None, [number], [inside])
        cast.append(number)
    return cast


@dataclasses.dataclass(frozen=True)
class _Cast:
    """An operation that gives a tensor in a dtype."""

    dtype: str

    def __call__(self, tensor: tf.Tensor) -> tf.Tensor:
        return tf.cast(tensor, self.dtype)


def costs_of(network: keras.Model) -> list[int]:
    """Multiply-adds of each call for one image; operations that are not known count as nothing."""
    calls, _ = calls_of(network)
    costs: list[int] = []
    with tf.Graph().as_default() as graph:
        images = tf.zeros((1, *network.input_shape[1:]), network.inputs[0].dtype)
        values = {_IMAGES: images}
        for call in calls:
            begin = len(graph.get_operations())
            pairs = [(v, tf.zeros(v.shape, v.dtype)) for v in call.variables]
            with keras.StatelessScope(state_mapping=pairs):
                call(values, training=False)
            costs.append(sum(map(_cost, graph.get_operations()[begin:])))
    return costs


def _cost(operation: tf.Operation) -> int:
    try:
        return multiply_adds(operation)
    except ConfigError:  # the balance is a little off, the result is not
        return 0


def _crossing(calls, logits, images):
    """Place of a possible cut -> {number: keras.KerasTensor} of the tensors that cross there.

    A cut at place i is before the i-th call.
    """
    last_read = {logits: len(calls)}
    last_use: dict[int, int] = {}
    for place, call in enumerate(calls):
        last_read |= {number: place for number in call.reads if number != logits}
        last_use |= {id(variable): place for variable in call.variables}
    crossing, alive = {}, {_IMAGES: images}
    open_until = 0  # the last use of a weight that was used before
    for place, call in enumerate(calls[:-1]):
        alive = alive | dict(zip(call.writes, call.symbols, strict=True))
        alive = {n: symbol for n, symbol in alive.items() if last_read.get(n, 0) > place}
        open_until = max([open_until, *(last_use[id(v)] for v in call.variables)])
        floating = all(symbol.dtype in _FLOATING for symbol in alive.values())
        if len(alive) <= MOST_TENSORS and floating and open_until <= place:
            crossing[place + 1] = alive
    return crossing


def _values(symbol: Any) -> int:
    """How many values a tensor has for an image."""
    return math.prod(side or 1 for side in symbol.shape[1:])


def _cuts(costs: Sequence[int], sizes: dict[int, int], count: int) -> list[int]:
    """The places of `count - 1` cuts.

    Args:
      costs: of each call.
      sizes: place of a possible cut -> values that go over it.
      count: of stages.
    """
    places = [0, *sizes, len(costs)]
    weights = np.array([0, *sizes.values(), 0], float)
    before = np.concatenate([[0], np.cumsum(costs)])[places].astype(float)
    loads = before[None, :] - before[:, None]  # [from, to]
    loads[np.tril_indices(len(places))] = np.inf  # no stage is empty
    least = loads[0]  # the largest stage, if the last one ends there
    for _ in range(count - 1):
        least = np.min(np.maximum(least[:, None], loads), axis=0)
    allowed = np.where(loads <= least[-1] * (1 + _TOLERANCE), 0.0, np.inf)
    total, choices = allowed[0] + weights, []
    for _ in range(count - 1):
        sums = total[:, None] + allowed
        choices.append(np.argmin(sums, axis=0))
        total = np.min(sums, axis=0) + weights
    cuts, end = list[int](), len(places) - 1
    for choice in reversed(choices):
        end = int(choice[end])
        cuts.insert(0, places[end])
    return cuts
