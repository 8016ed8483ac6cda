"""SoftMatch (Chen et al., ICLR 2023, arXiv 2301.10921)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import averages, losses, thresholds
from mpl_tf.methods.fixmatch import FixMatch
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class SoftMatchConfig(MethodConfig):
    """Hyperparameters of SoftMatch; the defaults are the paper's and its code's."""

    average_decay: float = option(
        0.999,
        "Decay of the moving averages of confidence and class shares (the paper's m), in [0, 1); "
        "in a run of few hundred steps the default leaves the weights near their start.",
        low=0,
        below=1,
    )
    gaussian_deviation: float = option(
        0.5,
        "Standard deviation of the Gaussian below the mean confidence, in those of the confidence; "
        "the paper's equation has 1, its code 0.5.",
        above=0,
    )
    align: bool = option(
        True, "Uniform alignment: all classes are to count equally often when images are weighted."
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the loss on unlabeled images, at least 0.", low=0
    )


@final
class SoftMatch(StudentMethod):
    """FixMatch whose images count more or less, by a Gaussian of their confidence.

        p = stop_gradient(softmax(S(weak)));  m = average_decay
        class_probs <- m * class_probs + (1 - m) * mean_i p_i               the first p_i at first
        a_i = normalize(p_i / (K * class_probs)),  p_i without align;  c_i = max_k a_ik
        mean     <- m * mean     + (1 - m) * mean_i c_i                     from 1 / K on
        variance <- m * variance + (1 - m) * sum_i (c_i - mean_i c_i)^2 / (U - 1)    from 1 on
        w_i = exp(-min(c_i - mean, 0)^2 / (2 * gaussian_deviation^2 * variance))
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i w_i * CE(onehot(argmax p_i), S(strong_i))
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Chen et al. 2023, equations 5 to 10. Alignment changes the weights alone, not the labels, as in
    the paper; labeled, weak and strong images share one batch, as in the authors' code.

    Defaults of a run that are not theirs: RandAugment with this project's operations; the rate
    falls to 0 along (1 + cos(pi t)) / 2, theirs to a fifth along cos(7 pi t / 16); dropout of 0.2
    before the head, also while weak views are labeled, where their networks have none; 300,000
    steps of 128 labeled images, where they take 2^20 of 64.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of SoftMatchConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.SoftMatch)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.SoftMatch(student, average_decay=0.9)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = SoftMatchConfig
    config: SoftMatchConfig
    passes_per_step = "student B + 2U"
    unlabeled_views = ("weak", "strong")
    defaults: ClassVar = FixMatch.defaults  # from whose paper the authors take them
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight",
        "all_pass": "a smaller gaussian_deviation or average_decay",
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
            self.class_probs = self.add_weight(name="class_probs", shape=[classes], **uniform)
            self.mean = self.add_weight(name="mean", shape=(), **uniform)
            self.variance = self.add_weight(
                name="variance", shape=(), trainable=False, initializer="ones"
            )

    def shortfall(self, steps: int, unlabeled_batch: int) -> str:
        left, classes = self.config.average_decay**steps, self.student.output_shape[-1]
        if left <= 0.5:
            return ""
        return (
            f"after {steps} steps the mean and the variance that its weights are made of are still "
            f"{left:.0%} of their start, 1/{classes} and 1: all unlabeled images count almost "
            "alike. Take more steps, or a smaller average_decay."
        )

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c = self.config
        labeled, weak, strong = self.forward(
            self.student, batch["labeled"], batch["weak"], batch["strong"]
        )
        supervised = self.supervised_loss(batch["label"], labeled)
        probs = tf.stop_gradient(tf.nn.softmax(weak))  # [U, K]
        pseudo_label = losses.most_probable(probs)  # [U, K]
        confidence = tf.reduce_max(self.aligned(probs) if c.align else probs, axis=-1)  # [U]
        mean, variance = self.follow(confidence)
        weight = thresholds.truncated_gaussian(confidence, mean, variance, c.gaussian_deviation)
        unlabeled = tf.reduce_mean(weight * losses.cross_entropy(pseudo_label, strong))
        self.log(
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            mean_confidence=mean,
            mask_rate=tf.reduce_mean(weight),
        )
        return supervised + c.unlabeled_weight * unlabeled, pseudo_label

    def aligned(self, probs: tf.Tensor) -> tf.Tensor:
        """Predictions [U, K] in which all classes are equally frequent; remembers their shares."""
        recent = replicas.mean_over_replicas(tf.reduce_mean(probs, axis=0))
        decay = tf.where(self.step == 0, 0.0, self.config.average_decay)
        followed = tf.convert_to_tensor(self.class_probs)
        self.class_probs.assign(averages.moving_average(followed, recent, decay))
        shares = tf.cast(self.class_probs, probs.dtype)
        return losses.align(probs, tf.ones_like(shares) / shares.shape[0], shares)

    def follow(self, confidence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The moving mean and variance of confidences [U], after those of a global batch."""
        mean = replicas.mean_over_replicas(tf.reduce_mean(confidence))
        spread = replicas.mean_over_replicas(tf.reduce_mean((confidence - mean) ** 2))
        _, count = replicas.replica()
        images = tf.cast(count * tf.size(confidence), spread.dtype)
        news = (mean, tf.math.divide_no_nan(spread * images, images - 1))
        for average, value in zip((self.mean, self.variance), news, strict=True):
            average.assign(
                averages.moving_average(
                    tf.convert_to_tensor(average), value, self.config.average_decay
                )
            )
        return tf.cast(self.mean, confidence.dtype), tf.cast(self.variance, confidence.dtype)
