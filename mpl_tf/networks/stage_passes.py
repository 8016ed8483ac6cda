"""The passes of a stage in training, as programs, and the memory that one of them needs."""

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from mpl_tf.networks.allocation import Pieces
from mpl_tf.networks.liveness import Step, over_time
from mpl_tf.networks.programs import ROWS, program, steps
from mpl_tf.networks.stages import Stage, calls_of, costs_of, split

ONCE, TWICE = 1, 2


class StagePasses:
    """The passes of a stage, each of which computes it anew; they are traced when asked for.

    Args:
      stage: its weights need no values.
      symbols: number of a tensor of the network -> keras.KerasTensor.
      multiply_adds: of the stage forward, for an image.

    Attributes:
      trainable, other: how many values its trainable variables have, and its other ones.
      multiply_adds: as above.
      taken: bytes of what enters it, for an image.
    """

    def __init__(self, stage: Stage, symbols: dict[int, keras.KerasTensor], multiply_adds: int):
        self._stage, self.multiply_adds = stage, multiply_adds
        self._reads = [_spec(symbols[number]) for number in stage.reads]
        self._writes = [_spec(symbols[number]) for number in stage.writes]
        self.trainable, self.other = map(_values, (stage.trainable, stage.state))
        self.taken = sum(_bytes(spec) for spec in self._reads) // ROWS

    def peak(self, order: int, images: int) -> int:
        """Bytes in use at most while a gradient is computed, with the gradient.

        Args:
          order: ONCE, the gradient by the weights and by what enters the stage; or TWICE, the
            derivative by what comes back from the next stage of its product with a direction.
          images: how many go through at once.
        """
        made, results = self._once if order == ONCE else self._twice
        sequence: Sequence[Step] = steps(made, images)
        return max(over_time(sequence, results, Pieces()), default=0)

    @functools.cached_property
    def _once(self):
        return self._traced(ONCE)

    @functools.cached_property
    def _twice(self):
        return self._traced(TWICE)

    def _traced(self, order):
        stage, count = self._stage, len(self._reads)
        sources = [*self._reads, *(tf.TensorSpec(v.shape, v.dtype) for v in stage.trainable)]
        inputs = [*sources, *self._writes, *(sources if order == TWICE else [])]

        def run(*tensors):
            of_sources = tensors[: len(sources)]
            upstream = tensors[len(sources) : len(sources) + len(self._writes)]
            directions = tensors[len(sources) + len(self._writes) :]
            state = [tf.convert_to_tensor(v) for v in stage.state]
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(upstream)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(of_sources)
                    weights = of_sources[count:]
                    outputs, _ = stage(weights, state, of_sources[:count], training=True)
                gradient = tape.gradient(outputs, of_sources, upstream)
            if directions:
                pairs = [(g, d) for g, d in zip(gradient, directions, strict=True) if g is not None]
                gradient, along = zip(*pairs, strict=True)
                gradient = outer.gradient(list(gradient), list(upstream), list(along))
            return [each for each in gradient if each is not None]

        graph = tf.function(run, autograph=False).get_concrete_function(*inputs).graph
        whole = program(graph, graph.outputs)
        numbers = (whole.number_of.get(id(result)) for result in graph.outputs)
        return whole.operations, [number for number in numbers if number is not None]


def of_network(network: keras.Model, count: int) -> list[StagePasses]:
    """The passes of a network's stages, as `stages.split` cuts it.

    Args:
      network: keras.Model of logits; its weights need no values.
      count: of stages.

    Raises:
      ConfigError: it cannot be cut into as many.
    """
    divided, costs = split(network, count), costs_of(network)
    calls, _ = calls_of(network)
    symbols = {number: s for c in calls for number, s in zip(c.writes, c.symbols, strict=True)}
    (images,) = set(divided[0].reads)
    symbols[images] = network.inputs[0]
    made, begin = [], 0
    for stage in divided:
        end = begin + len(stage.calls)
        made.append(StagePasses(stage, symbols, sum(costs[begin:end])))
        begin = end
    return made


def _spec(symbol):
    return tf.TensorSpec((ROWS, *symbol.shape[1:]), symbol.dtype)


def _bytes(spec):
    return spec.shape.num_elements() * spec.dtype.size


def _values(variables):
    return sum(tf.TensorShape(variable.shape).num_elements() for variable in variables)
