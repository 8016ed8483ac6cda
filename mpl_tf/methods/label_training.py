"""Training of one network on labels: finetuning, and the teachers of two-stage methods."""

from typing import final

import tensorflow as tf

from mpl_tf import losses
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.engine import Engine


@final
class LabelTraining(Engine):
    """Cross entropy on labels, one network, no moving average.

        w <- optimizer(w, grad mean_i cross_entropy(smooth(label_i), network(x_i; w)))

    Args:
      network: keras.Model of logits; trained in place.
      role: str, the network's name in logs: `<role>_loss`, `<role>_accuracy`.
      label_smoothing: float in [0, 1).
      strategy: tf.distribute.Strategy the network was built under; None is the current one.
    """

    def __init__(self, network, role, *, label_smoothing=0.0, strategy=None):
        super().__init__(strategy, (f"{role}_loss",), name=f"{role}_training")
        self.network, self.role, self.label_smoothing = network, role, label_smoothing

    @property
    def networks(self):
        return {self.role: self.network}

    def compile(self, optimizer, **kwargs):
        """As Engine.compile, with the optimizer (keras.optimizers.Optimizer) of the network."""
        super().compile(**kwargs)
        self.network_optimizer = self.prepare_optimizer(optimizer, self.network, "optimizer")

    def train_step(self, batch):
        """One step on a dict with `labeled` [B,H,W,C] images and `label` [B] class ids."""
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            (logits,) = self.passes(self.network, batch["labeled"])
            target = losses.one_hot(
                batch["label"], logits.shape[-1], self.label_smoothing, logits.dtype
            )
            loss = tf.reduce_mean(losses.cross_entropy(target, logits))
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.network_optimizer))
        self.update(self.network_optimizer, tape.gradient(scaled, variables), variables)
        self.log(**{f"{self.role}_loss": loss})
