"""Labels that a network guesses from several views, sharpened and mixed (Berthelot et al. 2019)."""

from typing import Any

import tensorflow as tf

from mpl_tf.engine import mixup
from mpl_tf.formulas import losses

Batch = dict[str, tf.Tensor]


def guess(method: Any, views: list[tf.Tensor], temperature: float) -> tf.Tensor:
    """The sharpened mean prediction of several views of the same images.

    The student guesses in training mode, without a trace in its batch statistics.

    Args:
      method: engine.student.StudentMethod.
      views: [U,H,W,C] each.
      temperature: above 0.

    Returns:
      floating [U, K], rows sum to 1.
    """
    logits = method.forward(method.student, *views, keep_state=True)
    mean = tf.add_n([tf.nn.softmax(z) for z in logits]) / len(logits)
    return losses.sharpen(tf.math.log(mean), temperature)


def mixed(
    method: Any, batch: Batch, views: list[tf.Tensor], guessed: tf.Tensor, alpha: float
) -> mixup.Mixed:
    """Labeled images and views mixed with one another, and their labels likewise.

    Args:
      method: engine.student.StudentMethod.
      batch: `labeled` [B,H,W,C] and `label` [B].
      views: [U,H,W,C] each.
      guessed: floating [U, K], the labels of each view.
      alpha: as for `mixup.mix`.

    Returns:
      (images, labels): as `mixup.mix_labels_and_guesses`.
    """
    return mixup.mix_labels_and_guesses(
        [batch["labeled"], *views],
        method.label_target(batch["label"], guessed.dtype),  # [B, K]
        method.label_target(batch["label"], guessed.dtype, method.class_weights.array),
        guessed,
        alpha,
        method.draw_seed(),
    )


def losses_of_mixed(
    method: Any, labels: list[tf.Tensor], logits: list[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """MixMatch's losses on mixed images: equations 3 and 4.

    Args:
      method: engine.student.StudentMethod.
      labels: floating [B, K] of the labeled images, and [U, K] of each view.
      logits: likewise, the student's.

    Returns:
      (mean cross entropy, mean squared error of the views' probabilities): scalars.
    """
    (label, *guesses), (labeled, *others) = labels, logits
    adjusted = method.logit_adjustment(labeled)
    supervised = tf.reduce_mean(losses.cross_entropy(label, adjusted))
    probs = tf.nn.softmax(tf.concat(others, 0))
    return supervised, tf.reduce_mean(losses.squared_error(probs, tf.concat(guesses, 0)))
