"""UDA: Unsupervised Data Augmentation (Xie et al., NeurIPS 2020, arXiv 1904.12848)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import distribution, losses, schedules
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import NO_TEACHER, Method, MethodConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class UDAConfig(MethodConfig):
    """Hyperparameters of UDA; the defaults are the paper's for CIFAR-10."""

    temperature: float = option(
        0.4, "Temperature that sharpens the weak view's prediction (the paper's tau).", above=0
    )
    threshold: float = option(
        0.8,
        "Least confidence of the weak view's prediction, before it is sharpened, for an unlabeled "
        "image to count (the paper's beta); 0 counts all, above 1 none.",
        low=0,
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the consistency loss (the paper's lambda), at least 0.", low=0
    )
    signal_annealing: str = option(
        "none",
        "Training signal annealing: labeled images that the network gets right with more than a "
        "probability that rises from 1 / K to 1 are left out. none: all count. log: the labels "
        "are released early. exp: late, for the fewest labels.",
        choices=("none", "linear", "log", "exp"),
    )
    signal_annealing_steps: int = option(
        400_000, "Steps over which signal_annealing releases all labels.", low=1
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the moving average of the student's weights, in [0, 1).", low=0, below=1
    )


@final
class UDA(Method):
    """A strong view is to be seen as what the network, sharpened, makes of the weak one.

        p = stop_gradient(softmax(S(weak)));  q = stop_gradient(softmax(S(weak) / temperature))
        mask_i = max_k p_ik >= threshold
        kept_i = S(labeled_i)[label_i] as a probability <= signal_annealing's threshold
        loss = mean of CE(smooth(label_i), S(labeled_i)) over kept i
             + unlabeled_weight * mean_i mask_i * CE(q_i, S(strong_i))
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Xie et al. 2020, equation 1 (its divergence differs from the cross entropy by what has no
    gradient), section 2.2 (confidence mask, sharpening) and the appendix on signal annealing.
    Labeled, weak and strong images share one batch, and its batch statistics, as in the authors'
    code.

    Args:
      student: built keras.Model of logits [N, K].
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of UDAConfig.
    """

    Config = UDAConfig
    cost = "student B + 2U"
    unlabeled_views = ("weak", "strong")
    idle_options = NO_TEACHER
    # The paper's rate is 0.03 for 64 labeled images.
    defaults: ClassVar = {"student_learning_rate": 0.12, "finetune_steps": 0}

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = UDAConfig(**hyperparameters)
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "mask_rate",
            "labels_kept",
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
            `strong` [U,H,W,C], two views of the same unlabeled images.
        """
        c, variables = self.config, self.student.trainable_variables
        rate = self.student_optimizer.learning_rate
        with tf.GradientTape() as tape:
            labeled_logits, weak_logits, strong_logits = self.passes(
                self.student, batch["labeled"], batch["weak"], batch["strong"]
            )
            supervised, kept = self.supervised_loss(batch["label"], labeled_logits)
            unlabeled, mask = losses.consistency(
                weak_logits, strong_logits, c.temperature, c.threshold, sharpened_confidence=False
            )
            unlabeled = tf.reduce_mean(unlabeled)
            loss = supervised + c.unlabeled_weight * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(tf.nn.softmax(weak_logits), batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            student_learning_rate=rate,
        )
        if c.threshold:  # else all pass, on purpose
            self.log(mask_rate=tf.reduce_mean(mask))
        if c.signal_annealing != "none":
            self.log(labels_kept=tf.reduce_mean(kept))

    def supervised_loss(self, label, logits):
        """Cross entropy on labels, of those that signal annealing keeps.

        Args:
          label: integer [B], class ids.
          logits: floating [B, K].

        Returns:
          (this replica's part of the mean, which images are kept [B]).
        """
        c, kept = self.config, tf.ones_like(logits[:, 0])
        if c.signal_annealing != "none":
            right = losses.one_hot(label, logits.shape[-1], dtype=logits.dtype)
            sure = tf.reduce_sum(right * tf.nn.softmax(logits), axis=-1)
            most = schedules.training_signal(
                self.step, c.signal_annealing_steps, c.signal_annealing, logits.shape[-1]
            )
            kept = tf.cast(sure <= tf.cast(most, sure.dtype), sure.dtype)
        loss = losses.label_loss(label, logits, c.label_smoothing)
        return distribution.weighted_mean(loss, kept), tf.stop_gradient(kept)
