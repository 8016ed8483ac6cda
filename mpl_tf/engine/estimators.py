"""How the student's progress on labeled images becomes a term of the teacher's loss.

An estimator answers three questions, in the order of a step: what the student is taught (`label`),
what its step was worth (`credit`), and what the teacher minimises for it (`term`). The formulas are
in `feedback`.
"""

from typing import Any, final

import keras
import tensorflow as tf

from mpl_tf.engine import replicas, update
from mpl_tf.engine.student_step import StudentStep
from mpl_tf.formulas import averages, feedback, random
from mpl_tf.options import ConfigError


class Estimator:
    """Abstract: one way from the student's step to the teacher's loss.

    Args:
      method: engine.feedback_method.FeedbackMethod, which holds the baseline of the feedback, and
        its count, as variables, and logs.

    Attributes:
      differentiates_step: whether the student's optimizer step is differentiated: it must be SGD.
    """

    differentiates_step = False

    def __init__(self, method: Any):
        self.method = method

    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Raises ConfigError if the student's optimizer has steps that cannot be differentiated."""
        moves_student, config = update.inner_optimizer(optimizer), self.method.config
        if isinstance(moves_student, keras.optimizers.SGD):
            return
        in_units = config.feedback_scale == "unit" and config.feedback != "none"
        if not self.differentiates_step and not in_units:
            return
        reason = (
            f"feedback={config.feedback} differentiates the student's step"
            if self.differentiates_step
            else "feedback_scale=unit is how far a rate moves the student"
        )
        changes = ["feedback=sampled"] * self.differentiates_step
        changes += ["feedback_scale=step"] * in_units
        raise ConfigError(
            f"{reason}, which is known of SGD alone; received {type(moves_student).__name__}. Take "
            f"{' with '.join(changes)}, which is for any optimizer, or SGD (optimizer=sgd)."
        )

    def label(self, logits: tf.Tensor) -> tf.Tensor:
        """What the student is taught.

        Args:
          logits: floating [U, K], the teacher's.

        Returns:
          [U, K] distributions.
        """
        raise NotImplementedError

    def credit(self, step: StudentStep) -> tf.Tensor:
        """What the step was worth: a scalar, or [U, K] for every label of every image. Logs it."""
        raise NotImplementedError

    def term(
        self, credit: tf.Tensor, pseudo_label: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor | float:
        """The feedback term of the teacher's loss, a scalar.

        Args:
          credit: what `credit` gave.
          pseudo_label: what `label` gave.
          logits: floating [U, K], those that were given to `label`.
        """
        raise NotImplementedError

    def loss(self, step: StudentStep, credit: tf.Tensor, logits: tf.Tensor) -> tf.Tensor | float:
        """feedback_weight * scale * term, a scalar; 0.0 without feedback.

        Args:
          step: the student's, which is held constant.
          credit: what it was worth, held constant.
          logits: floating [U, K], those that were given to `label`.
        """
        term = self.term(credit, step.pseudo_label, logits)
        return self.method.config.feedback_weight * self.scale(step) * term

    def scale(self, step: StudentStep) -> tf.Tensor | float:
        """What the term is multiplied by: 1, or what makes it that of a step of rate 1.

        That is 0 at rate 0.

        Not by U for the scalar forms: in expectation that would make them as large as `exact`, and
        their noise U times as large as it is (docs/feedback.md).
        """
        if self.method.config.feedback_scale != "unit":
            return 1.0
        factor = _step_factor(step, step.pseudo_label.dtype)
        return tf.math.divide_no_nan(tf.ones_like(factor), factor)

    def log(
        self,
        value: tf.Tensor,
        baseline: tf.Tensor | float,
        positive: tf.Tensor,
        labeled_loss: tf.Tensor,
    ) -> None:
        """Logs the feedback of a step.

        Args:
          value: scalar, above 0 if the student's step helped, with all that is in it: the L2 term
            and labels that it learns beside the lesson, and for `sampled` momentum.
          baseline: scalar that is subtracted from it.
          positive: bool, which unlabeled images are credited, of any shape.
          labeled_loss: scalar, the student's after the step.
        """
        self.method.log(
            feedback=value,
            feedback_std=value,
            feedback_snr=value,
            baseline=baseline,
            positive_credit=tf.reduce_mean(tf.cast(positive, tf.float32)),
            student_labeled_loss=labeled_loss,
        )


class _DrawnLabels(Estimator):
    """Abstract: labels are drawn from the teacher, and share the credit of one number a step."""

    def label(self, logits: tf.Tensor) -> tf.Tensor:
        # Drawn for the global batch, so that replicas together draw what one alone would.
        index, _ = replicas.replica()
        seed = self.method.draw_seed()
        uniform = random.uniform(seed, replicas.shape_on_all(logits), logits.dtype)[index]
        drawn = tf.argmax(logits - tf.math.log(-tf.math.log(uniform)), axis=-1)
        return tf.one_hot(drawn, logits.shape[-1], dtype=logits.dtype)

    def term(
        self, credit: tf.Tensor, pseudo_label: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor | float:
        return feedback.scalar_term(credit, pseudo_label, logits)

    def advantage(self, value: tf.Tensor, step: StudentStep, labeled_loss: tf.Tensor) -> tf.Tensor:
        """Feedback minus its running mean; 0, and nothing learned, while the student waits.

        The mean is taken on the scale of the term: on that of a step of rate 1 it does not lag
        behind a feedback that falls with the rate.

        Args:
          value: scalar, the feedback of this step.
          step: the student's.
          labeled_loss: scalar, the student's after the step, for the log.
        """
        method, active = self.method, step.rate > 0
        average, decay = tf.convert_to_tensor(method.feedback_average), method.config.baseline_decay
        scale = tf.cast(self.scale(step), average.dtype)
        mean = averages.debiased(average, method.feedback_count, decay)
        baseline = tf.math.divide_no_nan(mean, scale)
        self.log(value, baseline, value > tf.cast(baseline, value.dtype), labeled_loss)
        updated = averages.moving_average(average, tf.cast(value, average.dtype) * scale, decay)
        method.feedback_average.assign(tf.where(active, updated, average))
        method.feedback_count.assign_add(tf.cast(active, tf.int64))
        advantage = value - tf.cast(baseline, value.dtype)
        return tf.where(active, advantage, tf.zeros_like(advantage))


@final
class Sampled(_DrawnLabels):
    """Drawn labels, credited with the fall of the labeled loss."""

    def credit(self, step: StudentStep) -> tf.Tensor:
        before, after = step.loss_before(), step.loss_after()
        return self.advantage(feedback.loss_difference(before, after), step, after)


@final
class Dot(_DrawnLabels):
    """Drawn labels, credited with the fall of the labeled loss to first order."""

    differentiates_step = True

    def credit(self, step: StudentStep) -> tf.Tensor:
        after, gradient = step.gradient_after()
        helped = _finite(step, _first_order(step, gradient), "credits")
        return self.advantage(helped, step, after)


@final
class Exact(Estimator):
    """Soft labels, each class of each image credited with its own derivative of the labeled loss.

    The lesson's own gradient is differentiated once more along the labeled gradient. Measured
    (tools/benchmark.py credit) against a double backward pass and a finite difference of two
    forward passes this is no slower, and in float32 several times closer than the latter. It is
    right under synchronised batch normalisation on two replicas (tests/integration/
    test_replicas.py), where forward-mode differentiation is silently wrong.
    """

    differentiates_step = True

    def label(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(logits)

    def credit(self, step: StudentStep) -> tf.Tensor:
        after, gradient = step.gradient_after()
        method = self.method
        at_rates = method.at_rates(gradient, method.student.trainable_variables)
        direction = feedback.through_clipping(at_rates, step.reduced, method.clip_norm)
        credit = -_step_factor(step, after.dtype) * step.lesson.credit(direction)
        credit = _finite(step, credit, "credits")  # [U, K]
        gain = -tf.reduce_sum(step.pseudo_label * credit, axis=-1)  # [U], what each lesson brought
        feedback_value = _finite(step, _first_order(step, gradient), "")
        self.log(feedback_value, 0.0, gain > 0, after)
        return credit

    def term(
        self, credit: tf.Tensor, pseudo_label: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor | float:
        return feedback.exact_term(credit, logits)


@final
class NoFeedback(Estimator):
    """Soft labels and no feedback: a student distilled from its teacher."""

    def label(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(logits)

    def credit(self, step: StudentStep) -> tf.Tensor:
        return tf.zeros_like(step.rate)

    def scale(self, step: StudentStep) -> tf.Tensor | float:
        return 1.0

    def term(
        self, credit: tf.Tensor, pseudo_label: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor | float:
        return 0.0


ESTIMATORS: dict[str, type[Estimator]] = {
    "sampled": Sampled,
    "dot": Dot,
    "exact": Exact,
    "none": NoFeedback,
}


def _step_factor(step: StudentStep, dtype: tf.DType) -> tf.Tensor:
    sgd = update.inner_optimizer(step.method.student_optimizer)
    return feedback.step_factor(tf.cast(step.rate, dtype), sgd.momentum, sgd.nesterov)


def _first_order(step: StudentStep, gradient: list[tf.Tensor]) -> tf.Tensor:
    """The fall of the labeled loss by the step's whole gradient, to first order, a scalar."""
    factor = _step_factor(step, gradient[0].dtype)
    return feedback.dot_product(gradient, step.applied, factor)


def _finite(step: StudentStep, values: tf.Tensor, name: str) -> tf.Tensor:
    """Values with 0 where the lesson's scaled loss has overflowed; see `Overflow.finite`."""
    return step.method.overflow.finite(values, step.method.student_optimizer, name)
