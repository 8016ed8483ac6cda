"""Meta Pseudo Labels (Pham et al., CVPR 2021, arXiv 2003.10580). Read `train_step` first."""

import dataclasses
from typing import final

import keras
import tensorflow as tf

from mpl_tf import distribution, feedback, losses, schedules, stateless
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import Method, MethodConfig
from mpl_tf.methods.lesson import Lesson
from mpl_tf.methods.passes import state_of
from mpl_tf.metrics import Deviation, SignalToNoise
from mpl_tf.options import option

FEEDBACK = ("sampled", "dot", "exact", "none")

_LOGS = dict.fromkeys(
    (
        "student_loss",
        "teacher_loss",
        "supervised_loss",
        "uda_loss",
        "mask_rate",
        "pseudo_label_accuracy",
        "student_labeled_loss",
        "feedback",
        "baseline",
        "positive_credit",
        "student_learning_rate",
        "teacher_learning_rate",
    ),
    keras.metrics.Mean,
) | {"feedback_std": Deviation, "feedback_snr": SignalToNoise}


@dataclasses.dataclass(frozen=True)
class MetaPseudoLabelsConfig(MethodConfig):
    """Hyperparameters of MetaPseudoLabels; the defaults are the paper's for CIFAR-10-4K."""

    feedback: str = option(
        "exact",
        "How the student's progress reaches the teacher. sampled: labels drawn from the teacher, "
        "credited with the fall of the labeled loss. dot: the same, the fall computed to first "
        "order. exact: soft labels, each class of each image with its own credit. none: soft "
        "labels, no feedback (a student distilled from a UDA teacher).",
        choices=FEEDBACK,
    )
    feedback_weight: float = option(
        1.0, "Weight of the feedback term in the teacher's loss, at least 0.", low=0
    )
    supervised_weight: float = option(
        1.0, "Weight of the teacher's cross entropy on labels, at least 0.", low=0
    )
    uda_weight: float = option(
        8.0, "Weight of the teacher's consistency loss (UDA) after its ramp, at least 0.", low=0
    )
    uda_temperature: float = option(
        0.7, "Temperature that sharpens the consistency target, above 0.", above=0
    )
    uda_threshold: float = option(
        0.6,
        "Least confidence of the sharpened target for an unlabeled image to count; "
        "0 counts all, above 1 none.",
        low=0,
    )
    uda_ramp_steps: int = option(
        5000, "Steps over which the consistency weight rises linearly from 0.", low=0
    )
    # On CIFAR-10 a teacher with batch normalisation collapsed without it (docs/results.md).
    joint_views: bool = option(
        True,
        "Let the weak views share the teacher's batch, and so its batch statistics, with labeled "
        "and strong ones; costs a backward pass through them.",
    )
    baseline_decay: float = option(
        0.99,
        "Decay of the running mean of the feedback that is subtracted from it (sampled and dot), "
        "in [0, 1); 0 subtracts the last value.",
        low=0,
        below=1,
    )


