"""Forward passes of a network in training: whole or in microbatches, kept or computed twice."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine.batch_statistics import PassCounts, averaging
from mpl_tf.engine.pipeline import Pipeline, beside
from mpl_tf.engine.turns import Line

_NARROW = ("float16", "bfloat16")


class _StandIns(threading.local):
    """id of a variable -> tensor in its place; None outside of `at`. Each replica has a thread."""

    values: dict[int, tf.Tensor] | None = None


@dataclasses.dataclass(frozen=True)
class Forward:
    """How a step runs its networks.

    Attributes:
      accumulate_steps: int, at least 1: in how many microbatches a batch goes through a network,
        one after the other. What was computed forward is thrown away and computed again when its
        gradient is wanted, so that one microbatch at a time needs memory.
      recompute: bool, whether to compute twice with a single microbatch too.
      compiled: bool, whether XLA compiles each pass by itself. Passes hold no collective, so that
        this works on several replicas, where a whole step cannot be compiled; a network with
        synchronised batch normalisation has collectives inside and cannot be compiled so.
      passes: batch_statistics.PassCounts, the passes of networks whose batch statistics start anew.
      pipeline: pipeline.Pipeline of networks that are divided over devices, through which the
        microbatches flow; None if each is on one. It computes all passes twice as well.
    """

    accumulate_steps: int = 1
    recompute: bool = False
    compiled: bool = False
    passes: PassCounts = dataclasses.field(default_factory=PassCounts)
    pipeline: Pipeline | None = None
    _stand_ins: _StandIns = dataclasses.field(default_factory=_StandIns)
    _line: Line = dataclasses.field(default_factory=Line)

    @contextlib.contextmanager
    def at(self, values: dict[int, tf.Tensor]) -> Iterator[None]:
        """Inside, passes compute with tensors in place of variables, and move no variable.

        Args:
          values: id of a variable -> tensor, of weights and of states, which move on from pass to
            pass. Other variables have their own values.
        """
        self._stand_ins.values = dict(values)
        try:
            yield
        finally:
            self._stand_ins.values = None

    def weights_of(self, network: keras.Model) -> list[Any]:
        """What a gradient of passes is taken by: the trainable variables, or what stands in."""
        values = self._stand_ins.values
        variables = network.trainable_variables
        return variables if values is None else self._read(variables)

    def state_of(self, network: keras.Model) -> list[tf.Tensor]:
        """Values of a network's batch statistics and random states, or what stands in for them."""
        return self._read(network.non_trainable_variables)

    def _read(self, variables: Iterable[keras.Variable]) -> list[tf.Tensor]:
        values = self._stand_ins.values or {}
        return [tf.convert_to_tensor(values.get(id(v), v)) for v in variables]

    @property
    def rematerialize(self) -> bool:
        """Whether passes are computed again for a gradient that cannot be differentiated."""
        return self.pipeline is None and (self.recompute or self.accumulate_steps > 1)

    def __call__(
        self, network: keras.Model, *parts: tf.Tensor, keep_state: bool = False
    ) -> list[tf.Tensor]:
        """Logits of a network in training mode; batch statistics and dropout seeds move on.

        All parts share one batch, or each microbatch, and so its batch statistics. A gradient tape
        around the call sees the network's trainable variables.

        Args:
          network: keras.Model of logits.
          *parts: images [N_j,H,W,C] each; with microbatches each N_j divides by their number.
          keep_state: bool, whether statistics and seeds stay as they are instead; the next pass
            then draws the same dropout masks, row by row.

        Returns:
          list of logits [N_j, K], one for each part, in float32 if the network computes in less.
        """
        sizes = [part.shape[0] or tf.shape(part)[0] for part in parts]  # static if known
        values = self._stand_ins.values
        count = None if keep_state or values is not None else self.passes.of(network)
        before = None if count is None else tf.convert_to_tensor(count)
        plain = not (self.rematerialize or self.compiled or keep_state)
        if plain and self.pipeline is None and values is None:
            with averaging(network, before):
                logits = tf.split(to_float32(network(_joined(parts), training=True)), sizes)
        else:
            weights = self._read(network.trainable_variables)
            state = self.state_of(network)
            if self.pipeline is not None:
                groups = self.microbatches(*parts)
                each, state = self.pipeline(
                    network, weights, state, list(map(_joined, groups)), before
                )
                logits = _rows([to_float32(rows) for rows in each], groups[0])
            elif self.rematerialize:
                *logits, state = self._rematerialized(network, weights, state, parts, before)
            else:
                with averaging(network, before):
                    joint, state = self.stateless(network, weights, state, _joined(parts))
                logits = tf.split(joint, sizes)
            if not keep_state:
                for variable, value in zip(network.non_trainable_variables, state, strict=True):
                    if values is None:
                        variable.assign(value)
                    else:
                        values[id(variable)] = value
        if count is not None:
            count.assign_add(self.accumulate_steps)
        return logits

    def stateless(
        self,
        network: keras.Model,
        weights: list[tf.Tensor],
        state: list[tf.Tensor],
        images: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """A pass that changes nothing.

        Args:
          network: keras.Model of logits.
          weights: list of tensors, values for its trainable variables.
          state: list of tensors, values for its other variables.
          images: [N,H,W,C].

        Returns:
          (logits [N, K], the state that the pass leaves).
        """

        if self.pipeline is not None:
            (logits,), state = self.pipeline(network, weights, state, [images])
            return to_float32(logits), state

        def run(weights, state, images):
            logits, state = network.stateless_call(weights, state, images, training=True)
            return to_float32(logits), state

        if self.compiled:
            run = tf.function(run, jit_compile=True, autograph=False)
        return run(weights, state, images)

    def evaluated(self, network: keras.Model, images: tf.Tensor) -> tf.Tensor:
        """Logits [N, K] of images [N,H,W,C] without training."""
        if self.pipeline is not None and self.pipeline.holds(network):
            return self.pipeline.evaluated(network, images)
        return network(images, training=False)

    def beside(self, variable: keras.Variable) -> contextlib.AbstractContextManager[Any]:
        """Operations inside are on the device of a variable, if networks are divided."""
        return contextlib.nullcontext() if self.pipeline is None else beside(variable)

    def microbatches(self, *tensors: tf.Tensor) -> list[tuple[tf.Tensor, ...]]:
        """list of tuples: the rows of all tensors, cut into `accumulate_steps` equal parts."""
        count = self.accumulate_steps
        return list(zip(*(tf.split(t, count) if count > 1 else [t] for t in tensors), strict=True))

    def gradient_by_images(
        self,
        network: keras.Model,
        images: tf.Tensor,
        offset: tf.Tensor,
        loss: Callable[..., tf.Tensor],
        *rows: tf.Tensor,
    ) -> tf.Tensor:
        """Gradient of a loss by what is added to images; the network's state stays as it is.

        Args:
          network: keras.Model of logits.
          images: floating [N,H,W,C].
          offset: likewise, added to them.
          loss: function of the logits [n, K] of a microbatch and its `rows` -> scalar.
          *rows: tensors [N, ...] for `loss`.

        Returns:
          Floating [N,H,W,C].
        """
        weights = self._read(network.trainable_variables)
        state, gradients = self.state_of(network), []
        for group, change, *others in self.microbatches(images, offset, *rows):
            if self.rematerialize:
                group = self._line.after(group)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(change)
                logits, state = self.stateless(network, weights, state, group + change)
                value = loss(logits, *others)
            gradients.append(tape.gradient(value, change))
            self._line.done(gradients[-1:])
        return tf.concat(gradients, 0)

    def _rematerialized(self, network, weights, state, parts, passes):
        """[logits of each part, ..., state after it]; the gradient runs the pass again."""
        groups = self.microbatches(*parts)

        @tf.custom_gradient
        def run(*variables):
            weights = list(variables)
            logits: list[tf.Tensor] = []
            states = [state]
            for number, group in enumerate(groups):
                images = self._line.after(_joined(group))
                with averaging(network, None if passes is None else passes + number):
                    out, left = self.stateless(network, weights, states[-1], images)
                logits.append(out)
                states.append(left)
                self._line.done([out])

            def backward(upstream, *_state):
                self._line.backward(run)
                total: list[tf.Tensor] = []
                directions = tf.split(upstream, len(groups))
                for group, before, direction in zip(groups, states, directions, strict=False):
                    images = self._line.after(_joined(group), upstream)
                    with tf.GradientTape(watch_accessed_variables=False) as tape:
                        tape.watch(weights)
                        again, _ = self.stateless(network, weights, before, images)
                    part = tape.gradient(again, weights, direction, unconnected_gradients="zero")
                    total = [a + b for a, b in zip(total, part, strict=True)] if total else part
                    self._line.done(total)
                return total

            return (tf.concat(logits, 0), *states[-1]), backward

        joint, *left = run(*weights)
        return [*_rows(tf.split(joint, len(groups)), groups[0]), left]


def _rows(logits, parts):
    """The logits of each part, from those of microbatches in which the parts follow each other."""
    sizes = [part.shape[0] or tf.shape(part)[0] for part in parts]
    of_groups = [tf.split(rows, sizes) for rows in logits]
    return [tf.concat(part, 0) for part in zip(*of_groups, strict=True)]


def _joined(parts):
    return tf.concat(parts, 0) if len(parts) > 1 else parts[0]


def to_float32(logits: tf.Tensor) -> tf.Tensor:
    """Logits in float32 if they come in less: sums of exponentials need the digits."""
    return tf.cast(logits, tf.float32) if logits.dtype.name in _NARROW else logits
