"""Meta Pseudo Labels (Pham et al., CVPR 2021, arXiv 2003.10580). Read `train_step` first."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import pulls
from mpl_tf.engine.feedback_method import FEEDBACK_PANELS, FeedbackConfig, FeedbackMethod
from mpl_tf.engine.panel import Panel
from mpl_tf.engine.student_step import StudentStep
from mpl_tf.engine.update import check_two_optimizers
from mpl_tf.formulas import losses, schedules
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class MetaPseudoLabelsConfig(FeedbackConfig):
    """Hyperparameters of MetaPseudoLabels; the defaults are the paper's for CIFAR-10-4K."""

    label_view: str = option(
        "strong",
        "Which view of an unlabeled image the teacher labels, and is credited for; the student "
        "learns the label on the strong one.",
        choices=("strong", "weak"),
    )
    label_temperature: float = option(
        1.0,
        "Temperature of the distribution that the teacher labels with, above 0; below 1 its labels "
        "are surer than it is.",
        above=0,
    )
    supervised_weight: float = option(
        1.0, "Weight of the teacher's cross entropy on labels, at least 0.", low=0
    )
    uda_weight: float = option(
        8.0, "Weight of the teacher's consistency loss (UDA) after its ramp, at least 0.", low=0
    )
    uda_temperature: float = option(
        0.7, "Temperature that sharpens the consistency target, above 0.", above=0
    )
    uda_threshold: float = option(
        0.6,
        "Least confidence of the sharpened target for an unlabeled image to count; "
        "0 counts all, above 1 none.",
        low=0,
    )
    uda_ramp_steps: int = option(
        5000,
        "Steps over which the consistency weight rises linearly from 0.",
        low=0,
        share_of_steps=0.1,
    )
    # On CIFAR-10 a teacher with batch normalisation collapsed without it (docs/settings.md).
    joint_views: bool = option(
        True,
        "Let the weak views share the teacher's batch, and so its batch statistics, with labeled "
        "and strong ones; costs a backward pass through them.",
    )


