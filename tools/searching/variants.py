"""What is compared: Meta Pseudo Labels without feedback, with it, and controls of it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, final

import tensorflow as tf

from mpl_tf.engine.estimators import ESTIMATORS, Estimator, Exact, NoFeedback
from mpl_tf.engine.student_step import StudentStep
from mpl_tf.formulas import feedback, losses

# Images and labels that nothing else uses.
OtherLabels = tuple[tf.Tensor, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way from the student's progress to the teacher.

    Attributes:
      name: by which it is called.
      options: of the method.
      estimator: makes one of a method, and of images and labels that nothing else uses.
    """

    name: str
    options: Mapping[str, Any]
    estimator: Callable[[Any, OtherLabels], Estimator]

    @property
    def has_feedback(self) -> bool:
        """Whether something takes the place of the feedback."""
        return self.options["feedback"] != "none"


class _OfExact(Estimator):
    """Abstract: the exact feedback, of which a part is another."""

    differentiates_step = True

    def __init__(self, method: Any):
        super().__init__(method)
        self._exact = Exact(method)

    def label(self, logits: tf.Tensor) -> tf.Tensor:
        return self._exact.label(logits)

    def credit(self, step: StudentStep) -> tf.Tensor:
        return self._exact.credit(step)

    def term(
        self, credit: tf.Tensor, pseudo_label: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor | float:
        return self._exact.term(credit, pseudo_label, logits)


@final
class Measured(_OfExact):
    """The exact feedback. Logs how right its direction is, which needs the hidden labels.

    `true_cosine` is the cosine between the gradients of its term and of the cross entropy of true
    labels, both by the teacher's logits of the images that it labels. `true_credited` is the share
    of wrongly labeled images whose true class it makes more likely. Images of classes without
    labels do not count; without hidden labels nothing is logged.
    """

    def credit(self, step: StudentStep) -> tf.Tensor:
        credit = super().credit(step)
        if "hidden_label" not in step.batch:
            return credit
        probs, hidden = step.pseudo_label, tf.cast(step.batch["hidden_label"], tf.int32)
        true = tf.one_hot(hidden, probs.shape[-1], dtype=probs.dtype)
        known = tf.reduce_sum(true, axis=-1)  # 0 for images of classes that have no label
        ours = probs * (credit - tf.reduce_sum(probs * credit, axis=-1, keepdims=True))
        ours, theirs = (known[:, None] * gradient for gradient in (ours, probs - true))
        cosine = tf.math.divide_no_nan(
            tf.reduce_sum(ours * theirs), tf.norm(ours) * tf.norm(theirs)
        )
        is_wrong = tf.argmax(probs, axis=-1, output_type=tf.int32) != hidden
        wrong = known * tf.cast(is_wrong, probs.dtype)
        credited = tf.reduce_sum(wrong * tf.cast(tf.reduce_sum(ours * true, -1) < 0, probs.dtype))
        number = tf.reduce_sum(wrong)
        self.method.log(true_cosine=cosine)
        self.method.log(true_credited=tf.math.divide_no_nan(credited, number), weight=number)
        return credit


@final
class Shuffled(_OfExact):
    """The exact feedback with credits of other images of the batch: its size, no information."""

    def credit(self, step: StudentStep) -> tf.Tensor:
        credit = super().credit(step)
        seed = self.method.draw_seed()
        order = tf.argsort(tf.random.stateless_uniform([tf.shape(credit)[0]], seed))
        return tf.gather(credit, order)


@final
class OfClasses(_OfExact):
    """The mean of the exact feedback's credits over the images: what it says of classes."""

    def credit(self, step: StudentStep) -> tf.Tensor:
        credit = super().credit(step)
        return tf.zeros_like(credit) + tf.reduce_mean(credit, axis=0)


@final
class OfImages(_OfExact):
    """The exact feedback's credits less their mean over the images: what it says of images."""

    def credit(self, step: StudentStep) -> tf.Tensor:
        credit = super().credit(step)
        return credit - tf.reduce_mean(credit, axis=0)


@final
class FromOtherLabels(_OfExact):
    """The exact feedback, measured on labels that nothing else uses.

    Args:
      method: methods.MetaPseudoLabels.
      others: [N, ...] images, as the networks take them, and int [N] classes.
    """

    def __init__(self, method: Any, others: OtherLabels):
        super().__init__(method)
        self._images, self._labels = others

    def credit(self, step: StudentStep) -> tf.Tensor:
        size, total = tf.shape(step.batch["label"])[:1], tf.shape(self._labels)[0]
        drawn = tf.random.stateless_uniform(size, self.method.draw_seed(), 0, total, tf.int32)
        batch = {
            "labeled": tf.gather(self._images, drawn),
            "label": tf.gather(self._labels, drawn),
        }
        return super().credit(dataclasses.replace(step, batch=batch))


@final
class SupervisedInstead(_OfExact):
    """The teacher's cross entropy on labels, scaled to the gradient norm of the exact feedback.

    Both norms, and the cross entropy, are those of the teacher in evaluation mode.
    """

    _batch: dict[str, tf.Tensor]

    def credit(self, step: StudentStep) -> tf.Tensor:
        self._batch = step.batch
        return super().credit(step)

    def term(
        self, credit: tf.Tensor, pseudo_label: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor | float:
        teacher, config, batch = self.method.teacher, self.method.config, self._batch
        variables = teacher.trainable_variables
        with tf.GradientTape() as of_feedback:
            labeling = teacher(batch[config.label_view], training=False) / config.label_temperature
            replaced = feedback.exact_term(credit, labeling)
        with tf.GradientTape() as of_labels:
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], teacher(batch["labeled"], training=False))
            )
        norm, own = (
            tf.linalg.global_norm(tape.gradient(loss, variables))
            for tape, loss in ((of_feedback, replaced), (of_labels, supervised))
        )
        return tf.stop_gradient(tf.math.divide_no_nan(norm, own)) * supervised


