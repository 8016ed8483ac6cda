"""ReMixMatch (Berthelot et al., ICLR 2020, arXiv 1911.09785)."""

import dataclasses
from typing import ClassVar, final

import keras
import tensorflow as tf

from mpl_tf import distribution, losses, schedules
from mpl_tf.methods import loss_scaling, mixup
from mpl_tf.methods.base import NO_TEACHER, Method, MethodConfig
from mpl_tf.options import ConfigError, option

_REMEMBERED = 128  # steps over which the shares of predicted classes are averaged
_TURNS = 4


@dataclasses.dataclass(frozen=True)
class ReMixMatchConfig(MethodConfig):
    """Hyperparameters of ReMixMatch; the defaults are the paper's for CIFAR-10."""

    strong_views: int = option(
        8,
        "Strong views of an image that are to be seen as its weak one is (the paper's K).",
        low=1,
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
        "Weight of telling by how many quarter turns a strong view was turned (lambda_r); 0 also "
        "takes images that are not square.",
        low=0,
    )
    ramp_steps: int = option(
        16_000, "Steps over which the weights of guessed labels rise linearly from 0.", low=0
    )
    label_smoothing: float = option(
        0.0, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the moving average of the student's weights, in [0, 1).", low=0, below=1
    )


@final
class ReMixMatch(Method):
    """MixMatch with one guess for many strong views, class shares set right, and turned images.

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
    Partners are drawn from the global batch.

    Args:
      student: built keras.Model of logits [N, K]; with `rotation_weight` a functional or Sequential
        one of square images.
      seed: int, from which, with the step, the mixing is drawn, and the rotation head made.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of ReMixMatchConfig.

    Raises:
      ConfigError: a hyperparameter is out of range, or the student cannot tell turned images.
    """

    Config = ReMixMatchConfig
    cost = "student B + (4 + strong_views)U, and U forward"  # without rotation U less
    unlabeled_views = ("weak", "strong")  # of an object: as many as its strong_views
    idle_options = NO_TEACHER
    defaults: ClassVar = {"unlabeled_ratio": 1, "finetune_steps": 0}

    def __init__(self, student, *, seed=0, strategy=None, **hyperparameters):
        config = ReMixMatchConfig(**hyperparameters)
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "anchor_loss",
            "rotation_loss",
            "pseudo_label_accuracy",
            "student_learning_rate",
        )
        super().__init__(config, student, seed=seed, strategy=strategy, train_logs=logs)
        more = [f"strong_{n}" for n in range(2, config.strong_views + 1)]
        self.unlabeled_views = ("weak", "strong", *more)
        classes = student.output_shape[-1]
        with self.distribute_strategy.scope():
            self.trained = self._with_rotation_head(seed) if config.rotation_weight else student
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
        layers, outputs = self.student.layers, getattr(self.student, "outputs", None)
        height, width = (self.student.input_shape[1:3] + (None, None))[:2]
        if not outputs or len(self.student.input_shape) != 4 or height != width:
            raise ConfigError(
                "rotation_weight needs a functional network of square images [N, H, W, C]; "
                f"received {type(self.student).__name__} of {self.student.input_shape}. "
                "rotation_weight=0 leaves turned images out."
            )
        features = keras.layers.Flatten(dtype=outputs[0].dtype)(layers[-1].input)
        head = keras.layers.Dense(
            _TURNS,
            dtype=outputs[0].dtype,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            name="rotation",
        )
        both = keras.layers.Concatenate(dtype=outputs[0].dtype)([outputs[0], head(features)])
        return keras.Model(self.student.inputs, both, name="student_with_rotation")

    def compile(self, student_optimizer, **kwargs):
        """As Engine.compile, with the keras.optimizers.Optimizer of student and rotation head."""
        super().compile(**kwargs)
        self.student_optimizer = self.prepare_optimizer(
            student_optimizer, self.trained, "student_optimizer"
        )

    def train_step(self, batch):
        """One step.

        Args:
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, and views
            [U,H,W,C] of the same unlabeled images, `weak`, `strong`, `strong_2`, ...
        """
        c, variables = self.config, self.trained.trainable_variables
        rate, views = self.student_optimizer.learning_rate, [batch[v] for v in self.unlabeled_views]
        guess = self.guess(views[0], batch["label"])  # [U, K]
        classes, smoothing = guess.shape[-1], c.label_smoothing
        taught = losses.one_hot(batch["label"], classes, smoothing, guess.dtype)  # [B, K]
        images, (label, *labels) = mixup.mix(
            [batch["labeled"], *views],
            [taught] + [guess] * len(views),
            c.mixup_alpha,
            self.draw_seed(),
            keep_larger=True,
        )
        strong = mixup.floating(views[1])
        if c.rotation_weight:
            turned, turns = quarter_turns(strong)
        with tf.GradientTape() as tape:
            parts = [*images, strong] + ([turned] if c.rotation_weight else [])
            outputs = self.passes(self.trained, *parts)
            labeled_logits, *mixed_logits, anchor_logits = (
                out[:, :classes] for out in outputs[: len(images) + 1]
            )
            supervised = tf.reduce_mean(losses.cross_entropy(label, labeled_logits))
            unlabeled = tf.reduce_mean(
                losses.cross_entropy(tf.concat(labels, 0), tf.concat(mixed_logits, 0))
            )
            anchor = tf.reduce_mean(losses.cross_entropy(guess, anchor_logits))
            ramp = tf.cast(schedules.linear_ramp(self.step, c.ramp_steps), unlabeled.dtype)
            loss = supervised + ramp * (c.unlabeled_weight * unlabeled + c.anchor_weight * anchor)
            if c.rotation_weight:
                told = losses.label_loss(turns, outputs[-1][:, classes:])
                rotation = tf.reduce_mean(told)
                loss += c.rotation_weight * rotation
                self.log(rotation_loss=rotation)
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(guess, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            anchor_loss=anchor,
            student_learning_rate=rate,
        )

    def guess(self, weak, label):
        """The aligned and sharpened prediction [U, K] of weak views; remembers class shares.

        Args:
          weak: [U,H,W,C].
          label: integer [B], the labels of this step.
        """
        (logits,) = self.passes(self.student, weak, keep_state=True)
        probs = tf.nn.softmax(logits)
        counts = tf.reduce_mean(losses.one_hot(label, probs.shape[-1]), axis=0)  # [K]
        seen = tf.reduce_mean(tf.cast(probs, tf.float32), axis=0)
        counts, seen = distribution.mean_over_replicas([counts, seen])
        self.label_counts.assign_add(counts)
        if self.config.align:
            wanted = self.label_counts / tf.reduce_sum(self.label_counts)
            found = tf.reduce_mean(tf.convert_to_tensor(self.predicted), axis=0)
            wanted, found = tf.cast(wanted, probs.dtype), tf.cast(found, probs.dtype)
            aligned = losses.align(probs, wanted, found)
        else:
            aligned = probs
        row = tf.range(_REMEMBERED, dtype=tf.int64)[:, None] == self.step % _REMEMBERED
        self.predicted.assign(tf.where(row, seen[None], tf.convert_to_tensor(self.predicted)))
        return losses.sharpen(tf.math.log(aligned), self.config.temperature)


def quarter_turns(images):
    """Images turned by 0, 1, 2 or 3 quarter turns to the left, by their place in the global batch.

    Args:
      images: [N,H,H,C].

    Returns:
      (turned [N,H,H,C], how often int32 [N], 0, 1, 2, 3, 0, 1, ...).
    """
    index, _ = distribution.replica()
    size = tf.shape(images)[0]
    turns = (index * size + tf.range(size)) % _TURNS
    found = images
    for turn in range(1, _TURNS):
        chosen = tf.reshape(turns == turn, [-1, 1, 1, 1])
        found = tf.where(chosen, tf.image.rot90(images, turn), found)
    return found, turns
