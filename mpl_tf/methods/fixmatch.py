"""FixMatch (Sohn et al., NeurIPS 2020, arXiv 2001.07685)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import losses
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import NO_TEACHER, Method, MethodConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class FixMatchConfig(MethodConfig):
    """Hyperparameters of FixMatch; the defaults are the paper's."""

    threshold: float = option(
        0.95,
        "Least confidence of the weak view's prediction for an unlabeled image to be taught "
        "(the paper's tau); 0 teaches all, above 1 none.",
        low=0,
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the loss on unlabeled images (the paper's lambda_u), at least 0.", low=0
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the moving average of the student's weights, in [0, 1).", low=0, below=1
    )


@final
class FixMatch(Method):
    """What the network is sure of on a weak view is the label of a strong view.

        p = stop_gradient(softmax(S(weak)))
        mask_i = max_k p_ik >= threshold
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i mask_i * CE(onehot(argmax p_i), S(strong_i))
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Sohn et al. 2020, section 2.2, equations 3 and 4; labeled, weak and strong images share one
    batch, and its batch statistics, as in the authors' code. The strong views are this project's,
    and the rate falls along half a cosine instead of 7/16 of one.

    Args:
      student: built keras.Model of logits [N, K].
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of FixMatchConfig.
    """

    Config = FixMatchConfig
    cost = "student B + 2U"
    unlabeled_views = ("weak", "strong")
    idle_options = NO_TEACHER
    # The paper's rate is 0.03 for 64 labeled images.
    defaults: ClassVar = {
        "student_learning_rate": 0.12,
        "student_warmup_steps": 0,
        "finetune_steps": 0,
    }

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = FixMatchConfig(**hyperparameters)
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "mask_rate",
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
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], labeled_logits, c.label_smoothing)
            )
            probs = tf.stop_gradient(tf.nn.softmax(weak_logits))  # [U, K]
            mask = losses.confidence_mask(probs, c.threshold)  # [U]
            pseudo_label = losses.most_probable(probs)  # [U, K]
            unlabeled = tf.reduce_mean(mask * losses.cross_entropy(pseudo_label, strong_logits))
            loss = supervised + c.unlabeled_weight * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(pseudo_label, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            student_learning_rate=rate,
        )
        if c.threshold:  # else all pass, on purpose
            self.log(mask_rate=tf.reduce_mean(mask))
