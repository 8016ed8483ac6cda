"""Finetuning on the labeled images alone, the last phase of every method that has one."""

from typing import final

import tensorflow as tf

from mpl_tf import losses
from mpl_tf.methods.engine import Engine


@final
class Finetuning(Engine):
    """Trains one network on labels with plain cross entropy (Pham et al. 2021, section 3.2).

        w <- optimizer(w, grad mean_i cross_entropy(label_i, network(x_i; w)))

    Args:
      network: keras.Model of logits; trained in place.
      strategy: tf.distribute.Strategy the network was built under; None is the current one.
    """

    def __init__(self, network, strategy=None):
        super().__init__(strategy, ("finetune_loss",), name="finetuning")
        self.network = network

    @property
    def networks(self):
        return {"finetuned": self.network}

    def compile(self, optimizer, **kwargs):
        """As Engine.compile, with the optimizer (keras.optimizers.Optimizer) of the network."""
        super().compile(**kwargs)
        variables = self.network.trainable_variables
        self.network_optimizer = self.prepare_optimizer(optimizer, variables, "optimizer")

    def train_step(self, batch):
        """One step on a dict with `labeled` [B,H,W,C] images and `label` [B] class ids."""
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.network(batch["labeled"], training=True)
            target = losses.one_hot(batch["label"], logits.shape[-1], dtype=logits.dtype)
            loss = tf.reduce_mean(losses.cross_entropy(target, logits))
        self.update(self.network_optimizer, tape.gradient(loss, variables), variables)
        self.log(finetune_loss=loss)
