"""Pseudo Labels: a teacher trained on the labels is fixed, and its student learns from it."""

import dataclasses
from typing import final

import tensorflow as tf

from mpl_tf import losses
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import Method, MethodConfig
from mpl_tf.methods.label_training import LabelTraining
from mpl_tf.methods.passes import wide
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class PseudoLabelConfig(MethodConfig):
    """Hyperparameters of PseudoLabel."""

    hard_labels: bool = option(
        False, "Teach the student the teacher's most probable class instead of its distribution."
    )
    pseudo_label_threshold: float = option(
        0.0,
        "Least confidence of the teacher for an unlabeled image to be taught; 0 teaches all.",
        low=0,
        high=1,
    )


@final
class PseudoLabel(Method):
    """What Meta Pseudo Labels starts from: the same student, but a teacher that never hears of it.

    First the teacher learns the labels (`train_teacher`); then, in `fit`, it stays as it is:

        q = softmax(T(weak)),  or its most probable class
        S <- optimizer(S, grad_S mean_i [max_k q_ik >= threshold] * CE(smooth(q_i), S(strong_i)))
        ema <- d * ema + (1 - d) * S

    Pham et al. 2021, section 2, equation 1 (soft labels); Lee 2013 has the hard ones. The teacher
    predicts without noise: no dropout, moving batch statistics, the weak view.

    Args:
      teacher: built keras.Model of logits [N, K].
      student: another one, with its own weights; the architecture may differ.
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of PseudoLabelConfig.
    """

    Config = PseudoLabelConfig
    cost = "teacher B, as many steps before; teacher U forward, student U"
    optimizers = ("student_optimizer", "teacher_optimizer")
    unlabeled_views = ("weak", "strong")
    idle_options = frozenset({"student_wait_steps"})

    def __init__(self, teacher, student, *, seed=0, strategy=None, **hyperparameters):
        config = PseudoLabelConfig(**hyperparameters)
        logs = ("student_loss", "mask_rate", "pseudo_label_accuracy", "student_learning_rate")
        super().__init__(config, student, teacher, seed=seed, strategy=strategy, train_logs=logs)

    def compile(self, student_optimizer, teacher_optimizer, **kwargs):
        """As Engine.compile, with the keras.optimizers.Optimizer of each network."""
        super().compile(**kwargs)
        self.student_optimizer = self.prepare_optimizer(
            student_optimizer, self.student, "student_optimizer"
        )
        self.teacher_optimizer = self.prepare_optimizer(
            teacher_optimizer, self.teacher, "teacher_optimizer"
        )

    def preparations(self):
        training = LabelTraining(
            self.teacher,
            "teacher",
            label_smoothing=self.config.label_smoothing,
            strategy=self.distribute_strategy,
        )
        training.compile(self.teacher_optimizer, **self.how_compiled())
        return {"teacher": training}

    def train_teacher(self, x, *, steps, **kwargs):
        """Trains the teacher on labels; call it before `fit`.

        Args:
          x: tf.data.Dataset without end, of dicts with `labeled` and `label`.
          steps: int, optimizer steps.
          **kwargs: for keras.Model.fit.

        Returns:
          keras.callbacks.History.
        """
        return self.preparations()["teacher"].fit(x, steps_per_epoch=steps, epochs=1, **kwargs)

    def train_step(self, batch):
        """One step of the student on a dict with `weak` and `strong` [U,H,W,C], the same images."""
        variables, rate = self.student.trainable_variables, self.student_optimizer.learning_rate
        probs = tf.nn.softmax(wide(self.teacher(batch["weak"], training=False)))  # [U, K]
        mask = losses.confidence_mask(probs, self.config.pseudo_label_threshold)  # [U]
        if self.config.hard_labels:
            probs = tf.one_hot(tf.argmax(probs, axis=-1), probs.shape[-1], dtype=probs.dtype)
        self.log_pseudo_labels(probs, batch)
        taught = losses.smooth(probs, self.config.label_smoothing)
        with tf.GradientTape() as tape:
            (logits,) = self.passes(self.student, batch["strong"])
            loss = tf.reduce_mean(mask * losses.cross_entropy(taught, logits))
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log(student_loss=loss, student_learning_rate=rate)
        if self.config.pseudo_label_threshold:  # else all pass, on purpose
            self.log(mask_rate=tf.reduce_mean(mask))
