"""Temporal Ensembling (Laine & Aila, ICLR 2017, arXiv 1610.02242)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import distribution, ensembles, losses, schedules
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import NO_STRONG_VIEW, NO_TEACHER, Method, MethodConfig
from mpl_tf.options import ConfigError, option


@dataclasses.dataclass(frozen=True)
class TemporalEnsemblingConfig(MethodConfig):
    """Hyperparameters of TemporalEnsembling; the defaults are the paper's for CIFAR-10."""

    prediction_decay: float = option(
        0.6,
        "Decay of the predictions accumulated for an image from one visit to the next (the "
        "paper's alpha), in [0, 1).",
        low=0,
        below=1,
    )
    unlabeled_weight: float = option(
        30.0, "Weight of the consistency loss after its ramp (the paper's w_max).", low=0
    )
    ramp_steps: int = option(
        40_000, "Steps over which that weight rises along exp(-5 (1 - t)^2).", low=0
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )


@final
class TemporalEnsembling(Method):
    """What the network made of an image in earlier epochs is what it is to make of it now.

        z_i = softmax(S(weak_i))
        q_i = Z_i / (1 - a^visits_i)                  a: prediction_decay
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * ramp * mean_i [visits_i > 0] mean_k (q_ik - z_ik)^2
        S <- optimizer(S, grad_S loss)
        Z_i <- a * Z_i + (1 - a) * z_i;  visits_i <- visits_i + 1
        ema <- d * ema + (1 - d) * S

    Laine & Aila 2017, section 2.2, algorithm 2. The paper updates Z for all images at the end of
    an epoch, here each image's is updated when it was seen; as every image is seen once an epoch,
    the targets are the same. An image that was not seen yet has no target; the paper's weight is 0
    in the first epoch. Consistency is asked of the unlabeled images, among which the labeled ones
    are unless they were excluded; the paper's factor M / N of w_max cancels, because each loss is
    averaged over its own images here. The paper has no moving average of weights; `ema` is this
    project's.

    Args:
      student: built keras.Model of logits [N, K].
      num_unlabeled: int, images in the pool; the predictions take 4 * num_unlabeled * K bytes.
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of TemporalEnsemblingConfig.
    """

    Config = TemporalEnsemblingConfig
    cost = "student B + U"
    unlabeled_views = ("weak", "index")
    idle_options = NO_TEACHER | NO_STRONG_VIEW
    defaults: ClassVar = {"finetune_steps": 0}

    def __init__(self, student, *, num_unlabeled, seed=0, strategy=None, **hyperparameters):
        if num_unlabeled < 1:
            raise ConfigError(f"num_unlabeled must be at least 1; received {num_unlabeled}.")
        config = TemporalEnsemblingConfig(**hyperparameters)
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "pseudo_label_accuracy",
            "student_learning_rate",
        )
        super().__init__(config, student, seed=seed, strategy=strategy, train_logs=logs)
        with self.distribute_strategy.scope():
            zeros = {"initializer": "zeros", "trainable": False}
            shape, dtype = (num_unlabeled, student.output_shape[-1]), "float32"
            self.sums = self.add_weight(name="sums", shape=shape, dtype=dtype, **zeros)
            self.visits = self.add_weight(name="visits", shape=shape[:1], dtype="int64", **zeros)

    def compile(self, student_optimizer, **kwargs):
        """As Engine.compile, with the student's keras.optimizers.Optimizer."""
        super().compile(**kwargs)
        self.student_optimizer = self.prepare_optimizer(
            student_optimizer, self.student, "student_optimizer"
        )

    def train_step(self, batch):
        """One step.

        Args:
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, `weak`
            [U,H,W,C], unlabeled images, and `index` [U], their places in the pool.
        """
        c, variables, index = self.config, self.student.trainable_variables, batch["index"]
        rate = self.student_optimizer.learning_rate
        visits = tf.gather(self.visits, index)  # [U]
        target = ensembles.corrected(tf.gather(self.sums, index), visits, c.prediction_decay)
        with tf.GradientTape() as tape:
            labeled_logits, weak_logits = self.passes(self.student, batch["labeled"], batch["weak"])
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], labeled_logits, c.label_smoothing)
            )
            probs = tf.nn.softmax(weak_logits)
            error = losses.squared_error(probs, tf.cast(target, probs.dtype))
            unlabeled = tf.reduce_mean(tf.where(visits > 0, error, tf.zeros_like(error)))
            ramp = tf.cast(schedules.gaussian_ramp(self.step, c.ramp_steps), unlabeled.dtype)
            loss = supervised + c.unlabeled_weight * ramp * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.remember(index, probs)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(probs, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            student_learning_rate=rate,
        )

    def remember(self, index, probs):
        """Accumulates the predictions `probs` [U, K] of the images `index` [U] of all replicas."""
        index, probs = map(distribution.all_rows, (index, tf.cast(probs, tf.float32)))
        decay = self.config.prediction_decay
        sums, visits = ensembles.accumulate(
            tf.convert_to_tensor(self.sums), tf.convert_to_tensor(self.visits), index, probs, decay
        )
        self.sums.assign(sums)
        self.visits.assign(visits)
