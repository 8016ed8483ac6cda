"""Sharpness-aware minimisation (Foret et al., ICLR 2021, arXiv 2010.01412): a step's gradient."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, final

import keras
import tensorflow as tf

from mpl_tf.engine import replicas, update
from mpl_tf.engine.lesson import Lesson
from mpl_tf.options import ConfigError

PERTURBATIONS = ("global", "replica")


@dataclasses.dataclass(frozen=True)
class Before:
    """What a trainer holds before a step's first pass, for the second one.

    Attributes:
      states: id of a variable -> value, of the batch statistics and random states of networks.
      memory: (variable, value) of what the trainer itself remembers.
    """

    states: dict[int, tf.Tensor]
    memory: list[tuple[keras.Variable, tf.Tensor]]


@final
@dataclasses.dataclass(frozen=True)
class Sharpness:
    """SAM: the gradient where the weights are worse by a step of length rho, for each network.

        g  = grad L(w) + weight_decay * w
        e  = rho * g / |g|
        w <- optimizer(w, grad L(w + e) + weight_decay * (w + e))

    |g| is the length over all trained weights of a network. e is held constant: the second
    gradient does not go through it. Foret et al. 2021, equations 2 and 3, and algorithm 1.

    The second pass has the batch and the dropout masks of the first, and batch statistics of its
    own. It leaves no trace: moving statistics, random states, what a method remembers of its
    predictions, and logs are those of the first pass.

    Attributes:
      rho: at least 0; 0 takes the gradient as it is.
      along: "global": g is averaged over replicas, so that they compute what one would.
        "replica": each has an e of its own, of its part of the batch, and the second gradients are
        averaged (the paper's section 4.1, m-sharpness).
    """

    rho: float = 0.0
    along: str = PERTURBATIONS[0]

    def before(self, trainer: Any) -> Before | None:
        """What a step reads before its first pass; None without SAM.

        Args:
          trainer: engine.trainer.Trainer whose step this is.
        """
        if not self.rho:
            return None
        states = [
            v for network in trainer.networks.values() for v in network.non_trainable_variables
        ]
        of_layers = {id(v) for layer in trainer.layers for v in layer.variables}
        memory = [v for v in trainer.weights if id(v) not in of_layers]
        return Before(
            {id(v): tf.convert_to_tensor(v) for v in states},
            [(v, tf.convert_to_tensor(v)) for v in memory],
        )

    def gradient(
        self,
        trainer: Any,
        optimizer: keras.optimizers.Optimizer,
        network: keras.Model,
        gradient: update.Gradient,
        before: Before | None,
        loss: Callable[[], tf.Tensor],
    ) -> update.Gradient:
        """The gradient that a step takes.

        Args:
          trainer: engine.trainer.Trainer whose step this is.
          optimizer: of the network.
          network: keras.Model whose weights move.
          gradient: this replica's at w, of `optimizer.scale_loss(loss)`.
          before: what `before` gave at the beginning of the step.
          loss: gives the loss once more; its passes are made by `trainer.forward`.

        Returns:
          Like `gradient`; itself without SAM.

        Raises:
          ConfigError: the loss does not depend on what `trainer.forward` computes.
        """
        if before is None:
            return gradient
        factor = update.scale_of(optimizer)
        change = self._change(trainer, network, update.unscale(gradient, factor))
        with self._perturbed(trainer, network, change, before) as weights:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                scaled = optimizer.scale_loss(loss())
            second = tape.gradient(scaled, weights)
        if all(part is None for part in second):
            raise ConfigError(
                "sam_rho computes a loss once more at other weights, which the passes of "
                f"self.forward have; {type(trainer).__name__} calls {network.name} by itself. "
                "Write self.forward(network, images), or leave sam_rho out."
            )
        second = update.unscale(second, factor)
        return update.scale(_with_decay(trainer, network, second, change), factor)

    def lesson(
        self,
        trainer: Any,
        network: keras.Model,
        learn: Callable[[], Lesson],
    ) -> tuple[Lesson, update.Gradient]:
        """A lesson, and the gradient that a step takes.

        Args:
          trainer: engine.trainer.Trainer whose step this is.
          network: keras.Model that learns.
          learn: gives an engine.lesson.Lesson; its passes are made by `trainer.forward`.

        Returns:
          (lesson at w + e, its gradient with what weight decay has of e), unscaled; without SAM
          those at w.
        """
        before, lesson = self.before(trainer), learn()
        gradient = lesson.gradient
        if before is None:
            return lesson, gradient
        change = self._change(trainer, network, gradient)
        with self._perturbed(trainer, network, change, before):
            lesson = learn()
        return lesson, _with_decay(trainer, network, lesson.gradient, change)

    def _change(self, trainer, network, gradient):
        """e, of an unscaled gradient of this replica."""
        whole = _with_decay(trainer, network, gradient, network.trainable_variables)
        if self.along == "global":
            whole = replicas.mean_over_replicas(whole)
        length = tf.linalg.global_norm(whole)
        return [tf.math.divide_no_nan(tf.cast(self.rho, g.dtype) * g, length) for g in whole]

    @contextlib.contextmanager
    def _perturbed(
        self, trainer: Any, network: keras.Model, change: list[tf.Tensor], before: Before
    ) -> Iterator[list[tf.Tensor]]:
        """Inside, `trainer.forward` computes with the weights w + e, which it gives."""
        weights = [
            tf.convert_to_tensor(v) + e
            for v, e in zip(network.trainable_variables, change, strict=True)
        ]
        values = {id(v): w for v, w in zip(network.trainable_variables, weights, strict=True)}
        after = [(v, tf.convert_to_tensor(v)) for v, _ in before.memory]
        for variable, value in before.memory:
            variable.assign(value)
        with trainer.forward.at({**before.states, **values}), trainer.without_log():
            yield weights
        for variable, value in after:
            variable.assign(value)


def _with_decay(trainer, network, gradient, values):
    """gradient + weight_decay * values, one each for the trainable variables of a network."""
    variables = network.trainable_variables
    filled = update.filled(gradient, variables)
    return update.with_decay(filled, variables, trainer.weight_decay, values)
