"""FlexMatch (Zhang et al., NeurIPS 2021, arXiv 2110.08263)."""

import dataclasses
from typing import ClassVar, final

import keras
import tensorflow as tf

from mpl_tf import distribution, losses, thresholds
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import NO_TEACHER, Method, MethodConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class FlexMatchConfig(MethodConfig):
    """Hyperparameters of FlexMatch; the defaults are the paper's."""

    threshold: float = option(
        0.95,
        "Confidence from which on an unlabeled image counts as learned, and the threshold of a "
        "class that is learned best (the paper's tau).",
        low=0,
    )
    threshold_warmup: bool = option(
        True, "Let all thresholds start low, while most unlabeled images are not learned."
    )
    threshold_mapping: str = option(
        "convex",
        "How a class's share of what is learned, b, becomes its share of the threshold. convex: "
        "b / (2 - b). linear: b. concave: log(b + 1) / log(2).",
        choices=thresholds.MAPPINGS,
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the loss on unlabeled images (the paper's lambda), at least 0.", low=0
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the moving average of the student's weights, in [0, 1).", low=0, below=1
    )


@final
class FlexMatch(Method):
    """FixMatch with a threshold for each class, lower where fewer images are learned.

        p = stop_gradient(softmax(S(weak)))
        count_k = images of the pool whose last confident prediction was k
        beta_k = count_k / max(max_j count_j, images never predicted with confidence)
        mask_i = max_k p_ik >= threshold * mapping(beta_(argmax p_i))
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i mask_i * CE(onehot(argmax p_i), S(strong_i))
        learned[index_i] <- argmax p_i where max_k p_ik >= threshold
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Zhang et al. 2021, section 3, equations 5 to 11 and algorithm 1. Labeled, weak and strong images
    share one batch, as in the authors' code, from which it comes that a confident prediction is
    never forgotten, only replaced by a newer one.

    Args:
      student: built keras.Model of logits [N, K].
      num_unlabeled: int, the number of unlabeled images; a batch's `index` says which it has.
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of FlexMatchConfig.
    """

    Config = FlexMatchConfig
    cost = "student B + 2U"
    unlabeled_views = ("weak", "strong", "index")
    idle_options = NO_TEACHER
    # The paper's rate is 0.03 for 64 labeled images.
    defaults: ClassVar = {
        "student_learning_rate": 0.12,
        "student_warmup_steps": 0,
        "finetune_steps": 0,
    }

    def __init__(self, student, *, num_unlabeled, seed=0, strategy=None, **hyperparameters):
        config = FlexMatchConfig(**hyperparameters)
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "learned",
            "mask_rate",
            "pseudo_label_accuracy",
            "student_learning_rate",
        )
        super().__init__(config, student, seed=seed, strategy=strategy, train_logs=logs)
        with self.distribute_strategy.scope():
            self.learned = self.add_weight(
                name="learned",
                shape=[num_unlabeled],
                dtype="int32",
                initializer=keras.initializers.Constant(-1),
                trainable=False,
            )

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
            `strong` [U,H,W,C], two views of the unlabeled images at `index` [U] of the pool.
        """
        c, variables = self.config, self.student.trainable_variables
        rate = self.student_optimizer.learning_rate
        learned = tf.convert_to_tensor(self.learned)  # [N]
        allowed = thresholds.curriculum(
            learned,
            self.student.output_shape[-1],
            c.threshold,
            c.threshold_warmup,
            c.threshold_mapping,
        )  # [K]
        with tf.GradientTape() as tape:
            labeled_logits, weak_logits, strong_logits = self.passes(
                self.student, batch["labeled"], batch["weak"], batch["strong"]
            )
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], labeled_logits, c.label_smoothing)
            )
            probs = tf.stop_gradient(tf.nn.softmax(weak_logits))  # [U, K]
            mask = thresholds.above(probs, allowed)  # [U]
            pseudo_label = losses.most_probable(probs)  # [U, K]
            unlabeled = tf.reduce_mean(mask * losses.cross_entropy(pseudo_label, strong_logits))
            loss = supervised + c.unlabeled_weight * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        sure = losses.confidence_mask(probs, c.threshold) > 0
        label = tf.where(sure, tf.argmax(probs, axis=-1), -1)  # [U]
        news = map(distribution.all_rows, (batch["index"], label))
        self.learned.assign(thresholds.remember(learned, *news))
        self.step.assign_add(1)
        self.log_pseudo_labels(pseudo_label, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            learned=tf.reduce_mean(tf.cast(learned >= 0, tf.float32)),
            mask_rate=tf.reduce_mean(mask),
            student_learning_rate=rate,
        )
