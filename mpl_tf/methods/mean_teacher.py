"""Mean Teacher (Tarvainen & Valpola, NeurIPS 2017, arXiv 1703.01780)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import losses, schedules
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import NO_STRONG_VIEW, NO_TEACHER, Method, MethodConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class MeanTeacherConfig(MethodConfig):
    """Hyperparameters of MeanTeacher; the defaults are the paper's for CIFAR-10."""

    unlabeled_weight: float = option(
        100.0, "Weight of the consistency loss after its ramp, at least 0.", low=0
    )
    ramp_steps: int = option(
        40_000, "Steps over which that weight rises along exp(-5 (1 - t)^2).", low=0
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the mean teacher's weights (the paper's alpha), in [0, 1).", low=0, below=1
    )


@final
class MeanTeacher(Method):
    """The moving average of the network is the teacher of the network.

        q = softmax(ema(weak_2))                      with noise of its own
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * ramp * mean_i,k (q_ik - softmax(S(weak_i))_k)^2
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Tarvainen & Valpola 2017, section 2. The teacher predicts in training mode, as in the paper: on
    another weak view, with dropout, and with the statistics of its own batch, which move its
    moving statistics before they are averaged with the student's. `ema` is that teacher.

    Consistency is asked of the unlabeled images, among which the labeled ones are unless they were
    excluded. The paper averages both losses over all images of a batch and scales the weight by
    the share of labeled ones; with each loss averaged over its own images that factor cancels.

    Args:
      student: built keras.Model of logits [N, K].
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of MeanTeacherConfig.
    """

    Config = MeanTeacherConfig
    cost = "student B + U, teacher U forward"
    unlabeled_views = ("weak", "weak_2")
    idle_options = NO_TEACHER | NO_STRONG_VIEW
    defaults: ClassVar = {"finetune_steps": 0}

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = MeanTeacherConfig(**hyperparameters)
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "pseudo_label_accuracy",
            "student_learning_rate",
        )
        super().__init__(config, student, seed=seed, strategy=strategy, train_logs=logs)

    def compile(self, student_optimizer, **kwargs):
        """As Engine.compile, with the student's keras.optimizers.Optimizer."""
        super().compile(**kwargs)
        self.student_optimizer = self.prepare_optimizer(
            student_optimizer, self.student, "student_optimizer"
        )

    def train_step(self, batch):
        """One step.

        Args:
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, and `weak` and
            `weak_2` [U,H,W,C], two views of the same unlabeled images.
        """
        c, variables = self.config, self.student.trainable_variables
        rate = self.student_optimizer.learning_rate
        (teacher_logits,) = self.passes(self.ema, batch["weak_2"])
        target = tf.nn.softmax(teacher_logits)  # [U, K]
        with tf.GradientTape() as tape:
            labeled_logits, weak_logits = self.passes(self.student, batch["labeled"], batch["weak"])
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], labeled_logits, c.label_smoothing)
            )
            unlabeled = tf.reduce_mean(losses.squared_error(tf.nn.softmax(weak_logits), target))
            ramp = tf.cast(schedules.gaussian_ramp(self.step, c.ramp_steps), unlabeled.dtype)
            loss = supervised + c.unlabeled_weight * ramp * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(target, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            student_learning_rate=rate,
        )
