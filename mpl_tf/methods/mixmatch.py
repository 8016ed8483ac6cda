"""MixMatch (Berthelot et al., NeurIPS 2019, arXiv 1905.02249)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import losses, schedules
from mpl_tf.methods import loss_scaling, mixup
from mpl_tf.methods.base import NO_STRONG_VIEW, NO_TEACHER, Method, MethodConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class MixMatchConfig(MethodConfig):
    """Hyperparameters of MixMatch; the defaults are the paper's for CIFAR-10."""

    temperature: float = option(
        0.5, "Temperature that sharpens the guessed labels (the paper's T).", above=0
    )
    mixup_alpha: float = option(
        0.75, "Images are mixed with weights from Beta(alpha, alpha); 0 mixes nothing.", low=0
    )
    unlabeled_weight: float = option(
        75.0, "Weight of the loss on unlabeled images after its ramp (lambda_U).", low=0
    )
    ramp_steps: int = option(16_000, "Steps over which that weight rises linearly from 0.", low=0)
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the moving average of the student's weights, in [0, 1).", low=0, below=1
    )


@final
class MixMatch(Method):
    """Labels are guessed from two views, sharpened, and everything is mixed with everything.

        p = (softmax(S(weak)) + softmax(S(weak_2))) / 2
        q = p^(1 / temperature), made to sum to 1;  no gradient
        (X, P), (U, Q), (U', Q') = MixUp of (labeled, smooth(label)), (weak, q), (weak_2, q) with
            one another in a random order, each row with l = max(l, 1 - l) of itself
        loss = mean_i CE(P_i, S(X_i))
             + unlabeled_weight * ramp * mean_i,k (Q_ik - softmax(S(U_i))_k)^2    over U and U'
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Berthelot et al. 2019, algorithm 1 (K = 2) and section 3, equations 2 to 5 for the losses. The
    network guesses in training mode, and without a trace in its batch statistics, as in the
    authors' code. Partners are drawn from the global batch; labeled and unlabeled images share one
    batch, where the authors interleave batches.

    Args:
      student: built keras.Model of logits [N, K].
      seed: int, from which, with the step, the mixing is drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of MixMatchConfig.
    """

    Config = MixMatchConfig
    cost = "student B + 2U, and 2U forward"
    unlabeled_views = ("weak", "weak_2")
    idle_options = NO_TEACHER | NO_STRONG_VIEW
    defaults: ClassVar = {"unlabeled_ratio": 1, "finetune_steps": 0}

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = MixMatchConfig(**hyperparameters)
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
        rate, views = self.student_optimizer.learning_rate, [batch["weak"], batch["weak_2"]]
        guess = self.guess(views)  # [U, K]
        classes, smoothing = guess.shape[-1], c.label_smoothing
        taught = losses.one_hot(batch["label"], classes, smoothing, guess.dtype)  # [B, K]
        images, (label, *labels) = mixup.mix(
            [batch["labeled"], *views],
            [taught, guess, guess],
            c.mixup_alpha,
            self.draw_seed(),
            keep_larger=True,
        )
        with tf.GradientTape() as tape:
            labeled_logits, *logits = self.passes(self.student, *images)
            supervised = tf.reduce_mean(losses.cross_entropy(label, labeled_logits))
            probs = tf.nn.softmax(tf.concat(logits, 0))  # [2U, K]
            unlabeled = tf.reduce_mean(losses.squared_error(probs, tf.concat(labels, 0)))
            ramp = tf.cast(schedules.linear_ramp(self.step, c.ramp_steps), unlabeled.dtype)
            loss = supervised + c.unlabeled_weight * ramp * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(guess, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            student_learning_rate=rate,
        )

    def guess(self, views):
        """The sharpened mean prediction [U, K] of several views [U,H,W,C] of the same images."""
        logits = self.passes(self.student, *views, keep_state=True)
        mean = tf.add_n([tf.nn.softmax(z) for z in logits]) / len(logits)
        return losses.sharpen(tf.math.log(mean), self.config.temperature)
