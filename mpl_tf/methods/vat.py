"""VAT + EntMin (Miyato et al., TPAMI 2018, arXiv 1704.03976)."""

import dataclasses
import math
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import distribution, losses, stateless
from mpl_tf.methods import loss_scaling, mixup
from mpl_tf.methods.base import NO_STRONG_VIEW, NO_TEACHER, Method, MethodConfig
from mpl_tf.methods.passes import state_of
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class VATConfig(MethodConfig):
    """Hyperparameters of VAT; the defaults are the paper's for CIFAR-10 with augmentation."""

    perturbation: float = option(
        8.0,
        "Length of the adversarial perturbation (the paper's epsilon) of a colour image of 32 x 32 "
        "pixels with values from 0 to 1; of others, in proportion to the root of their size.",
        low=0,
    )
    probe: float = option(
        0.1,
        "Length of the perturbation with which its direction is sought (the paper's xi), likewise; "
        "the paper's 1e-6 drowns in float32's rounding of images.",
        above=0,
    )
    power_iterations: int = option(
        1, "Times the direction is improved (the paper's K), at least 1.", low=1
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the divergence under perturbation (the paper's alpha), at least 0.", low=0
    )
    entropy_weight: float = option(
        1.0, "Weight of the predictions' entropy (EntMin); 0 is VAT without it.", low=0
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )


@final
class VAT(Method):
    """The prediction is to stay where it is under the small change that would move it most.

        d ~ normal, of length 1 for each image
        power_iterations times:
            d <- grad_r KL(softmax(S(weak)) || softmax(S(weak + r))) at r = probe * d, of length 1
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i KL(softmax(S(weak_i)) || softmax(S(weak_i + r_i)))
             + entropy_weight * mean_i H(softmax(S(weak_i)))          r = perturbation * d
        S <- optimizer(S, grad_S loss)     through S(weak + r) alone in the divergence
        ema <- d * ema + (1 - d) * S

    Miyato et al. 2018, equations 5 and 8, section 3.3, algorithm 1, and section 4.2 for the
    entropy. As in the authors' code, unlabeled images go through the network by themselves, in
    training mode and with the same dropout masks each time, and leave no trace in its moving batch
    statistics, which labeled images alone make. The authors whiten images; lengths here are those
    of images with values from 0 to 1, in proportion to sqrt(H * W * C / 3072).

    Args:
      student: built keras.Model of logits [N, K], of images with values 0 to 255.
      seed: int, from which, with the step, the first directions are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of VATConfig.
    """

    Config = VATConfig
    cost = "student B + 2U, and U for each power iteration"
    unlabeled_views = ("weak",)
    idle_options = NO_TEACHER | NO_STRONG_VIEW
    defaults: ClassVar = {"unlabeled_ratio": 4, "finetune_steps": 0}

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = VATConfig(**hyperparameters)
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "entropy",
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
        rate, images = self.student_optimizer.learning_rate, mixup.floating(batch["weak"])
        with tf.GradientTape() as tape:
            (labeled_logits,) = self.passes(self.student, batch["labeled"])
            (logits,) = self.passes(self.student, images, keep_state=True)
            with tape.stop_recording():
                perturbed = images + self.adversarial(images, logits)
            (perturbed_logits,) = self.passes(self.student, perturbed, keep_state=True)
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], labeled_logits, c.label_smoothing)
            )
            unlabeled = tf.reduce_mean(
                losses.divergence(tf.stop_gradient(logits), perturbed_logits)
            )
            entropy = tf.reduce_mean(losses.entropy(logits))
            loss = supervised + c.unlabeled_weight * unlabeled + c.entropy_weight * entropy
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(tf.nn.softmax(logits), batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            entropy=entropy,
            student_learning_rate=rate,
        )

    def adversarial(self, images, logits):
        """The perturbation of that length that changes the predictions most, to second order.

        Args:
          images: floating [U,H,W,C].
          logits: floating [U, K], the network's on them.

        Returns:
          Like `images`.
        """
        index, count = distribution.replica()
        shape = [count, *(images.shape if images.shape[0] else tf.shape(images))]
        # Drawn for the global batch, so that replicas together draw what one alone would.
        direction = _unit(stateless.normal(self.draw_seed(), shape, images.dtype)[index])
        length = 255 * math.sqrt(math.prod(images.shape[1:]) / 3072)
        for _ in range(self.config.power_iterations):
            probe = self.config.probe * length * direction
            direction = _unit(self.slope(images, probe, logits))
        return self.config.perturbation * length * direction

    def slope(self, images, probe, logits):
        """Gradient of the divergence between images and images + probe, by the probe; scaled.

        Args:
          images, probe: floating [U,H,W,C].
          logits: floating [U, K], the network's on `images`.
        """
        weights = [tf.convert_to_tensor(v) for v in self.student.trainable_variables]
        state, found = state_of(self.student), []
        for group, change, wanted in self.passes.microbatches(images, probe, logits):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(change)
                changed, state = self.passes.stateless(self.student, weights, state, group + change)
                divergence = tf.reduce_sum(losses.divergence(wanted, changed))
                scaled = loss_scaling.up(divergence, loss_scaling.scale_of(self.student_optimizer))
            found.append(tape.gradient(scaled, change))
        return tf.concat(found, 0)


def _unit(directions):
    """Directions [U, ...], each of length 1; where one is 0 it stays 0."""
    axes = list(range(1, directions.shape.rank))
    largest = tf.reduce_max(tf.abs(directions), axes, keepdims=True)  # else squares underflow
    scaled = tf.math.divide_no_nan(directions, largest)
    length = tf.sqrt(tf.reduce_sum(scaled**2, axes, keepdims=True))
    return tf.math.divide_no_nan(scaled, length)
