"""Methods whose student's progress on labeled images teaches whoever labels for it."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from mpl_tf import options
from mpl_tf.engine.estimators import ESTIMATORS
from mpl_tf.engine.lesson import Beside, Lesson
from mpl_tf.engine.method import Method, MethodConfig
from mpl_tf.engine.metrics import Deviation, SignalToNoise
from mpl_tf.engine.panel import Panel
from mpl_tf.engine.student_step import StudentStep
from mpl_tf.engine.update import clip, reduce_gradient, scale_of
from mpl_tf.options import option, redefault


@dataclasses.dataclass(frozen=True)
class FeedbackConfig(MethodConfig):
    """Abstract: the hyperparameters of feedback; the defaults are the paper's for CIFAR-10-4K."""

    feedback: str = option(
        "exact",
        "How the student's progress reaches the teacher. sampled: labels drawn from the teacher, "
        "credited with the fall of the labeled loss. dot: the same, the fall computed to first "
        "order. exact: soft labels, each class of each image with its own credit. none: soft "
        "labels, no feedback (a student distilled from a UDA teacher).",
        choices=tuple(ESTIMATORS),
    )
    feedback_weight: float = option(
        1.0,
        "Weight of the feedback term in the teacher's loss, at least 0, on the scale that "
        "feedback_scale says.",
        low=0,
        beside=("feedback", ("sampled", "dot", "exact")),
    )
    feedback_scale: str = option(
        "step",
        "What a feedback_weight of 1 is. step: the change of the student's labeled loss by its "
        "step, as in the paper; it falls with the student's rate. unit: the same for a step of "
        "rate 1. On both, sampled and dot have on average 1/U of exact's, for U unlabeled images a "
        "step, and noise.",
        choices=("step", "unit"),
        beside=("feedback", ("sampled", "dot", "exact")),
    )
    student_supervised_weight: float = option(
        0.0,
        "Weight of the student's own cross entropy on labels, at least 0; with 0 it sees no label "
        "before it is finetuned.",
        low=0,
    )
    baseline_decay: float = option(
        0.99,
        "Decay of the running mean of the feedback that is subtracted from it (sampled and dot), "
        "in [0, 1); 0 subtracts the last value.",
        low=0,
        below=1,
        beside=("feedback", ("sampled", "dot")),
    )
    label_smoothing: float = redefault(MethodConfig, "label_smoothing", 0.15)
    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)


FEEDBACK_PANELS = (
    Panel(
        "Feedback",
        {"feedback": "mean (above 0: the step helped)", "baseline": "baseline"},
        band="feedback_std",
    ),
    Panel(
        "Signal to noise of the feedback",
        {"feedback_snr": "|mean| / std over the steps of a log row"},
        low=0.0,
    ),
    Panel(
        "Pseudo labels that helped",
        {"positive_credit": "share of positive credit"},
        low=0.0,
    ),
)


class FeedbackMethod(Method):
    """Abstract: a student that learns pseudo labels alone, and tells how much they helped.

        S <- optimizer_S(S, grad_S [ mean CE(smooth(pseudo_label), S(strong))
                     + student_supervised_weight * mean CE(smooth(label), S(labeled)) ])

    With `student_supervised_weight` the labeled images share the student's batch, and so its batch
    statistics. In the authors' code they do so without a loss on them, too.

    A concrete method makes the pseudo labels, by `self.estimator.label`, and has whoever made them
    step along `self.estimator.loss`; see `estimators` and `mpl_tf.formulas.feedback`.

    Args:
      student: built keras.Model of logits [N, K].
      teacher: one that learns in the student's steps; None if there is none.
      seed: from which, with the step, pseudo labels are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of the method's Config.

    Attributes:
      estimator: estimators.Estimator, from the student's step to a term of a loss.
      feedback_average, feedback_count: running mean of the feedback, and how many values it is of.
    """

    config: FeedbackConfig

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | None = None,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        config = options.make(self.Config, hyperparameters, type(self).__name__)
        special = {"feedback_std": Deviation, "feedback_snr": SignalToNoise}
        super().__init__(
            config, student, teacher, seed=seed, strategy=strategy, special_metrics=special
        )
        self.estimator = ESTIMATORS[self.config.feedback](self)
        with self.distribute_strategy.scope():
            scalar = {"shape": (), "trainable": False, "initializer": "zeros"}
            self.feedback_average = self.add_weight(name="feedback_average", **scalar)
            self.feedback_count = self.add_weight(name="feedback_count", dtype="int64", **scalar)

    def facts(self) -> dict[str, Any]:
        return {"feedback": self.config.feedback}

    def step_student(self, batch: dict[str, tf.Tensor], pseudo_label: tf.Tensor) -> StudentStep:
        """Moves the student by one step on pseudo labels [U, K] of the strong views."""
        optimizer, variables = self.student_optimizer, self.student.trainable_variables
        rate = tf.convert_to_tensor(optimizer.learning_rate)
        weights = [tf.convert_to_tensor(v) for v in variables]

        def learn():
            return Lesson(
                self.forward,
                self.student,
                batch["strong"],
                pseudo_label,
                self.config.label_smoothing,
                scale_of(optimizer),
                self.labels_beside(batch),
            )

        lesson, gradient = self.sharpness.lesson(self, self.student, learn)
        reduced = reduce_gradient(gradient, variables, self.weight_decay)
        applied = self.at_rates(clip(reduced, self.clip_norm), variables)
        state = self.forward.state_of(self.student)
        self.apply(optimizer, applied, variables)
        self.log(student_loss=lesson.loss, student_learning_rate=rate)
        return StudentStep(
            self, lesson, pseudo_label, reduced, applied, rate, weights, state, batch
        )

    def labels_beside(self, batch: dict[str, tf.Tensor]) -> Beside | None:
        """The labeled images and their loss that the student learns beside the lesson, if any."""
        weight = self.config.student_supervised_weight
        if not weight:
            return None
        return Beside(
            batch["labeled"], batch["label"], lambda y, z: weight * self.supervised_loss(y, z)
        )

    def student_passes(self, batch: dict[str, tf.Tensor]) -> None:
        images = [batch["strong"]]
        if self.config.student_supervised_weight:
            images = [batch["labeled"], batch["strong"]]
        self.forward(self.student, *images)
