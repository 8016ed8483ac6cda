"""LGA + VAT (Jackson & Schulman 2019, arXiv 1902.02336)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import adversarial, label_gradient, mixup, replicas
from mpl_tf.engine.arguments import check_num_unlabeled
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.panel import Panel
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import label_steps, losses, schedules
from mpl_tf.methods.vat import VATConfig
from mpl_tf.options import option, redefault


@dataclasses.dataclass(frozen=True)
class LGAVATConfig(MethodConfig):
    """Hyperparameters of LGAVAT; those of its labels are this project's."""

    label_learning_rate: float = option(
        0.3,
        "Learning rate of the logits of unlabeled images' labels, at least 0; the gradient is that "
        "of the distance times the unlabeled images of a step.",
        low=0,
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the cross entropy with learned labels after its ramp, at least 0.", low=0
    )
    ramp_steps: int = option(
        40_000,
        "Steps over which that weight rises linearly from 0, while labels are learned.",
        low=0,
        share_of_steps=0.1,
    )
    vat_weight: float = option(
        1.0, "Weight of the divergence under perturbation (VAT), at least 0.", low=0
    )
    perturbation: float = redefault(VATConfig, "perturbation", 8.0)
    probe: float = redefault(VATConfig, "probe", 0.1)
    power_iterations: int = redefault(VATConfig, "power_iterations", 1)
    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)


@final
class LGAVAT(StudentMethod):
    """Labels of unlabeled images are learned, so that they pull as the labels of others do.

        q_i = softmax(z_i)                         z: a table of logits, 0 at first
        g_u = grad_S mean_i CE(q_i, S(weak_i))
        g_l = grad_S mean_i CE(smooth(label_i), S(labeled_i))
        z_i <- z_i - label_learning_rate * U * d |g_u - g_l|^2 / d z_i;  q_i <- softmax(z_i)
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * ramp * mean_i CE(q_i, S(weak_i))
             + vat_weight * mean_i KL(softmax(S(weak_i)) || softmax(S(weak_i + r_i)))
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Jackson & Schulman 2019: labels are chosen by the distance of the two mean gradients (label
    gradient alignment), beside VAT, whose r_i and options are those of `vat.VAT`. g_u is linear in
    q, so that the gradient of the distance is one directional derivative, the one that the exact
    feedback of Meta Pseudo Labels takes in another direction. Unlabeled images go through the
    network by themselves and leave no trace in its moving batch statistics, as in `vat.VAT`.

    No code of the authors is public, and what the public record of the paper does not say is this
    project's: labels are logits, uniform at first, and take a plain step of gradient descent
    whenever their image is seen, before the network does, at a constant rate times U, by which it
    is the same for batches of any size; an image has one label for all of its views; the weight of
    learned labels rises linearly. The entropy term of VAT + EntMin is left out. Defaults of a run
    that are not VAT's are those that `vat.VAT` says.

    Args:
      student: built keras.Model of logits [N, K], of images with values 0 to 255.
      num_unlabeled: images in the pool; their labels take 4 * num_unlabeled * K bytes.
      seed: from which, with the step, the first directions of perturbations are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of LGAVATConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.LGAVAT)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.LGAVAT(student, num_unlabeled=data.num_unlabeled, perturbation=2.0)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = LGAVATConfig
    config: LGAVATConfig
    num_unlabeled: int
    passes_per_step = "student 2B + 3U, U once more for labels, and U for each power iteration"
    unlabeled_views = ("weak", "index")
    defaults: ClassVar = {"unlabeled_ratio": 4, "finetune_steps": 0}
    panels = (Panel("Distance of the two gradients", {"label_distance": "|g_u - g_l|"}, low=0.0),)
    remedies: ClassVar = {
        "collapse": "a smaller label_learning_rate or vat_weight, or a longer ramp_steps"
    }

    def __init__(
        self,
        student: keras.Model,
        *,
        num_unlabeled: int | None = None,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        self.num_unlabeled = num_unlabeled = check_num_unlabeled(num_unlabeled)
        with self.distribute_strategy.scope():
            shape = (num_unlabeled, student.output_shape[-1])
            self.label_table = self.add_weight(
                name="label_table", shape=shape, dtype="float32", initializer="zeros",
                trainable=False,
            )  # fmt: skip

    def targets(self, batch: Batch) -> Batch:
        if self.config.label_learning_rate:
            self.move_labels(batch)
        return {"taught": self.learned(batch["index"])}

    def learned(self, index: tf.Tensor) -> tf.Tensor:
        """The labels [U, K] of the images `index` [U], float32 distributions."""
        return tf.nn.softmax(tf.gather(self.label_table, index))

    def move_labels(self, batch: Batch) -> None:
        """One step of the labels of this batch's images, of all replicas."""
        taught = self.learned(batch["index"])  # [U, K]
        distance, gradient = label_gradient.alignment(self, batch, taught)
        gradient = label_steps.through_softmax(tf.cast(gradient, tf.float32), taught)
        self.log(label_distance=tf.sqrt(distance))
        index, gradient = map(replicas.all_rows, (batch["index"], gradient))
        rate = self.config.label_learning_rate * index.shape[0]
        table = tf.convert_to_tensor(self.label_table)
        self.label_table.assign(label_steps.descend(table, index, gradient, rate))

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, images, taught = self.config, mixup.floating(batch["weak"]), batch["taught"]
        (labeled,) = self.forward(self.student, batch["labeled"])
        (weak,) = self.forward(self.student, images, keep_state=True)
        divergence = tf.reduce_mean(
            adversarial.divergence(self, images, weak, c.perturbation, c.probe, c.power_iterations)
        )
        supervised = self.supervised_loss(batch["label"], labeled)
        target = tf.cast(taught, weak.dtype)
        unlabeled = tf.reduce_mean(losses.cross_entropy(target, weak))
        ramp = self.ramp(schedules.linear_ramp, c.ramp_steps, unlabeled)
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled, vat_loss=divergence)
        loss = supervised + c.unlabeled_weight * ramp * unlabeled + c.vat_weight * divergence
        return loss, taught

    def student_passes(self, batch: Batch) -> None:
        self.forward(self.student, batch["labeled"])
