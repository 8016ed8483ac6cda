"""A step of the student on pseudo labels, and the labeled loss before and after it."""

import dataclasses
from typing import Any

import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.lesson import Lesson
from mpl_tf.formulas import losses


@dataclasses.dataclass(frozen=True)
class StudentStep:
    """A step that the student has taken on pseudo labels, and where its progress is measured.

    Batch statistics and dropout seeds are read once, after the lesson: losses before and after the
    step differ in the weights only, and leave no trace in the student.

    Attributes:
      method: engine.feedback_method.FeedbackMethod, whose student has stepped.
      lesson: the gradient of the step, which can be differentiated by the pseudo labels.
      pseudo_label: floating [U, K].
      reduced: the gradient, averaged over replicas and with the L2 term, before clipping.
      applied: the gradient that the optimizer was handed.
      rate: scalar, the learning rate of the step.
      weights: the student's trainable weights before the step.
      state: its batch statistics and dropout seeds.
      batch: `labeled` [B,H,W,C] images and `label` [B], their classes, are read.
    """

    method: Any
    lesson: Lesson
    pseudo_label: tf.Tensor
    reduced: list[tf.Tensor]
    applied: list[tf.Tensor]
    rate: tf.Tensor
    weights: list[tf.Tensor]
    state: list[tf.Tensor]
    batch: dict[str, tf.Tensor]

    def loss_before(self) -> tf.Tensor:
        """Mean cross entropy on the labeled images before the step, averaged over replicas."""
        return replicas.mean_over_replicas(self._labeled_loss(self.weights))

    def loss_after(self) -> tf.Tensor:
        """Mean cross entropy on the labeled images after the step, averaged over replicas."""
        return replicas.mean_over_replicas(self._labeled_loss(self._moved()))

    def gradient_after(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """(`loss_after`, its gradient), both averaged over replicas."""
        weights = self._moved()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss = self._labeled_loss(weights)
        gradient = tape.gradient(loss, weights, unconnected_gradients="zero")
        gradient = replicas.mean_over_replicas(gradient)
        return replicas.mean_over_replicas(loss), gradient

    def _moved(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(v) for v in self.method.student.trainable_variables]

    def _labeled_loss(self, weights: list[tf.Tensor]) -> tf.Tensor:
        method, batch = self.method, self.batch
        logits, _ = method.forward.stateless(method.student, weights, self.state, batch["labeled"])
        each = losses.label_loss(
            batch["label"],
            method.logit_adjustment(logits),
            class_weights=method.class_weights.array,
        )
        return tf.reduce_mean(each)
