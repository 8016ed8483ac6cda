"""ReMixMatch (Berthelot et al., ICLR 2020, arXiv 1911.09785)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import guessed_labels, mixup, projections, replicas
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, schedules
from mpl_tf.options import ConfigError, option

_REMEMBERED = 128  # steps over which the shares of predicted classes are averaged
_TURNS = 4


@dataclasses.dataclass(frozen=True)
class ReMixMatchConfig(MethodConfig):
    """Hyperparameters of ReMixMatch; these defaults are the paper's for CIFAR-10."""

    strong_views: int = option(
        8,
        "Strong views of each image that are trained towards its guessed label (the paper's K).",
        low=1,
        high=64,
    )
    temperature: float = option(
        0.5, "Temperature that sharpens the guessed labels (the paper's T).", above=0
    )
    align: bool = option(
        True, "Distribution alignment: guessed classes are to be as frequent as the labels'."
    )
    mixup_alpha: float = option(
        0.75, "Images are mixed with weights from Beta(alpha, alpha); 0 mixes nothing.", low=0
    )
    unlabeled_weight: float = option(
        1.5, "Weight of the loss on mixed unlabeled images after its ramp (lambda_U).", low=0
    )
    anchor_weight: float = option(
        0.5,
        "Weight of the loss on the first strong view, not mixed, after the same ramp "
        "(the paper's lambda_U1).",
        low=0,
    )
    rotation_weight: float = option(
        0.5,
        "Weight of the rotation loss (lambda_r); 0 also takes images that are not square. Features "
        "cannot be turned: without effect on them.",
        low=0,
    )
    ramp_steps: int = option(
        16_000,
        "Steps over which the weights of guessed labels rise linearly from 0.",
        low=0,
        share_of_steps=0.1,
    )


def _views(strong_views):
    return ("weak", "strong", *(f"strong_{n}" for n in range(2, strong_views + 1)))


