"""Self-supervised methods: an encoder that learns from unlabeled images, and what reads it."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from mpl_tf.engine import projections, replicas
from mpl_tf.engine.forward import to_float32
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.engine.user_networks import copy_network
from mpl_tf.formulas import averages, contrast, ensembles, random


class SelfSupervisedMethod(StudentMethod):
    """Abstract: two views of each unlabeled image teach the encoder, labels the classifier alone.

        f = encoder(images), the input of the student's last layer
        loss = contrast(projection of f of the views)
             + mean_i CE(smooth(label_i), classifier(stop_gradient(f of labeled_i)))
        S, projector <- optimizer((S, projector), grad loss)
        ema <- d * ema + (1 - d) * S

    So `predict` and `evaluate` say at each step what a linear classifier on the features would, and
    the features are those of the unlabeled images. Labeled images and views share one batch.

    A concrete method defines `sizes` and `contrast`, and `targets` if something comes without
    gradient.

    Args:
      student: built keras.Model of logits [N, K], whose last layer can be told.
      seed: from which, with the step, comes all that a step draws, and the projection.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of the method's Config.

    Attributes:
      student_views: those of `unlabeled_views` that the student sees.
      batch_norm: whether projections have batch normalisation.
      projector: keras.Model, features -> representations.
      projected: the student with it, images -> [N, K + D].

    Raises:
      ConfigError: the student's last layer cannot be told.
    """

    student_views: ClassVar[tuple[str, ...]] = ("strong", "strong_2")
    batch_norm: ClassVar[bool] = False

    def __init__(
        self,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        with self.distribute_strategy.scope():
            features = projections.width(student)
            self.projector = self.perceptron(features, self.sizes(features), "projector", seed)
            self.projected = projections.with_outputs(student, self.projector, labels_teach=False)

    def sizes(self, features: int) -> tuple[int, ...]:
        """Outputs of the layers of the projector, on features of so many numbers."""
        raise NotImplementedError

    def contrast(self, batch: Batch, *views: tf.Tensor) -> tf.Tensor:
        """The loss on unlabeled images.

        Args:
          batch: as `objective` takes it.
          *views: representations [U, D] of each of `student_views`.

        Returns:
          Scalar.
        """
        raise NotImplementedError

    def perceptron(self, inputs: int, sizes: tuple[int, ...], name: str, seed: int) -> keras.Model:
        """Dense layers that compute as the student does; see `projections.perceptron`."""
        return projections.perceptron(
            inputs,
            sizes,
            batch_norm=self.batch_norm,
            synchronized=self.distribute_strategy.num_replicas_in_sync > 1,
            dtype=projections.parts(self.student)[0].outputs[0].dtype,
            seed=seed + 1,
            name=name,
        )

    @property
    def trained(self) -> keras.Model:
        return self.projected

    def outputs(self, batch: Batch) -> list[tf.Tensor]:
        """What `trained` makes of labeled images, and of each view that it sees, [N, K + D]."""
        views = (batch[name] for name in self.student_views)
        return self.forward(self.trained, batch["labeled"], *views)

    def objective(self, batch: Batch) -> tuple[tf.Tensor, None]:
        classes = self.student.output_shape[-1]
        labeled, *views = self.outputs(batch)
        supervised = self.supervised_loss(batch["label"], labeled[:, :classes])
        unlabeled = self.contrast(batch, *(view[:, classes:] for view in views))
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        return supervised + unlabeled, None


class MomentumMethod(SelfSupervisedMethod):
    """Abstract: one whose targets a moving average of encoder and projector makes.

        target <- m * target + (1 - m) * (S, projector),  m by `momentum`

    That average is another one than `ema`: it is made for targets, `ema` for use. Its batch
    statistics are plain means of the student's in the first steps, without Keras's 0 and 1.

    Attributes:
      target: keras.Model, images -> [N, K + D], the averages of the student and the projector.
    """

    def __init__(
        self,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        with self.distribute_strategy.scope():
            self._averages = copy_network(self.student), copy_network(self.projector)
            self.target = projections.with_outputs(*self._averages, labels_teach=False)

    def momentum(self) -> tf.Tensor:
        """The decay of the target in this step, a scalar in [0, 1]."""
        raise NotImplementedError

    def update_ema(self) -> None:
        """As Method.update_ema; the target moves, too, unless its momentum is 1."""
        super().update_ema()
        momentum = tf.convert_to_tensor(self.momentum())
        mean = averages.mean_decay(self.step, 1.0, momentum.dtype)
        of_state = tf.where(momentum < 1, tf.minimum(momentum, mean), momentum)
        for average, network in zip(self._averages, (self.student, self.projector), strict=True):
            self.average(average, network, momentum, of_state)

    def keys(self, images: tf.Tensor) -> tf.Tensor:
        """Representations [U, D] of length 1 by the averages, without noise and gradient.

        By moving statistics of batch norm: those of the batch would tell which images are in it.
        """
        outputs = to_float32(self.forward.evaluated(self.target, images))
        rows = outputs[:, self.student.output_shape[-1] :]
        return tf.stop_gradient(contrast.normalize(rows))


def start_rows(
    method: SelfSupervisedMethod, name: str, shape: tuple[int, int], seed: int
) -> keras.Variable:
    """A variable [rows, D] of random directions, float32, which checkpoints of a method have.

    Args:
      method: to which it belongs.
      name: of the variable.
      shape: (rows, D).
      seed: of the directions.
    """
    with method.distribute_strategy.scope():
        rows = method.add_weight(
            name=name, shape=shape, initializer="zeros", trainable=False, dtype="float32"
        )
        rows.assign(contrast.normalize(random.normal(tf.constant([seed, 0], tf.int64), shape)))
    return rows


def told_from_queue(
    query: tf.Tensor, key: tf.Tensor, queue: keras.Variable, temperature: float
) -> tf.Tensor:
    """The mean of `contrast.info_nce` with a queue as negatives, a scalar; then keys enter it.

    Args:
      query: floating [U, D], of length 1.
      key: floating [U, D], of length 1, without gradient.
      queue: of `start_rows`.
      temperature: what similarities are divided by.
    """
    keys, earlier = (tf.cast(rows, query.dtype) for rows in (key, queue))
    loss = tf.reduce_mean(contrast.info_nce(query, keys, earlier, temperature))
    enqueue(queue, key)
    return loss


def enqueue(queue: keras.Variable, keys: tf.Tensor) -> None:
    """The keys of all replicas enter a queue [Q, D] in front, and the oldest leave it.

    Args:
      queue: of `start_rows`.
      keys: floating [U, D], of this replica.
    """
    rows = tf.convert_to_tensor(queue)
    newest = tf.cast(replicas.all_rows(keys), rows.dtype)
    queue.assign(tf.concat([newest, rows], 0)[: rows.shape[0]])


def remember(bank: keras.Variable, index: tf.Tensor, keys: tf.Tensor, decay: float) -> None:
    """bank_i <- normalize(decay * bank_i + (1 - decay) * key_i), for the images of all replicas.

    An image that is in the batch twice is remembered once, by the mean of its keys. Rows of other
    images are neither read nor written.

    Args:
      bank: [N, D], one row for each image of the pool.
      index: integer [U], whose keys they are, of this replica.
      keys: floating [U, D].
      decay: in [0, 1).
    """
    index, keys = replicas.all_rows(index), tf.cast(replicas.all_rows(keys), bank.dtype)
    mean = ensembles.mean_of_same(index, keys)
    moved = averages.moving_average(recall(bank, index), mean, decay)
    bank.value.scatter_update(tf.IndexedSlices(contrast.normalize(moved), index))


def recall(bank: keras.Variable, index: tf.Tensor) -> tf.Tensor:
    """Rows [U, D] of a bank [N, D], by a gather of these alone.

    A bank that is read as a whole is copied as a whole by `remember`, or by the reading.

    Args:
      bank: of `start_rows`.
      index: integer [U].
    """
    return tf.gather(bank.value, index)
