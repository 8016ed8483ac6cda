"""Moving statistics of batch normalisation: where they start, and what belongs to averaged weights.

Keras starts them at mean 0 and variance 1, and after N passes they keep momentum^N of that: a third
after 100 passes at the usual 0.99. Here the first passes count alike (`formulas.averages`).

Averaged weights never made a pass in training: the average of the student's statistics is not what
their layers put out. `renew` computes it.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.engine.batches import class_ids
from mpl_tf.formulas import averages
from mpl_tf.networks.layers import all_layers

# As many batches, or steps if there were fewer, are enough for `renew`.
STATISTICS_BATCHES = 50

_LOCK = threading.Lock()  # of the momenta of layers


def normalisations(
    network: keras.layers.Layer, *, frozen: bool = False
) -> list[keras.layers.BatchNormalization]:
    """The batch normalisations of a network whose statistics move, also inside of other layers.

    Args:
      network: any.
      frozen: whether frozen ones count as well, whose statistics stay.
    """
    norms = filter(
        lambda layer: isinstance(layer, keras.layers.BatchNormalization), all_layers(network)
    )
    return [layer for layer in norms if frozen or layer.trainable]


class PassCounts:
    """How many passes in training mode have moved the statistics of a network.

    A pass through a model around the network, such as one with another head, counts as well.
    """

    def __init__(self) -> None:
        self._by_layer: dict[int, keras.Variable] = {}

    def add(self, network: keras.Model, count: keras.Variable) -> None:
        """Has `count`, an int64 scalar from 0 on, count the passes of a network."""
        layers = normalisations(network, frozen=True)  # which may be unfrozen until `compile`
        self._by_layer |= {id(layer): count for layer in layers}

    def __len__(self) -> int:
        """How many counts there are."""
        return len({id(count) for count in self._by_layer.values()})

    def of(self, network: keras.Model) -> keras.Variable | None:
        """The count of a network; None if nothing counts its passes, or all is frozen."""
        counts = (self._by_layer.get(id(layer)) for layer in normalisations(network))
        return next((count for count in counts if count is not None), None)


class _Momentum:
    """A momentum in place of a layer's own, which each thread sets for itself.

    Strategies trace each replica in a thread, and change threads in the middle of a pass, so that
    passes of different numbers go through one layer side by side.
    """

    def __init__(self, layer: keras.layers.BatchNormalization):
        self.usual, self.layer = layer.momentum, layer
        self.passes = 0  # that are under way
        self.of_thread = threading.local()

    def __rmul__(self, value: tf.Tensor) -> tf.Tensor:
        return value * self.of_thread.decay

    def __rsub__(self, value: float) -> tf.Tensor:
        return value - self.of_thread.decay

    def enter(self, passes: tf.Tensor) -> None:
        wide = tf.float64 if self.layer.compute_dtype == "float64" else tf.float32
        self.of_thread.decay = averages.mean_decay(passes, self.usual, wide)
        self.passes += 1
        self.layer.momentum = self

    def leave(self) -> None:
        self.passes -= 1
        if not self.passes:
            self.layer.momentum = self.usual


@contextlib.contextmanager
def averaging(network: keras.Model, passes: tf.Tensor | None) -> Iterator[None]:
    """Inside, a pass moves the statistics of a network as its number asks.

        moving <- d * moving + (1 - d) * batch,   d = averages.mean_decay(passes, momentum)

    Args:
      network: whose layers have their momentum replaced until the end.
      passes: integer scalar, the passes before; None changes nothing.
    """
    layers = [] if passes is None else normalisations(network)
    with _LOCK:
        momenta = [
            layer.momentum if isinstance(layer.momentum, _Momentum) else _Momentum(layer)
            for layer in layers
        ]
        for momentum in momenta:
            momentum.enter(passes)
    try:
        yield
    finally:
        with _LOCK:
            for momentum in momenta:
                momentum.leave()


def renew(method: Any, data: Iterable[dict[str, tf.Tensor]], steps: int) -> None:
    """Gives the averaged network the mean of the batch statistics that its own weights cause.

        moving <- mean over batches of the statistics in the student's passes of a step,
                  made with the weights of `method.ema`

    So the network sees what the student has learned from: its views, mixtures, and all. Nothing
    else of the method is changed. Izmailov et al. 2018, section 3.2 (batch normalisation).

    Args:
      method: engine.method.Method. Networks without batch normalisation are left as they are.
      data: batches as `fit` takes them: tf.data.Dataset, or one that a strategy has distributed.
      steps: batches to take from it.
    """
    student, ema, strategy = method.student, method.ema, method.distribute_strategy
    if not steps or not normalisations(ema):
        return

    if method.passes_function is None:  # traced once, as train_function is
        method.passes_function = _passes_function(method)
    if isinstance(data, tf.data.Dataset):
        data = strategy.experimental_distribute_dataset(data)
    with _restored_afterwards(method):
        _assign(student.variables, _values(ema.variables))
        method.pass_counts.of(student).assign(0)
        iterator = iter(data)
        for _ in range(steps):
            method.passes_function(iterator)
        statistics = _values(_statistics(student))
    _assign(_statistics(ema), statistics)


def _passes_function(method: Any) -> Callable[[Iterator], None]:
    def step(batch):
        method.student_passes(class_ids(batch, method.networks))
        method.step.assign_add(1)  # so that each batch has draws of its own

    def execute(iterator):
        method.distribute_strategy.run(step, args=(next(iterator),))

    return execute if method.run_eagerly else tf.function(execute, autograph=False)


@contextlib.contextmanager
def _restored_afterwards(method: Any) -> Iterator[None]:
    """Inside, a method may change: at the end all its variables, and its logs, are as before."""
    variables = [*method.variables, *(v for metric in method.metrics for v in metric.variables)]
    values = _values(variables)
    try:
        yield
    finally:
        _assign(variables, values)


def _statistics(network: keras.Model) -> list[keras.Variable]:
    return [v for layer in normalisations(network) for v in layer.non_trainable_variables]


def _values(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def _assign(variables: Iterable[keras.Variable], values: Iterable[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
