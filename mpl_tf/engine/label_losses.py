"""What methods lose on labels, and what they log of the labels they teach."""

from typing import Any

import tensorflow as tf

from mpl_tf.engine.delivery import Delivery
from mpl_tf.formulas import losses


class LabelLosses(Delivery):
    """Abstract: the losses on labels, as `config` has them, and the logs of pseudo labels."""

    def label_loss(self, label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Cross entropy of each labeled image: smoothed, adjusted, and weighted by its class.

        Args:
          label: integer [B], class ids.
          logits: floating [B, K].

        Returns:
          [B], in nats.
        """
        smoothing = self.config.label_smoothing
        adjusted = self.logit_adjustment(logits)
        return losses.label_loss(label, adjusted, smoothing, self.class_weights.array)

    def label_target(
        self, label: tf.Tensor, dtype: tf.DType, class_weights: Any = None
    ) -> tf.Tensor:
        """Labels [B], class ids, as smoothed distributions [B, K]; see `losses.one_hot`."""
        classes, smoothing = self.student.output_shape[-1], self.config.label_smoothing
        return losses.one_hot(label, classes, smoothing, dtype, class_weights)

    def supervised_loss(self, label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The mean of `label_loss`, a scalar."""
        return tf.reduce_mean(self.label_loss(label, logits))

    def log_pseudo_labels(self, probs: tf.Tensor, batch: dict[str, tf.Tensor]) -> None:
        """Logs what was taught: class shares, and accuracy where hidden labels are known.

        Args:
          probs: floating [U, K], the pseudo labels.
          batch: `hidden_label` [U], the true classes where they are known and -1 elsewhere, is read
            here and nowhere else.
        """
        if self.pseudo_label_shares is not None:
            self.pseudo_label_shares.update_state(probs)
        if "hidden_label" in batch:
            hidden = tf.cast(batch["hidden_label"], tf.int64)
            right = tf.cast(tf.equal(tf.argmax(probs, axis=-1), hidden), tf.float32)
            known = tf.reduce_sum(tf.cast(hidden >= 0, tf.float32))
            accuracy = tf.math.divide_no_nan(tf.reduce_sum(right), known)
            self.log(pseudo_label_accuracy=accuracy, weight=known)

    def log_mask(self, mask: tf.Tensor, threshold: float) -> None:
        """Logs the share of unlabeled images taught, unless a threshold of 0 lets all pass.

        Args:
          mask: floating [U], 1 for the images that are taught.
          threshold: least confidence.
        """
        if threshold:
            self.log(mask_rate=tf.reduce_mean(mask))
