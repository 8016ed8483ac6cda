"""Training of one network on labels: finetuning, and the teachers of two-stage methods."""

from typing import Any, final

import keras
import tensorflow as tf

from mpl_tf.engine.class_weights import ClassWeights
from mpl_tf.engine.logit_adjustment import LogitAdjustment
from mpl_tf.engine.trainer import Trainer
from mpl_tf.formulas import losses


@final
class LabelTraining(Trainer):
    """Cross entropy on labels, one network, no moving average.

        w <- optimizer(w, grad mean_i weight_i * cross_entropy(smooth(label_i), network(x_i; w)))

    Args:
      network: keras.Model of logits; trained in place.
      role: the network's name in logs: `<role>_loss`, `<role>_accuracy`.
      label_smoothing: in [0, 1).
      class_weight: of each label's class, as text; see `class_weights.as_text`.
      logit_adjustment: at least 0; see `logit_adjustment.LogitAdjustment`.
      strategy: tf.distribute.Strategy the network was built under; None is the current one.
      trained_before: whether the network's batch statistics are worth something; otherwise they
        start anew.
    """

    def __init__(
        self,
        network: keras.Model,
        role: str,
        *,
        label_smoothing: float = 0.0,
        class_weight: str = "",
        logit_adjustment: float = 0.0,
        strategy: tf.distribute.Strategy | None = None,
        trained_before: bool = False,
    ):
        super().__init__(strategy, name=f"{role}_training")
        self.network, self.role, self.label_smoothing = network, role, label_smoothing
        self.class_weights = ClassWeights(class_weight, network.output_shape[-1])
        self.logit_adjustment = LogitAdjustment(logit_adjustment)
        if not trained_before:
            self.start_statistics(network)

    @property
    def networks(self) -> dict[str, keras.Model]:
        return {self.role: self.network}

    def compile(self, optimizer: Any, **kwargs: Any) -> None:
        """As Trainer.compile, with an optimizer, as `keras.optimizers.get` takes it."""
        super().compile(**kwargs)
        self.network_optimizer = self.own_optimizer(optimizer, self.network, "optimizer")

    def train_step(self, batch: dict[str, tf.Tensor]) -> None:
        """One step on a dict with `labeled` [B,H,W,C] images and `label` [B] class ids."""
        optimizer, variables = self.network_optimizer, self.network.trainable_variables
        before = self.sharpness.before(self)
        with tf.GradientTape() as tape:
            loss = self._loss(batch)
            scaled = optimizer.scale_loss(loss)
        gradient = self.sharpness.gradient(
            self,
            optimizer,
            self.network,
            tape.gradient(scaled, variables),
            before,
            lambda: self._loss(batch),
        )
        self.update(optimizer, gradient, variables)
        self.log(**{f"{self.role}_loss": loss})

    def _loss(self, batch):
        (logits,) = self.forward(self.network, batch["labeled"])
        logits = self.logit_adjustment(logits)
        each = losses.label_loss(
            batch["label"], logits, self.label_smoothing, self.class_weights.array
        )
        return tf.reduce_mean(each)