@final
class AlignedLabels(Estimator):
    """No feedback, and labels of an image that are aligned: classes are as frequent as each other.

    The share of a class that alignment divides by is the teacher's mean over the step's images.
    """

    def __init__(self, method: Any):
        super().__init__(method)
        self._none = NoFeedback(method)

    def label(self, logits: tf.Tensor) -> tf.Tensor:
        temperature = self.method.config.label_temperature
        probs = tf.nn.softmax(logits * temperature)  # the teacher's, before they are sharpened
        predicted = tf.reduce_mean(probs, axis=0)
        uniform = tf.ones_like(predicted) / tf.cast(tf.size(predicted), predicted.dtype)
        aligned = losses.align(probs, uniform, predicted)
        return losses.sharpen(tf.math.log(aligned), temperature)

    def credit(self, step: StudentStep) -> tf.Tensor:
        return self._none.credit(step)

    def scale(self, step: StudentStep) -> tf.Tensor | float:
        return self._none.scale(step)

    def term(
        self, credit: tf.Tensor, pseudo_label: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor | float:
        return self._none.term(credit, pseudo_label, logits)


def _of(name: str) -> Callable[[Any, OtherLabels], Estimator]:
    return lambda method, others: ESTIMATORS[name](method)


_EXACT = {"feedback": "exact", "feedback_scale": "unit"}
_NONE = {"feedback": "none"}
NONE = Variant("none", _NONE, _of("none"))
FEEDBACK = Variant("exact", _EXACT, lambda method, others: Measured(method))
VARIANTS = (
    NONE,
    FEEDBACK,
    *(Variant(form, _EXACT | {"feedback": form}, _of(form)) for form in ("sampled", "dot")),
    Variant("shuffled over images", _EXACT, lambda method, others: Shuffled(method)),
    Variant("of classes alone", _EXACT, lambda method, others: OfClasses(method)),
    Variant("of images alone", _EXACT, lambda method, others: OfImages(method)),
    Variant("supervised instead", _EXACT, lambda method, others: SupervisedInstead(method)),
    Variant("alignment instead", _NONE, lambda method, others: AlignedLabels(method)),
    Variant("other labels", _EXACT, FromOtherLabels),
)
