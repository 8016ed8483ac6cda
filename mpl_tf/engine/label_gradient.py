"""How labels of unlabeled images move the gradient of a network towards that of its labels."""

from typing import Any

import tensorflow as tf

from mpl_tf.engine import replicas, update
from mpl_tf.engine.lesson import Lesson
from mpl_tf.formulas import feedback


def alignment(method: Any, batch: dict[str, tf.Tensor], taught: tf.Tensor) -> tuple[Any, Any]:
    """The distance of two gradients, and its gradient by the labels of unlabeled images.

        g_u = grad_S mean_i cross_entropy(q_i, S(weak_i)),  over the global batch
        g_l = grad_S mean_i of the loss on labels
        distance = |g_u - g_l|^2
        d distance / d q_ik = 2 <d g_u / d q_ik, g_u - g_l>

    g_u is linear in q: the last line is one directional derivative of the network's log
    probabilities, which `lesson.Lesson` has for every image and class at once, as the exact
    feedback of Meta Pseudo Labels does. The passes leave no trace in the student's state. Labeled
    and unlabeled images have batch statistics of their own.

    Args:
      method: engine.student.StudentMethod, compiled, whose student it is.
      batch: `labeled` [B,H,W,C], `label` [B], and `weak` [U,H,W,C].
      taught: floating [U, K], q.

    Returns:
      (distance, gradient): a scalar, the same on every replica, and [U, K], both of the logits'
      dtype; 0 where the scaled loss of float16 overflows.
    """
    optimizer = method.student_optimizer
    factor = update.scale_of(optimizer)
    weights = method.forward.weights_of(method.student)
    with tf.GradientTape() as tape:
        (labeled,) = method.forward(method.student, batch["labeled"], keep_state=True)
        scaled = update.scale(method.supervised_loss(batch["label"], labeled), factor)
    of_labels = update.unscale(tape.gradient(scaled, weights), factor)
    lesson = Lesson(
        method.forward,
        method.student,
        batch["weak"],
        tf.cast(taught, labeled.dtype),
        0.0,
        factor,
        keep_state=True,
    )
    ours, theirs = (update.filled(g, weights) for g in (lesson.gradient, of_labels))
    difference = [a - b for a, b in zip(ours, theirs, strict=True)]
    difference = replicas.mean_over_replicas(difference)
    _, count = replicas.replica()
    gradient = 2 / count * lesson.credit(difference)
    distance = feedback.inner_product(difference, difference)
    finite = method.overflow.finite
    return finite(distance, optimizer, ""), finite(gradient, optimizer, "label_gradients")
