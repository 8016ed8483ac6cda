"""Supervised learning on the labeled images alone: the baseline of every table."""

import dataclasses
from typing import final

import tensorflow as tf

from mpl_tf import losses
from mpl_tf.augment import mixing
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import NO_STRONG_VIEW, NO_TEACHER, Method, MethodConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class SupervisedConfig(MethodConfig):
    """Hyperparameters of Supervised."""

    mix: str = option(
        "none",
        "Mix labeled images and labels with others of the batch, by keras_cv, which draws random "
        "numbers of its own: such a run does not repeat exactly.",
        choices=("none", *mixing.KINDS),
    )


@final
class Supervised(Method):
    """Cross entropy on labels, nothing else.

        w <- optimizer(w, grad mean_i cross_entropy(smooth(label_i), student(x_i; w)))
        ema <- d * ema + (1 - d) * w

    With `mix`, images and smoothed labels are first mixed in pairs (MixUp, CutMix).

    Args:
      student: built keras.Model of logits [N, K].
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of SupervisedConfig.
    """

    Config = SupervisedConfig
    cost = "student B"
    idle_options = NO_TEACHER | NO_STRONG_VIEW | {"unlabeled_ratio", "exclude_labeled", "extra"}

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = SupervisedConfig(**hyperparameters)
        logs = ("student_loss", "student_learning_rate")
        super().__init__(config, student, seed=seed, strategy=strategy, train_logs=logs)

    def compile(self, student_optimizer, **kwargs):
        """As Engine.compile, with the student's keras.optimizers.Optimizer."""
        super().compile(**kwargs)
        self.student_optimizer = self.prepare_optimizer(
            student_optimizer, self.student, "student_optimizer"
        )

    def train_step(self, batch):
        """One step on a dict with `labeled` [B,H,W,C] images and `label` [B] class ids."""
        variables = self.student.trainable_variables
        rate, images = self.student_optimizer.learning_rate, batch["labeled"]

        def target(dtype):
            classes, smoothing = self.student.output_shape[-1], self.config.label_smoothing
            return losses.one_hot(batch["label"], classes, smoothing, dtype)

        mixed = None
        if self.config.mix != "none":
            images, mixed = mixing.mix(self.config.mix, images, target(tf.float32))
        with tf.GradientTape() as tape:
            (logits,) = self.passes(self.student, images)
            taught = target(logits.dtype) if mixed is None else tf.cast(mixed, logits.dtype)
            loss = tf.reduce_mean(losses.cross_entropy(taught, logits))
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log(student_loss=loss, student_learning_rate=rate)
