"""The step that all methods without feedback share: one loss, one optimizer, the student."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mpl_tf import options
from mpl_tf.engine.method import Method

Batch = dict[str, tf.Tensor]


class StudentMethod(Method):
    """Abstract: a student that steps along the gradient of one objective.

        targets <- targets(batch)                        without gradient
        loss, pseudo_label <- objective(batch, targets)
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    A concrete method defines `objective`, and `targets` if something is computed outside the
    gradient. The objective may log, and may move variables of the method.

    Args:
      student: built keras.Model of logits [N, K].
      teacher: likewise; methods with one network have none.
      seed: from which, with the step, comes all that a step draws.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of the method's Config.
    """

    def __init__(
        self,
        student: keras.Model,
        *,
        teacher: keras.Model | None = None,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        config = options.make(self.Config, hyperparameters, type(self).__name__)
        super().__init__(config, student, teacher, seed=seed, strategy=strategy)

    @property
    def trained(self) -> keras.Model:
        """The network whose variables the optimizer moves: the student, or one around it."""
        return self.student

    def targets(self, batch: Batch) -> Batch:
        """What the objective needs and takes no gradient through, by further keys of the batch."""
        return {}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The loss of a step, of this replica's part of the batch.

        Args:
          batch: `labeled` [B,H,W,C] images, `label` [B] integer class ids, `unlabeled_views`, and
            what `targets` gives.

        Returns:
          (loss, pseudo_label): a scalar, and the labels [U, K] that unlabeled images are taught,
          for the log; None if there are none.
        """
        raise NotImplementedError

    def compile(
        self, optimizer: Any = None, *, student_optimizer: Any = None, **kwargs: Any
    ) -> None:
        """As Trainer.compile, with the optimizer of the student.

        Args:
          optimizer: what `keras.optimizers.get` takes: an optimizer, its name, its configuration.
          student_optimizer: the same, by the name that methods with two networks have for it.
          **kwargs: for Trainer.compile: `weight_decay`, `clip_norm`, `jit_compile`, ...

        Raises:
          ValueError: an optimizer is missing, named twice, or cannot be used.
        """
        if (optimizer is None) == (student_optimizer is None):
            raise ValueError(
                f"{type(self).__name__}.compile takes one optimizer, compile(optimizer=...); "
                f"received {'none' if optimizer is None else 'two'}."
            )
        super().compile(**kwargs)
        if optimizer is None:
            name, optimizer = "student_optimizer", student_optimizer
        else:
            name = "optimizer"
        self.student_optimizer = self.own_optimizer(optimizer, self.trained, name)

    def image_gradient(
        self,
        images: tf.Tensor,
        offset: tf.Tensor,
        loss: Callable[..., tf.Tensor],
        *rows: tf.Tensor,
    ) -> tf.Tensor:
        """The direction in images along which a loss of the student rises fastest.

        Args:
          images: floating [N,H,W,C].
          offset: likewise, added to them; the gradient is taken there.
          loss: function of the student's logits [n, K] and of `rows` -> scalar.
          *rows: tensors [N, ...] for `loss`, cut into microbatches like the images.

        Returns:
          Floating [N,H,W,C], the gradient times the loss scale of float16; 0 where that overflows.
        """

        def scaled(*arguments):
            return self.student_optimizer.scale_loss(loss(*arguments))

        gradient = self.forward.gradient_by_images(self.student, images, offset, scaled, *rows)
        return self.overflow.finite(gradient, self.student_optimizer, "image_gradients")

    def student_passes(self, batch: Batch) -> None:
        self.objective(batch | self.targets(batch))

    def train_step(self, batch: Batch) -> None:
        """One step, as the class says."""
        batch = batch | self.targets(batch)
        before, variables = self.sharpness.before(self), self.trained.trainable_variables
        with tf.GradientTape() as tape:
            loss, pseudo_label = _loss_and_label(self.objective(batch))
            scaled = self.student_optimizer.scale_loss(loss)
        self.log(student_loss=loss, student_learning_rate=self.student_optimizer.learning_rate)
        gradient = self.sharpness.gradient(
            self,
            self.student_optimizer,
            self.trained,
            tape.gradient(scaled, variables),
            before,
            lambda: self.objective(batch)[0],
        )
        self.update(self.student_optimizer, gradient, variables)
        self.update_ema()
        self.step.assign_add(1)
        if pseudo_label is not None:
            self.log_pseudo_labels(pseudo_label, batch)


def _loss_and_label(objective):
    """What `objective` has returned; ValueError unless it is a scalar loss and pseudo labels."""
    if isinstance(objective, tuple) and len(objective) == 2 and not objective[0].shape.rank:
        return objective
    received = objective if not isinstance(objective, tuple) else objective[0]
    raise ValueError(
        "objective must return (loss, pseudo_label): a scalar, such as tf.reduce_mean(...), and "
        f"labels [U, K] or None; received a {type(objective).__name__} whose loss has shape "
        f"{getattr(received, 'shape', None)}."
    )