@final
class ReMixMatch(StudentMethod):
    """MixMatch with one guess for many strong views, distribution alignment, and rotations.

        p = softmax(S(weak));  q = p * shares of labels / shares of predictions, sum 1
        q <- q^(1 / temperature), sum 1;  no gradient
        (X, P), (U_v, Q_v) = MixUp of (labeled, smooth(label)), (weak, q), (strong_1, q), ...,
            (strong_K, q) with one another in a random order, each row with l = max(l, 1 - l)
        loss = mean_i CE(P_i, S(X_i))
             + ramp * unlabeled_weight * mean_v,i CE(Q_vi, S(U_vi))
             + ramp * anchor_weight    * mean_i CE(q_i, S(strong_1,i))
             + rotation_weight         * mean_i CE(t_i, R(strong_1,i turned by t_i))
        S, R <- optimizer((S, R), grad loss)
        ema <- d * ema + (1 - d) * S

    Berthelot et al. 2020, algorithm 1, section 3.1 (alignment) and 3.2 (anchoring). R is a linear
    head of four outputs on the features of S, the input of its last layer. Shares of predictions
    are means over the last 128 steps, as in the authors' code; shares of labels are those of all
    labels seen so far.

    What differs: strong views are this project's (RandAugment by default) in place of the learned
    CTAugment; labeled images are seen weakly, not strongly, augmented; an image's turn is given by
    its place in the batch; all parts share one batch, where the authors interleave batches.
    Partners are drawn from the global batch. A student of features [N, F] has no rotations.

    Defaults of a run that are not theirs: SGD with Nesterov momentum on half a cosine and an L2
    term, where they have Adam at 0.002 throughout and shrink kernels by 4e-5 a step; dropout of 0.2
    before the head, also while labels are guessed, theirs none; 300,000 steps of 128 labeled
    images, where they take 2^20 of 64. One unlabeled image a labeled one and 8 strong views, as
    they have, are 7 and 2 in the recipes of digits, Fashion-MNIST and MNIST, and 15 and 8 in that
    of ImageNet.

    Args:
      student: built keras.Model of logits [N, K]; with `rotation_weight` a functional or Sequential
        one of square images.
      seed: from which, with the step, the mixing is drawn, and the rotation head made.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of ReMixMatchConfig.

    Raises:
      ConfigError: a hyperparameter is out of range, or the student cannot tell turned images.

    Example:
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.ReMixMatch(student, strong_views=2, ramp_steps=50)
        data = mpl_tf.data.pair(
            (images, labels), labeled_batch=8, unlabeled_ratio=1, method=model
        )
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = ReMixMatchConfig
    config: ReMixMatchConfig
    passes_per_step = "student B + (4 + strong_views)U, and U forward"  # without rotation U less
    # Of an object: as many as its own strong_views.
    unlabeled_views: tuple[str, ...] = _views(ReMixMatchConfig.strong_views)
    defaults: ClassVar = {"unlabeled_ratio": 1, "finetune_steps": 0}
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight or anchor_weight, or a longer ramp_steps"
    }

    def __init__(
        self,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        config = self.config
        self.unlabeled_views = _views(config.strong_views)
        classes = student.output_shape[-1]
        with self.distribute_strategy.scope():
            self._turns = bool(config.rotation_weight) and len(student.input_shape) != 2
            self._with_head = self._with_rotation_head(seed) if self._turns else student
            self.label_counts = self.add_weight(
                name="label_counts", shape=(classes,), initializer="zeros", trainable=False
            )
            self.predicted = self.add_weight(
                name="predicted",
                shape=(_REMEMBERED, classes),
                initializer=keras.initializers.Constant(1 / classes),
                trainable=False,
            )

    def _with_rotation_head(self, seed):
        """The student with four more outputs, [N, K + 4]."""
        outputs = getattr(self.student, "outputs", None)
        height, width = (self.student.input_shape[1:3] + (None, None))[:2]
        if not outputs or len(self.student.input_shape) != 4 or height != width:
            raise ConfigError(
                "rotation_weight needs a functional network of square images [N, H, W, C]; "
                f"received {type(self.student).__name__} of {self.student.input_shape}. "
                "rotation_weight=0 leaves turned images out."
            )
        try:
            return projections.with_linear_head(self.student, _TURNS, seed, "rotation")
        except ConfigError as error:
            raise ConfigError(
                f"turned images: {error} rotation_weight=0 leaves them out."
            ) from error

    @property
    def trained(self) -> keras.Model:
        return self._with_head

    def targets(self, batch: Batch) -> Batch:
        c, views = self.config, [batch[view] for view in self.unlabeled_views]
        guess = self.guess(views[0], batch["label"])  # [U, K]
        images, labels = guessed_labels.mixed(self, batch, views, guess, c.mixup_alpha)
        anchor = mixup.floating(views[1])
        targets = {"guess": guess, "images": images, "labels": labels, "anchor": anchor}
        if self._turns:
            targets["turned"], targets["turns"] = quarter_turns(anchor)
        return targets

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, guess, (label, *guesses) = self.config, batch["guess"], batch["labels"]
        parts = [*batch["images"], batch["anchor"]]
        if self._turns:
            parts.append(batch["turned"])
        outputs = self.forward(self.trained, *parts)
        classes = guess.shape[-1]
        logits = [output[:, :classes] for output in outputs]
        labeled, *mixed = logits[: len(batch["images"])]
        adjusted = self.logit_adjustment(labeled)
        supervised = tf.reduce_mean(losses.cross_entropy(label, adjusted))
        unlabeled = tf.reduce_mean(losses.cross_entropy(tf.concat(guesses, 0), tf.concat(mixed, 0)))
        anchor = tf.reduce_mean(losses.cross_entropy(guess, logits[len(batch["images"])]))
        ramp = self.ramp(schedules.linear_ramp, c.ramp_steps, unlabeled)
        loss = supervised + ramp * (c.unlabeled_weight * unlabeled + c.anchor_weight * anchor)
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled, anchor_loss=anchor)
        if self._turns:
            rotation = tf.reduce_mean(losses.label_loss(batch["turns"], outputs[-1][:, classes:]))
            self.log(rotation_loss=rotation)
            loss += c.rotation_weight * rotation
        return loss, guess

    def guess(self, weak: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """The aligned and sharpened prediction [U, K] of weak views; remembers class shares.

        Args:
          weak: [U,H,W,C].
          label: integer [B], the labels of this step.
        """
        (logits,) = self.forward(self.student, weak, keep_state=True)
        probs = tf.nn.softmax(logits)
        counts = tf.reduce_mean(losses.one_hot(label, probs.shape[-1]), axis=0)  # [K]
        predicted = tf.reduce_mean(tf.cast(probs, tf.float32), axis=0)
        counts, predicted = replicas.mean_over_replicas([counts, predicted])
        self.label_counts.assign_add(counts)
        if self.config.align:
            labels = self.label_counts / tf.reduce_sum(self.label_counts)
            recent = tf.reduce_mean(tf.convert_to_tensor(self.predicted), axis=0)
            probs = losses.align(probs, *(tf.cast(v, probs.dtype) for v in (labels, recent)))
        row = tf.range(_REMEMBERED, dtype=tf.int64)[:, None] == self.step % _REMEMBERED
        remembered = tf.convert_to_tensor(self.predicted)
        newest = tf.cast(predicted[None], remembered.dtype)
        self.predicted.assign(tf.where(row, newest, remembered))
        return losses.sharpen(tf.math.log(probs), self.config.temperature)


def quarter_turns(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Images turned by 0, 1, 2 or 3 quarter turns to the left, by their place in the global batch.

    Args:
      images: [N,H,H,C].

    Returns:
      (turned [N,H,H,C], how often int32 [N], 0, 1, 2, 3, 0, 1, ...).
    """
    index, _ = replicas.replica()
    size = tf.shape(images)[0]
    turns = (index * size + tf.range(size)) % _TURNS
    turned = images
    for turn in range(1, _TURNS):
        chosen = tf.reshape(turns == turn, [-1, 1, 1, 1])
        turned = tf.where(chosen, tf.image.rot90(images, turn), turned)
    return turned, turns
