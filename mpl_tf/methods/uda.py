"""UDA: Unsupervised Data Augmentation (Xie et al., NeurIPS 2020, arXiv 1904.12848)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, schedules
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class UDAConfig(MethodConfig):
    """Hyperparameters of UDA; its own defaults are the paper's for CIFAR-10."""

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
        400_000,
        "Steps over which signal_annealing releases all labels.",
        low=1,
        share_of_steps=1.0,
    )


@final
class UDA(StudentMethod):
    """The strong view is trained towards the sharpened prediction on the weak view.

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

    Defaults of a run that are not theirs: the rate warms up for 5,000 steps, at most a tenth of the
    run, which their code leaves out (no gain on digits: docs/settings.md), and falls to 0 along
    (1 + cos(pi t)) / 2, theirs to a fifth along cos(7 pi t / 16); `ema_decay` is 0.999, theirs
    0.9999; 7 unlabeled images a labeled one, where their script has 5; dropout of 0.2 before the
    head, also while weak views are labeled, where their networks have none; 300,000 steps of 128
    labeled images, where they take 400,000 of 64.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of UDAConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.UDA)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.UDA(student)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = UDAConfig
    config: UDAConfig
    passes_per_step = "student B + 2U"
    unlabeled_views = ("weak", "strong")
    # The paper's rate is 0.03 for 64 labeled images.
    defaults: ClassVar = {"student_learning_rate": 0.12, "finetune_steps": 0}
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight",
        "none_pass": "a lower threshold",
        "all_pass": "a higher threshold",
    }

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c = self.config
        labeled, weak, strong = self.forward(
            self.student, batch["labeled"], batch["weak"], batch["strong"]
        )
        supervised = self.supervised_loss(batch["label"], labeled)
        unlabeled, mask = losses.consistency(
            weak, strong, c.temperature, c.threshold, sharpened_confidence=False
        )
        unlabeled = tf.reduce_mean(unlabeled)
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        self.log_mask(mask, c.threshold)
        return supervised + c.unlabeled_weight * unlabeled, tf.nn.softmax(weak)

    def supervised_loss(self, label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Mean cross entropy on labels, of those that signal annealing keeps.

        Args:
          label: integer [B], class ids.
          logits: floating [B, K].

        Returns:
          Scalar, this replica's part of the mean.
        """
        c, kept = self.config, tf.ones_like(logits[:, 0])
        if c.signal_annealing != "none":
            classes = logits.shape[-1]
            right = losses.one_hot(label, classes, dtype=logits.dtype)
            sure = tf.reduce_sum(right * tf.nn.softmax(logits), axis=-1)
            most = schedules.training_signal(
                self.step, c.signal_annealing_steps, c.signal_annealing, classes
            )
            kept = tf.cast(sure <= tf.cast(most, sure.dtype), sure.dtype)
            self.log(labels_kept=tf.reduce_mean(kept))
        return replicas.weighted_mean(self.label_loss(label, logits), kept)
