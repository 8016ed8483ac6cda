"""FreeMatch (Wang et al., ICLR 2023, arXiv 2205.07246)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import averages, losses, thresholds
from mpl_tf.methods.fixmatch import FixMatch
from mpl_tf.options import ConfigError, option


@dataclasses.dataclass(frozen=True)
class FreeMatchConfig(MethodConfig):
    """Hyperparameters of FreeMatch; the defaults are the paper's and its code's."""

    threshold_decay: float = option(
        0.999,
        "Decay of the moving averages that the thresholds are made of (the paper's lambda), in "
        "[0, 1); in a run of few hundred steps the default leaves them near their start.",
        low=0,
        below=1,
    )
    least_threshold: float = option(
        0.0, "Thresholds are at least this; the paper has 0.9 for SVHN.", low=0, high=1
    )
    greatest_threshold: float = option(
        1.0, "Thresholds are at most this; the paper has 0.95 for SVHN.", low=0, high=1
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the loss on unlabeled images (the paper's w_u), at least 0.", low=0
    )
    fairness_weight: float = option(
        0.01, "Weight of the fairness term (the paper's w_f), at least 0.", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_threshold > self.greatest_threshold:
            raise ConfigError(
                f"least_threshold must be at most greatest_threshold={self.greatest_threshold}; "
                f"received {self.least_threshold}."
            )


@final
class FreeMatch(StudentMethod):
    """FixMatch with thresholds that follow the network's confidence, and a fairness term.

        p = stop_gradient(softmax(S(weak)));  r = softmax(S(strong));  m = threshold_decay
        confidence <- m * confidence + (1 - m) * mean_i max_k p_ik        from 1 / K on
        class_probs <- m * class_probs + (1 - m) * mean_i p_i             from 1 / K on
        class_shares <- m * class_shares + (1 - m) * mean_i onehot(argmax p_i)
        threshold_k = clip(confidence * class_probs_k / max_j class_probs_j,
                           least_threshold, greatest_threshold)
        mask_i = max_k p_ik >= threshold_(argmax p_i)
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i mask_i * CE(onehot(argmax p_i), S(strong_i))
             + fairness_weight * fairness(class_probs, class_shares,
                                          mean_i mask_i * r_i, mean_i mask_i * onehot(argmax r_i))
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Wang et al. 2023, equations 5 to 13. Labeled, weak and strong images share one batch, as in the
    authors' code. The sign of the fairness term is that of equation 11 and of that code; see
    `thresholds.fairness` for what it does.

    Defaults of a run that are not theirs: `fairness_weight` is the default of their code, 0.01,
    whose settings for CIFAR-10 and CIFAR-100 have 0.001 (on digits they differ by less than noise:
    docs/settings.md); the rate falls to 0 along (1 + cos(pi t)) / 2, theirs to a fifth along
    cos(7 pi t / 16); dropout of 0.2 before the head, also while weak views are labeled, where their
    networks have none; 300,000 steps of 128 labeled images, where they take 2^20 of 64.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of FreeMatchConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.FreeMatch)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.FreeMatch(student, threshold_decay=0.9)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = FreeMatchConfig
    config: FreeMatchConfig
    passes_per_step = "student B + 2U"
    unlabeled_views = ("weak", "strong")
    defaults: ClassVar = FixMatch.defaults  # from whose paper the authors take them
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight, or a larger fairness_weight",
        "none_pass": "a lower greatest_threshold or threshold_decay",
        "all_pass": "a higher least_threshold, or a lower threshold_decay",
    }

    def __init__(
        self,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        classes = student.output_shape[-1]
        with self.distribute_strategy.scope():
            uniform = {"trainable": False, "initializer": keras.initializers.Constant(1 / classes)}
            self.confidence = self.add_weight(name="confidence", shape=(), **uniform)
            self.class_probs = self.add_weight(name="class_probs", shape=[classes], **uniform)
            self.class_shares = self.add_weight(name="class_shares", shape=[classes], **uniform)

    def shortfall(self, steps: int, unlabeled_batch: int) -> str:
        left, classes = self.config.threshold_decay**steps, self.student.output_shape[-1]
        if left <= 0.5:
            return ""
        return (
            f"after {steps} steps the averages that its thresholds are made of are still "
            f"{left:.0%} of their start, 1/{classes}: thresholds stay low, and most unlabeled "
            "images are taught. Take more steps, or a smaller threshold_decay."
        )

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c = self.config
        labeled, weak, strong = self.forward(
            self.student, batch["labeled"], batch["weak"], batch["strong"]
        )
        supervised = self.supervised_loss(batch["label"], labeled)
        probs = tf.stop_gradient(tf.nn.softmax(weak))  # [U, K]
        pseudo_label = losses.most_probable(probs)  # [U, K]
        self.update_averages(probs, pseudo_label)
        class_thresholds = thresholds.self_adaptive(
            tf.convert_to_tensor(self.confidence),
            tf.convert_to_tensor(self.class_probs),
            c.least_threshold,
            c.greatest_threshold,
        )  # [K]
        mask = thresholds.above(probs, class_thresholds)  # [U]
        unlabeled = tf.reduce_mean(mask * losses.cross_entropy(pseudo_label, strong))
        fairness = self.fairness(strong, mask)
        self.log(
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            fairness=fairness,
            confidence_threshold=tf.reduce_mean(class_thresholds),
            mask_rate=tf.reduce_mean(mask),
        )
        loss = supervised + c.unlabeled_weight * unlabeled + c.fairness_weight * fairness
        return loss, pseudo_label

    def update_averages(self, probs: tf.Tensor, pseudo_label: tf.Tensor) -> None:
        """Moves the averages on; [U, K] each, predictions on weak views and their largest class."""
        means = replicas.mean_over_replicas(
            [
                tf.reduce_mean(tf.reduce_max(probs, axis=-1)),
                tf.reduce_mean(probs, axis=0),
                thresholds.shares(pseudo_label),
            ]
        )
        followed = (self.confidence, self.class_probs, self.class_shares)
        for average, value in zip(followed, means, strict=True):
            average.assign(
                averages.moving_average(
                    tf.convert_to_tensor(average), value, self.config.threshold_decay
                )
            )

    def fairness(self, strong_logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The fairness term of the global batch, with the gradient of this replica's part.

        Args:
          strong_logits: floating [U, K].
          mask: floating [U], 1 for the images that are taught.

        Returns:
          Scalar.
        """
        probs = mask[:, None] * tf.nn.softmax(strong_logits)
        predicted = mask[:, None] * losses.most_probable(strong_logits)
        own = tf.reduce_mean(probs, axis=0)
        means, shares = replicas.mean_over_replicas(
            [tf.stop_gradient(own), thresholds.shares(predicted)]
        )
        return thresholds.fairness(
            tf.cast(self.class_probs, own.dtype),
            tf.cast(self.class_shares, own.dtype),
            own + tf.stop_gradient(means - own),
            shares,
        )