@final
class MetaPseudoLabels(FeedbackMethod):
    """A teacher that learns from how much its pseudo labels help its student.

        pseudo_label = drawn from, or equal to, softmax(T(label_view) / label_temperature)
        S <- optimizer_S(S, grad_S [ mean CE(smooth(pseudo_label), S(strong))
                     + student_supervised_weight * mean CE(smooth(label), S(labeled)) ])
        T <- optimizer_T(T, grad_T [ feedback_weight   * scale * feedback term
                                   + supervised_weight * mean CE(smooth(label), T(labeled))
                                   + uda_weight * ramp * mean consistency(T(weak), T(strong)) ])
        ema <- d * ema + (1 - d) * S

    The feedback term is the derivative of the student's labeled loss after its step with respect to
    the teacher, by one of the estimators in `mpl_tf.formulas.feedback`. Its scale is 1 (the
    paper's), or with `feedback_scale="unit"` what makes it that of a student's step of rate 1.

    One default is not the paper's: `feedback` is "exact", where the paper draws labels and has one
    number for them all, which is "sampled" (its derivation is "dot"). The weak views share the
    teacher's batch (`joint_views`), of which the paper says nothing. The student's batch has strong
    views alone, where the authors' code has labeled images in it, too, without a loss on them.

    Args:
      teacher: built keras.Model of logits [N, K].
      student: another one, with its own weights; the architecture may differ.
      seed: from which, with the step, pseudo labels are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of MetaPseudoLabelsConfig.

    Raises:
      ConfigError: a hyperparameter is out of range.
      ValueError: a network is not built, or the two do not fit together.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.MetaPseudoLabels)
        build = mpl_tf.NETWORKS["small"]
        teacher = build(4, images.shape[1:], seed=1)
        student = build(4, images.shape[1:], seed=2)
        model = mpl_tf.MetaPseudoLabels(teacher, student, uda_ramp_steps=50)
        model.compile(student_optimizer="sgd", teacher_optimizer="sgd")
        model.fit(data, steps_per_epoch=100)
        model.finetune(data, steps=20)
        model.export("my_model", class_names=["ant", "bee", "cat", "dog"])
    """

    Config = MetaPseudoLabelsConfig
    config: MetaPseudoLabelsConfig
    teacher: keras.Model
    passes_per_step = "teacher B + 2U, student U; for feedback: student B, exact: U once more"
    optimizers = ("student_optimizer", "teacher_optimizer")
    unlabeled_views = ("weak", "strong")
    joint_training = True
    panels = (
        *FEEDBACK_PANELS,
        Panel(
            "Feedback's share of the pull on the teacher's logits",
            {"feedback_share": "feedback"},
            low=0.0,
        ),
    )
    remedies: ClassVar = {
        "collapse": "a smaller uda_weight, or a longer uda_ramp_steps",
        "none_pass": "a lower uda_temperature or uda_threshold",
        "all_pass": "a higher uda_threshold",
    }

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, teacher, seed=seed, strategy=strategy, **hyperparameters)

    def compile(
        self,
        *positional: Any,
        student_optimizer: Any = ...,
        teacher_optimizer: Any = ...,
        **kwargs: Any,
    ) -> None:
        """As Trainer.compile, with the optimizers of both networks.

        Args:
          *positional: optimizers without a name, which are refused.
          student_optimizer: what `keras.optimizers.get` takes: an optimizer, its name, its
            configuration. `dot` and `exact` need SGD, whose step they differentiate.
          teacher_optimizer: likewise, any.
          **kwargs: for Trainer.compile: `weight_decay`, `clip_norm`, `jit_compile`, ...

        Raises:
          ConfigError: the feedback needs a student that SGD moves.
          ValueError: an optimizer cannot be used, or both are one object.
        """
        check_two_optimizers(
            type(self).__name__, positional, student_optimizer, teacher_optimizer, kwargs
        )
        super().compile(**kwargs)
        self.student_optimizer, self.teacher_optimizer = (
            self.own_optimizer(optimizer, network, name)
            for optimizer, network, name in (
                (student_optimizer, self.student, "student_optimizer"),
                (teacher_optimizer, self.teacher, "teacher_optimizer"),
            )
        )
        self.estimator.check_optimizer(self.student_optimizer)

    def train_step(self, batch: dict[str, tf.Tensor]) -> None:
        """One step of both networks.

        Args:
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, and `weak` and
            `strong` [U,H,W,C], two views of the same unlabeled images.
        """
        before, variables = self.sharpness.before(self), self.teacher.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            # The teacher predicts, and labels the unlabeled images.
            logits = self.teacher_logits(batch)  # labeled [B, K], weak and strong [U, K]
            pseudo_label = tf.stop_gradient(self.estimator.label(self.labeling(logits)))  # [U, K]
            with tape.stop_recording():
                # The student steps on those labels. How much did that help on labeled images?
                step = self.step_student(batch, pseudo_label)
                credit = self.estimator.credit(step)
            # The teacher steps on labels, consistency and feedback.
            terms = self.teacher_terms(batch, logits, step, credit)
            loss = _total(terms)
            with tape.stop_recording():
                self.log_share(tape, terms, logits)
            scaled = self.teacher_optimizer.scale_loss(loss)
        self.log(teacher_loss=loss, teacher_learning_rate=self.teacher_optimizer.learning_rate)
        self.log_pseudo_labels(pseudo_label, batch)

        def loss_again():
            return _total(self.teacher_terms(batch, self.teacher_logits(batch), step, credit))

        gradient = self.sharpness.gradient(
            self,
            self.teacher_optimizer,
            self.teacher,
            tape.gradient(scaled, variables),
            before,
            loss_again,
        )
        self.update(self.teacher_optimizer, gradient, variables)
        self.update_ema()
        self.step.assign_add(1)

    def teacher_logits(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The teacher's logits by "labeled", "strong" and, if they are used, "weak" images."""
        c = self.config
        views = {name: batch[name] for name in ("labeled", "weak", "strong")}
        if not (c.uda_weight or c.label_view == "weak"):
            del views["weak"]
        elif not c.joint_views:  # a batch of its own; a target needs no gradient
            (weak,) = self.forward(self.teacher, views.pop("weak"))
            weak = weak if c.label_view == "weak" else tf.stop_gradient(weak)
            labeled, strong = self.forward(self.teacher, *views.values())
            return {"labeled": labeled, "weak": weak, "strong": strong}
        return dict(zip(views, self.forward(self.teacher, *views.values()), strict=True))

    def labeling(self, logits: dict[str, tf.Tensor]) -> tf.Tensor:
        """The logits [U, K] of the distributions that the teacher labels with."""
        return logits[self.config.label_view] / self.config.label_temperature

    def teacher_terms(
        self,
        batch: dict[str, tf.Tensor],
        logits: dict[str, tf.Tensor],
        step: StudentStep,
        credit: tf.Tensor,
    ) -> dict[str, tf.Tensor | float]:
        """The terms of the teacher's loss by name, 0.0 where there is none.

        Args:
          batch: as `train_step` takes it.
          logits: as `teacher_logits` gives them.
          step: the student's, which is held constant.
          credit: what it was worth, held constant.
        """
        c = self.config
        supervised = self.supervised_loss(batch["label"], logits["labeled"])
        self.log(supervised_loss=supervised)
        return {
            "supervised": c.supervised_weight * supervised,
            "uda": self.consistency(logits.get("weak"), logits["strong"]),
            "feedback": self.estimator.loss(step, credit, self.labeling(logits)),
        }

    def log_share(
        self,
        tape: tf.GradientTape,
        terms: dict[str, tf.Tensor | float],
        logits: dict[str, tf.Tensor],
    ) -> None:
        """Logs the feedback's part of the pull on the teacher's logits; see `pulls.of_terms`.

        Args:
          tape: persistent, which has recorded the terms.
          terms: name -> term of the teacher's loss, 0.0 where there is none.
          logits: name of images -> floating [N_j, K], the teacher's.
        """
        pull_of = pulls.of_terms(tape, terms, logits)
        if "feedback" in pull_of:
            total = tf.add_n(list(pull_of.values()))
            self.log(feedback_share=tf.math.divide_no_nan(pull_of["feedback"], total))

    def consistency(self, weak: tf.Tensor | None, strong: tf.Tensor) -> tf.Tensor | float:
        """The teacher's consistency term (UDA): uda_weight * ramp * mean consistency.

        Args:
          weak: floating [U, K], the teacher's logits on weak views, or None without UDA.
          strong: floating [U, K], those on strong views.
        """
        c = self.config
        if weak is None:
            return 0.0
        consistency, mask = losses.consistency(weak, strong, c.uda_temperature, c.uda_threshold)
        consistency = tf.reduce_mean(consistency)
        self.log(uda_loss=consistency)
        self.log_mask(mask, c.uda_threshold)
        ramp = self.ramp(schedules.linear_ramp, c.uda_ramp_steps, consistency)
        return c.uda_weight * ramp * consistency


def _total(terms):
    return terms["supervised"] + terms["uda"] + terms["feedback"]
