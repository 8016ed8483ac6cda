"""ICT: Interpolation Consistency Training (Verma et al., IJCAI 2019, arXiv 1903.03825)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import losses, schedules
from mpl_tf.methods import loss_scaling, mixup
from mpl_tf.methods.base import NO_STRONG_VIEW, NO_TEACHER, Method, MethodConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class ICTConfig(MethodConfig):
    """Hyperparameters of ICT; the defaults are the authors' for CIFAR-10 with 4,000 labels."""

    mixup_alpha: float = option(
        1.0, "Images are mixed with a weight from Beta(alpha, alpha); 0 mixes nothing.", low=0
    )
    unlabeled_weight: float = option(
        100.0, "Weight of the consistency loss after its ramp, at least 0.", low=0
    )
    ramp_steps: int = option(
        46_000,
        "Steps over which that weight rises along exp(-5 (1 - t)^2); the authors': a quarter of "
        "the training.",
        low=0,
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the mean teacher's weights, in [0, 1).", low=0, below=1
    )


@final
class ICT(Method):
    """Between two images the prediction is to lie between the mean teacher's for the two.

        q = softmax(ema(weak))
        l ~ Beta(mixup_alpha, mixup_alpha);  j = a random order of the batch
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * ramp
               * mean_i,k (l q_i + (1 - l) q_j(i) - softmax(S(l weak_i + (1 - l) weak_j(i))))_k^2
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Verma et al. 2019, section 2, algorithm 1. As in the authors' code there is one l for a batch,
    and the teacher predicts in training mode. Their code also mixes the labeled images and mixes
    the teacher's logits; the paper does neither, and neither does this. Partners are drawn from the
    global batch.

    Args:
      student: built keras.Model of logits [N, K].
      seed: int, from which, with the step, the mixing is drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of ICTConfig.
    """

    Config = ICTConfig
    cost = "student B + U, teacher U forward"
    unlabeled_views = ("weak",)
    idle_options = NO_TEACHER | NO_STRONG_VIEW
    defaults: ClassVar = {"unlabeled_ratio": 1, "finetune_steps": 0}

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = ICTConfig(**hyperparameters)
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
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, and `weak`
            [U,H,W,C], unlabeled images.
        """
        c, variables = self.config, self.student.trainable_variables
        rate = self.student_optimizer.learning_rate
        (teacher_logits,) = self.passes(self.ema, batch["weak"])
        probs = tf.nn.softmax(teacher_logits)  # [U, K]
        (mixed,), (target,) = mixup.mix(
            [batch["weak"]], [probs], c.mixup_alpha, self.draw_seed(), one_weight=True
        )
        with tf.GradientTape() as tape:
            labeled = mixup.floating(batch["labeled"])
            labeled_logits, mixed_logits = self.passes(self.student, labeled, mixed)
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], labeled_logits, c.label_smoothing)
            )
            unlabeled = tf.reduce_mean(losses.squared_error(tf.nn.softmax(mixed_logits), target))
            ramp = tf.cast(schedules.gaussian_ramp(self.step, c.ramp_steps), unlabeled.dtype)
            loss = supervised + c.unlabeled_weight * ramp * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(probs, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            student_learning_rate=rate,
        )
