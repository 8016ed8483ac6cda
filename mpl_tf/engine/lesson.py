"""What a student learns from pseudo labels, and how that changes with the labels."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from mpl_tf.engine.forward import Forward
from mpl_tf.engine.turns import run_after
from mpl_tf.engine.update import scale, unscale
from mpl_tf.formulas import losses


@dataclasses.dataclass(frozen=True)
class Beside:
    """What a student learns in a step beside pseudo labels, from images in the same batch.

    Attributes:
      images: [B,H,W,C].
      label: [B] integer class ids.
      loss: function of (label [b], logits [b, K]) -> scalar.
    """

    images: tf.Tensor
    label: tf.Tensor
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Lesson:
    """The gradient of a student's loss on pseudo labels q, which can be differentiated by q.

        loss = mean_i cross_entropy(smooth(q_i), S(x_i; theta))
        gradient = d (loss + what is learned beside it) / d theta

    Constructing it runs the student's pass, so that batch statistics and dropout seeds move on,
    unless they are kept.

    Args:
      forward: how networks are run.
      student: keras.Model of logits.
      strong: [U,H,W,C] images x.
      pseudo_label: floating [U, K], rows q_i.
      smoothing: float in [0, 1), label smoothing.
      loss_scale: what the loss is multiplied by before it is differentiated; None for nothing.
      beside: what else the student learns; its images share the batch statistics.
      keep_state: whether statistics and seeds stay as they are.

    Attributes:
      loss: scalar.
      gradient: list of tensors, one for each trainable variable, None where there is none.
    """

    def __init__(
        self,
        forward: Forward,
        student: keras.Model,
        strong: tf.Tensor,
        pseudo_label: tf.Tensor,
        smoothing: float,
        loss_scale: tf.Tensor | float | None = None,
        beside: Beside | None = None,
        *,
        keep_state: bool = False,
    ):
        self._forward, self._student, self._smoothing = forward, student, smoothing
        self._strong, self._pseudo_label, self._loss_scale = strong, pseudo_label, loss_scale
        self._beside = beside
        weights = forward.weights_of(student)
        if forward.rematerialize:  # the student as it is now, for `credit`
            self._weights = [tf.convert_to_tensor(v) for v in weights]
            self._state = forward.state_of(student)
        with tf.GradientTape(watch_accessed_variables=False) as self._tape:
            if not forward.rematerialize:
                self._tape.watch(pseudo_label)
            with tf.GradientTape() as tape:
                tape.watch([w for w in weights if not isinstance(w, keras.Variable)])
                *others, logits = forward(student, *self._images(), keep_state=keep_state)
                self.loss = self._mean_loss(pseudo_label, logits)
                total = self.loss
                if beside is not None:
                    total += beside.loss(beside.label, *others)
                scaled = scale(total, loss_scale)
            self._scaled = tape.gradient(scaled, weights)  # linear in q
        self.gradient = unscale(self._scaled, loss_scale)

    def _images(self):
        return [self._strong] if self._beside is None else [self._beside.images, self._strong]

    def _mean_loss(self, pseudo_label, logits):
        taught = losses.smooth(pseudo_label, self._smoothing)
        return tf.reduce_mean(losses.cross_entropy(taught, logits))

    def credit(self, direction: list[tf.Tensor]) -> tf.Tensor:
        """`d <gradient, direction> / d q`, by differentiating the gradient once more.

        Where passes are computed twice this computes them a third time, by microbatches, with the
        weights, the batch statistics and the dropout masks of the first.

        Args:
          direction: list of tensors of the shapes of `gradient`, held constant.

        Returns:
          floating [U, K].
        """
        if not self._forward.rematerialize:
            return self._contract(self._tape, self._scaled, self._pseudo_label, direction)
        state = self._state
        credits: list[tf.Tensor] = []
        groups = self._forward.microbatches(*self._images(), self._pseudo_label)
        for *parts, taught in groups:
            images = tf.concat(parts, 0)
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(taught)
                with tf.GradientTape(watch_accessed_variables=False) as inner:
                    inner.watch(self._weights)
                    # One pass after the other; the first, when its direction is there.
                    images = run_after(credits[-1:] or direction, images)
                    logits, state = self._forward.stateless(
                        self._student, self._weights, state, images
                    )
                    lesson = logits[-(taught.shape[0] or tf.shape(taught)[0]) :]
                    loss = self._mean_loss(taught, lesson) / len(groups)
                    scaled = scale(loss, self._loss_scale)
                gradient = inner.gradient(scaled, self._weights)
            credits.append(self._contract(outer, gradient, taught, direction))
        return tf.concat(credits, 0)

    def _contract(self, tape, gradient, pseudo_label, direction):
        pairs = [(g, d) for g, d in zip(gradient, direction, strict=True) if g is not None]
        gradient, direction = zip(*pairs, strict=True)
        if self._loss_scale is None:
            return tape.gradient(gradient, pseudo_label, output_gradients=list(direction))
        # The gradient carries the loss scale. A direction of length 1 leaves its numbers in range;
        # scaled up as well, they overflow at the scale that training starts with.
        length = tf.linalg.global_norm(direction)
        unit = [tf.math.divide_no_nan(d, length) for d in direction]
        credit = tape.gradient(gradient, pseudo_label, output_gradients=unit)
        return unscale(credit * length, self._loss_scale)
