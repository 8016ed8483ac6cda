"""How the gradients of steps move weights: optimizers, and what an update does to a gradient."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine import update
from mpl_tf.engine.overflow import Overflow
from mpl_tf.engine.pipeline import update_beside
from mpl_tf.engine.steps import Steps
from mpl_tf.engine.user_networks import check_trainable
from mpl_tf.networks import parts


class Updates(Steps):
    """Abstract: steps that move the weights of networks by optimizers.

    Args:
      strategy: tf.distribute.Strategy; None is the current one.
      special_metrics: as for Steps.
      **kwargs: for keras.Model.

    Attributes:
      weight_decay, clip_norm, backbone_rate: what `Trainer.compile` was given.
      overflow: overflow.Overflow, which counts what float16 cannot hold.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None,
        special_metrics: dict[str, type[keras.metrics.Metric]] | None = None,
        **kwargs: Any,
    ):
        super().__init__(strategy, special_metrics, **kwargs)
        self.weight_decay, self.backbone_rate = 0.0, 1.0
        self.clip_norm: float | None = None
        self.overflow = Overflow(self.add_to_log)
        self._frozen_checks: dict[str, Callable[[], None]] = {}

    def own_optimizer(
        self, optimizer: Any, network: keras.Model, name: str
    ) -> keras.optimizers.Optimizer:
        """An optimizer for one of the networks; see `update.prepare_optimizer`.

        `fit` refuses to go on once other weights of the network are trainable than here.
        """
        pipeline = self.forward.pipeline
        if pipeline is not None:
            pipeline.check_holds(network, type(self).__name__)
        with self.distribute_strategy.scope():
            prepared = update.prepare_optimizer(optimizer, network, name)
        if pipeline is not None:
            update_beside(update.inner_optimizer(prepared))
        if self.backbone_rate != 1:
            update.check_rates(prepared, name)
        roles = [role for role, each in self.networks.items() if each is network]
        self.overflow.watch(prepared, roles[0] if roles else "student")  # or one around it
        paths = [variable.path for variable in network.trainable_variables]
        self._frozen_checks[name] = lambda: check_trainable(network, paths, name)
        return prepared

    @property
    def own_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Attribute -> optimizer, of those that this trainer's steps move weights by."""
        optimizers = keras.optimizers.Optimizer
        return {name: v for name, v in vars(self).items() if isinstance(v, optimizers)}

    def check_frozen(self) -> None:
        """Raises ValueError if other weights are trainable than when optimizers were made."""
        for check in self._frozen_checks.values():
            check()

    def update(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradient: list[tf.Tensor | None],
        variables: list[keras.Variable],
    ) -> None:
        """One optimizer step, as `compile` set it: unscale, reduce, add L2, clip, rates, apply.

        Args:
          optimizer: as `own_optimizer` returned it.
          gradient: this replica's, of `optimizer.scale_loss(loss)`; None where a variable has none.
          variables: those it belongs to.
        """
        gradient = update.unscale(gradient, update.scale_of(optimizer))
        reduced = update.reduce_gradient(gradient, variables, self.weight_decay)
        clipped = update.clip(reduced, self.clip_norm)
        self.apply(optimizer, self.at_rates(clipped, variables), variables)

    def at_rates(
        self, gradient: list[tf.Tensor], variables: list[keras.Variable]
    ) -> list[tf.Tensor]:
        """A gradient times `backbone_rate` in the variables of backbones: SGD's step at that rate.

        The velocity is linear in the gradients, so that this is another learning rate exactly.
        """
        if self.backbone_rate == 1:
            return gradient
        networks = filter(parts.has_parts, self.networks.values())
        slow = {id(v) for network in networks for v in parts.backbone(network).variables}
        return [
            self.backbone_rate * g if id(v) in slow else g
            for g, v in zip(gradient, variables, strict=True)
        ]

    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradient: list[tf.Tensor],
        variables: list[keras.Variable],
    ) -> None:
        """Applies a gradient that is the same on every replica; float16 skips what overflowed."""
        self.overflow.count_update(optimizer, gradient)
        update.apply(optimizer, gradient, variables)
