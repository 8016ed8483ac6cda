"""The passes of a network in training, as programs: forward, backward, and twice backward."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from mpl_tf.networks.programs import ROWS, Operation, Program, program


@dataclasses.dataclass(frozen=True)
class Traced:
    """A pass forward and what is differentiated of it, in one program.

    Attributes:
      operations: of the pass forward; backward; twice backward.
      images, logits: numbers of the tensors that the pass takes and gives.
      upstream: of the gradient by the logits, which goes backward.
      gradient: of the gradient's parts, in the order of the trainable variables; with None for
        those that are no memory.
      directions: of the tensors, like `gradient`, whose product with it is differentiated.
      credit: of the derivative of that product by `upstream`.
      most: no number is greater.
    """

    operations: tuple[list[Operation], list[Operation], list[Operation]]
    images: int
    logits: int | None
    upstream: int
    gradient: list[int | None]
    directions: list[int]
    credit: int | None
    most: int


class Passes:
    """The passes of a network; each is traced when it is asked for.

    Args:
      network: keras.Model, images [N, H, W, C] -> logits [N, K]; its weights need no values.

    Attributes:
      trainable: how many values its trainable variables have.
      other: how many its other ones have, such as batch statistics.
    """

    def __init__(self, network: keras.Model):
        self._network = network
        self.trainable = _values(network.trainable_variables)
        self.other = _values(network.non_trainable_variables)

    @functools.cached_property
    def inference(self) -> list[Operation]:
        """The pass of a trained network."""
        graph = _graph(lambda images: self._network(images, training=False), [self._images()])
        return program(graph, graph.outputs).operations

    @functools.cached_property
    def by_weights(self) -> Traced:
        """Forward in training, backward to the weights, and backward."""
        return self._traced(by_images=False, twice=False)

    @functools.cached_property
    def by_weights_twice(self) -> Traced:
        """The same, and backward once more: how a step along the gradient depends on `upstream`."""
        return self._traced(by_images=False, twice=True)

    @property
    def training(self) -> Traced:
        """Forward in training and backward to the weights, of whichever trace there is."""
        twice = "by_weights_twice" in vars(self)
        return self.by_weights_twice if twice else self.by_weights

    @functools.cached_property
    def by_images(self) -> Traced:
        """Forward in training, and backward to the images."""
        return self._traced(by_images=True, twice=False)

    def _images(self):
        inputs = self._network.inputs[0]
        return tf.TensorSpec((ROWS, *inputs.shape[1:]), inputs.dtype)

    def _traced(self, by_images: bool, twice: bool) -> Traced:
        network = self._network
        variables = network.trainable_variables
        bounds: list[int] = []
        (classes, *_) = {network.output_shape[1:]}
        specs = [self._images(), tf.TensorSpec((ROWS, *classes), network.outputs[0].dtype)]
        if twice:
            specs += [tf.TensorSpec(v.shape, v.dtype) for v in variables]

        def run(images, upstream, *directions):
            graph = tf.compat.v1.get_default_graph()

            def mark():
                bounds.append(len(graph.get_operations()))

            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(upstream)
                with tf.GradientTape(watch_accessed_variables=not by_images) as tape:
                    tape.watch(images)
                    logits = network(images, training=True)
                mark()
                sources = images if by_images else [v.value for v in variables]
                gradient = tape.gradient(logits, sources, output_gradients=upstream)
            mark()
            credit = None
            gradient = tf.nest.flatten(gradient)
            if directions:
                pairs = [(g, d) for g, d in zip(gradient, directions, strict=True) if g is not None]
                gradients, along = zip(*pairs, strict=True)
                credit = outer.gradient(list(gradients), upstream, output_gradients=list(along))
            traced.append((logits, gradient, credit))
            return [t for t in (logits, credit, *gradient) if t is not None]

        traced: list[tuple] = []
        graph = _graph(run, specs)
        ((logits, gradient, credit),) = traced
        whole = program(graph, graph.outputs)
        images, upstream, *directions = graph.inputs[: len(specs)]
        return Traced(
            _parts(whole, graph, bounds),
            whole.number_of[id(images)],
            _number(whole, logits),
            whole.number_of[id(upstream)],
            [_number(whole, each) for each in gradient],
            [whole.number_of[id(each)] for each in directions],
            _number(whole, credit),
            max(n for each in whole.operations for n in (*each.inputs, *each.outputs)),
        )


def _values(variables):
    return sum(math.prod(variable.shape) for variable in variables)


def _number(whole: Program, tensor: tf.Tensor | None) -> int | None:
    return None if tensor is None else whole.number_of.get(id(tensor))


def _graph(function, specs: Sequence[tf.TensorSpec]) -> tf.Graph:
    return tf.function(function, autograph=False).get_concrete_function(*specs).graph


def _parts(whole: Program, graph: tf.Graph, bounds: Sequence[int]):
    """The operations of a program by the pass in which they were traced."""
    parts: tuple[list[Operation], ...] = ([], [], [])
    place = {id(each): index for index, each in enumerate(graph.get_operations())}
    part = 0
    for operation in whole.operations:
        index = place.get(id(operation.source))  # those of functions follow the call
        if index is not None:
            part = sum(index >= bound for bound in bounds)
        parts[part].append(operation)
    return parts
