"""Pseudo Labels (Lee, ICML workshop 2013; Pham et al., CVPR 2021, arXiv 2003.10580, equation 1)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine.fixed_teacher import FixedTeacherMethod
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch
from mpl_tf.formulas import losses
from mpl_tf.options import option, redefault


@dataclasses.dataclass(frozen=True)
class PseudoLabelConfig(MethodConfig):
    """Hyperparameters of PseudoLabel; smoothing and decay are Meta Pseudo Labels'."""

    hard_labels: bool = option(
        False, "Teach the student the teacher's most probable class instead of its distribution."
    )
    pseudo_label_threshold: float = option(
        0.0,
        "Least confidence of the teacher for an unlabeled image to be taught; 0 teaches all.",
        low=0,
        high=1,
    )
    label_smoothing: float = redefault(MethodConfig, "label_smoothing", 0.15)
    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)


@final
class PseudoLabel(FixedTeacherMethod):
    """A student of a teacher that has learned the labels and gets no feedback from it.

    First the teacher learns the labels (`pretrain`); then, in `fit`, it stays as it is:

        q = softmax(T(weak)),  or its most probable class
        S <- optimizer(S, grad_S mean_i [max_k q_ik >= threshold] * CE(smooth(q_i), S(strong_i)))
        ema <- d * ema + (1 - d) * S

    Pham et al. 2021, section 2, equation 1 (soft labels). The teacher predicts without noise: no
    dropout, moving batch statistics, the weak view. Lee 2013 has hard labels, made by the network
    that learns them, of which the loss on labels stays a part.

    Args:
      teacher: built keras.Model of logits [N, K].
      student: another one, with its own weights; the architecture may differ.
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of PseudoLabelConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.PseudoLabel)
        build = mpl_tf.NETWORKS["small"]
        teacher = build(4, images.shape[1:], seed=1)
        student = build(4, images.shape[1:], seed=2)
        model = mpl_tf.PseudoLabel(teacher, student)
        model.compile(student_optimizer="sgd", teacher_optimizer="sgd")
        model.pretrain(data, steps=100)
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = PseudoLabelConfig
    config: PseudoLabelConfig
    passes_per_step = "teacher B, as many steps before; teacher U forward, student U"
    unlabeled_views = ("weak", "strong")
    remedies: ClassVar = {
        "none_pass": "a lower pseudo_label_threshold",
        "all_pass": "a higher pseudo_label_threshold",
    }

    def targets(self, batch: Batch) -> Batch:
        probs = self.teacher_probs(batch["weak"])  # [U, K]
        mask = losses.confidence_mask(probs, self.config.pseudo_label_threshold)  # [U]
        self.log_mask(mask, self.config.pseudo_label_threshold)
        pseudo_label = losses.most_probable(probs) if self.config.hard_labels else probs
        return {"pseudo_label": pseudo_label, "mask": mask}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        (strong,) = self.forward(self.student, batch["strong"])
        target = losses.smooth(batch["pseudo_label"], self.config.label_smoothing)
        loss = tf.reduce_mean(batch["mask"] * losses.cross_entropy(target, strong))
        return loss, batch["pseudo_label"]