@final
class MetaPseudoLabels(Method):
    """A teacher that learns from how much its pseudo labels help its student.

        pseudo_label = drawn from, or equal to, softmax(T(strong))
        S <- optimizer_S(S, grad_S mean CE(smooth(pseudo_label), S(strong)))
        T <- optimizer_T(T, grad_T [ feedback_weight   * feedback term
                                   + supervised_weight * mean CE(smooth(label), T(labeled))
                                   + uda_weight * ramp * mean consistency(T(weak), T(strong)) ])
        ema <- d * ema + (1 - d) * S

    The feedback term is the derivative of the student's labeled loss after its step with respect to
    the teacher, by one of the estimators in `mpl_tf.feedback`. The student sees no label until
    `finetune`.

    Args:
      teacher: built keras.Model of logits [N, K].
      student: another one, with its own weights; the architecture may differ.
      seed: int, from which, with the step, pseudo labels are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of MetaPseudoLabelsConfig: feedback, feedback_weight,
        supervised_weight, uda_weight, uda_temperature, uda_threshold, uda_ramp_steps,
        label_smoothing, ema_decay, baseline_decay.

    Raises:
      ConfigError: a hyperparameter is out of range.
      ValueError: a network is not built, or the two do not fit together.
    """

    Config = MetaPseudoLabelsConfig
    cost = "teacher B + 2U, student U; for feedback: student B, exact: U once more"
    optimizers = ("student_optimizer", "teacher_optimizer")
    unlabeled_views = ("weak", "strong")

    def __init__(self, teacher, student, *, seed=0, strategy=None, **hyperparameters):
        config = MetaPseudoLabelsConfig(**hyperparameters)
        super().__init__(config, student, teacher, seed=seed, strategy=strategy, train_logs=_LOGS)
        with self.distribute_strategy.scope():
            scalar = {"shape": (), "trainable": False, "initializer": "zeros"}
            self.feedback_average = self.add_weight(name="feedback_average", **scalar)
            self.feedback_count = self.add_weight(name="feedback_count", dtype="int64", **scalar)

    def compile(self, student_optimizer, teacher_optimizer, **kwargs):
        """As Engine.compile, with the keras.optimizers.Optimizer of each network.

        Raises:
          ValueError: an optimizer cannot be used; `dot` and `exact` need the student's to be SGD,
            whose step they differentiate.
        """
        super().compile(**kwargs)
        if self.config.feedback in ("dot", "exact") and not isinstance(
            loss_scaling.inner(student_optimizer), keras.optimizers.SGD
        ):
            raise ValueError(
                f"feedback={self.config.feedback!r} differentiates the student's step and "
                f"knows SGD only; received {type(student_optimizer).__name__}. "
                "feedback='sampled' takes any optimizer."
            )
        self.student_optimizer = self.prepare_optimizer(
            student_optimizer, self.student, "student_optimizer"
        )
        self.teacher_optimizer = self.prepare_optimizer(
            teacher_optimizer, self.teacher, "teacher_optimizer"
        )

    def train_step(self, batch):
        """One step of both networks.

        Args:
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, and `weak` and
            `strong` [U,H,W,C], two views of the same unlabeled images.
        """
        labeled, label, strong = batch["labeled"], batch["label"], batch["strong"]
        c, variables = self.config, self.teacher.trainable_variables
        uda, consistency, weak_logits = 0.0, 0.0, None
        parts = [labeled, strong]
        if c.uda_weight and c.joint_views:
            parts.insert(1, batch["weak"])
        elif c.uda_weight:  # the weak view is a target: it needs no gradient
            (weak_logits,) = self.passes(self.teacher, batch["weak"])  # [U, K]

        with tf.GradientTape() as tape:
            # The teacher predicts on all parts in one batch, and labels the strong views.
            labeled_logits, *between, strong_logits = self.passes(self.teacher, *parts)
            weak_logits = between[0] if between else weak_logits  # [U, K] like strong_logits
            with tape.stop_recording():
                pseudo_label = self.pseudo_label(strong_logits)  # [U, K]
                self.log_pseudo_labels(pseudo_label, batch)
                # The student steps on those labels; how much did that help on labeled images?
                credit = self.teach(strong, pseudo_label, labeled, label)
            # The teacher learns from feedback, labels and consistency.
            classes, dtype = labeled_logits.shape[-1], labeled_logits.dtype
            target = losses.one_hot(label, classes, c.label_smoothing, dtype)
            supervised = tf.reduce_mean(losses.cross_entropy(target, labeled_logits))
            if c.uda_weight:
                consistency, mask = losses.consistency(
                    weak_logits, strong_logits, c.uda_temperature, c.uda_threshold
                )
                consistency = tf.reduce_mean(consistency)
                ramp = schedules.linear_ramp(self.step, c.uda_ramp_steps)
                uda = c.uda_weight * tf.cast(ramp, consistency.dtype) * consistency
            loss = c.supervised_weight * supervised + uda
            loss += c.feedback_weight * self.feedback_term(credit, pseudo_label, strong_logits)
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.teacher_optimizer))

        self.log(
            teacher_loss=loss,
            supervised_loss=supervised,
            teacher_learning_rate=self.teacher_optimizer.learning_rate,
        )
        if c.uda_weight:
            self.log(uda_loss=consistency)
            if c.uda_threshold:  # else all pass, on purpose
                self.log(mask_rate=tf.reduce_mean(mask))
        self.update(self.teacher_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)

    def pseudo_label(self, logits):
        """What the student is taught: a one-hot draw (sampled, dot) or softmax (exact, none).

        Args:
          logits: floating [U, K], the teacher's.

        Returns:
          [U, K] distributions without gradient.
        """
        if self.config.feedback in ("exact", "none"):
            return tf.stop_gradient(tf.nn.softmax(logits))
        # Drawn for the global batch, so that replicas together draw what one alone would.
        index, count = distribution.replica()
        shape = [count, *(logits.shape if logits.shape[0] else tf.shape(logits))]
        seed = tf.stack([tf.convert_to_tensor(v) for v in (self.seed, self.step)])
        uniform = stateless.uniform(seed, shape, logits.dtype)[index]
        drawn = tf.argmax(logits - tf.math.log(-tf.math.log(uniform)), axis=-1)
        return tf.one_hot(drawn, logits.shape[-1], dtype=logits.dtype)

    def teach(self, strong, pseudo_label, labeled, label):
        """The student's step, and its feedback.

        Args:
          strong: [U,H,W,C], the images of the lesson.
          pseudo_label: floating [U, K], their labels.
          labeled: [B,H,W,C], the images on which progress is measured.
          label: integer [B], their classes.

        Returns:
          The credit of `feedback.exact_term` [U, K], or the advantage of `feedback.scalar_term`
          (scalar), or None without feedback.
        """
        form, variables = self.config.feedback, self.student.trainable_variables
        rate = tf.convert_to_tensor(self.student_optimizer.learning_rate)
        scale = loss_scaling.scale_of(self.student_optimizer)
        smoothing = self.config.label_smoothing
        lesson = Lesson(self.passes, self.student, strong, pseudo_label, smoothing, scale)
        reduced = self.reduce_gradient(lesson.gradient, variables)
        applied = self.clip(reduced)

        # Batch statistics and dropout seeds are read once: before and after differ in weights only.
        state = state_of(self.student)
        before = self.labeled_loss(labeled, label, state)[0] if form == "sampled" else None
        self.apply(self.student_optimizer, applied, variables)
        self.log(student_loss=lesson.loss, student_learning_rate=rate)
        if form == "none":
            return None
        after, gradient = self.labeled_loss(labeled, label, state, derive=form != "sampled")

        if form == "sampled":
            return self.advantage(feedback.loss_difference(before, after), rate, after)
        sgd = loss_scaling.inner(self.student_optimizer)
        step = feedback.step_factor(tf.cast(rate, after.dtype), sgd.momentum, sgd.nesterov)
        helped = loss_scaling.finite(feedback.dot_product(gradient, applied, step), scale)
        if form == "dot":
            return self.advantage(helped, rate, after)
        # The lesson's own gradient, differentiated once more along the labeled gradient. Measured
        # (tools/benchmark.py credit) against a double backward pass and a finite difference of two
        # forward passes it is no slower, and in float32 several times closer than the latter.
        # It is right under synchronised batch normalisation on two replicas (tests/integration/
        # test_replicas.py), where forward-mode differentiation is silently wrong.
        direction = feedback.through_clipping(gradient, reduced, self.clip_norm)
        credit = loss_scaling.finite(-step * lesson.credit(direction), scale)  # [U, K]
        gain = -tf.reduce_sum(pseudo_label * credit, axis=-1)  # [U], what each lesson brought
        self.log_feedback(helped, 0.0, gain > 0, after)
        return credit

    def labeled_loss(self, labeled, label, state, derive=False):
        """The student's mean cross entropy on labeled images, without a trace in the student.

        Args:
          labeled: [B,H,W,C] images.
          label: integer [B].
          state: values of the student's non-trainable variables to start from.
          derive: bool, whether the gradient is wanted.

        Returns:
          (loss, gradient), averaged over replicas; gradient is a list, None without `derive`.
        """
        weights = [tf.convert_to_tensor(v) for v in self.student.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            logits, _ = self.passes.stateless(self.student, weights, state, labeled)
            target = losses.one_hot(label, logits.shape[-1], dtype=logits.dtype)
            loss = tf.reduce_mean(losses.cross_entropy(target, logits))
        gradient = None
        if derive:
            gradient = tape.gradient(loss, weights, unconnected_gradients="zero")
            gradient = distribution.mean_over_replicas(gradient)
        return distribution.mean_over_replicas(loss), gradient

    def advantage(self, value, rate, labeled_loss):
        """Feedback minus its running mean; 0, and nothing learned, while the student waits."""
        active = rate > 0
        average, decay = tf.convert_to_tensor(self.feedback_average), self.config.baseline_decay
        baseline = feedback.baseline_value(average, self.feedback_count, decay)
        self.log_feedback(value, baseline, value > tf.cast(baseline, value.dtype), labeled_loss)
        updated = feedback.baseline_update(average, tf.cast(value, average.dtype), decay)
        self.feedback_average.assign(tf.where(active, updated, average))
        self.feedback_count.assign_add(tf.cast(active, tf.int64))
        advantage = value - tf.cast(baseline, value.dtype)
        return tf.where(active, advantage, tf.zeros_like(advantage))

    def log_feedback(self, value, baseline, positive, labeled_loss):
        """Logs a step's feedback; `positive` (bool) says which unlabeled images are credited."""
        self.log(
            feedback=value,
            feedback_std=value,
            feedback_snr=value,
            baseline=baseline,
            positive_credit=tf.reduce_mean(tf.cast(positive, tf.float32)),
            student_labeled_loss=labeled_loss,
        )

    def feedback_term(self, credit, pseudo_label, teacher_logits):
        """The feedback part of the teacher's loss, a scalar; arguments as returned by `teach`."""
        if self.config.feedback == "none":
            return 0.0
        if self.config.feedback == "exact":
            return feedback.exact_term(credit, teacher_logits)
        return feedback.scalar_term(credit, pseudo_label, teacher_logits)
