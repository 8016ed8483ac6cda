"""Noisy Student (Xie, Luong, Hovy and Le, CVPR 2020, arXiv 1911.04252)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf import distribution, losses, thresholds
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.base import Method, MethodConfig
from mpl_tf.methods.label_training import LabelTraining
from mpl_tf.methods.passes import wide
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class NoisyStudentConfig(MethodConfig):
    """Hyperparameters of NoisyStudent; the defaults are the paper's for ImageNet."""

    rounds: int = option(
        3, "Students that are trained, each a teacher of the next; each takes `steps` steps.", low=1
    )
    hard_labels: bool = option(
        False, "Teach the teacher's most probable class instead of its distribution."
    )
    pseudo_label_threshold: float = option(
        0.3,
        "Least confidence of the teacher for an unlabeled image to be kept; 0 keeps all, above 1 "
        "none.",
        low=0,
    )
    balance_limit: float = option(
        10.0,
        "Images count more the rarer their class is among the kept pseudo labels, so that all "
        "classes count alike, but at most this many times as much as on average; 0 turns "
        "balancing off.",
        low=0,
    )
    unlabeled_weight: float = option(1.0, "Weight of the loss on pseudo labels, at least 0.", low=0)
    label_smoothing: float = option(
        0.1, "Label smoothing of the loss on labels, in [0, 1).", low=0, below=1
    )


@final
class NoisyStudent(Method):
    """A student, noised, learns labels and its unnoised teacher's labels, and is the next teacher.

        1  T <- optimizer_T(T, grad_T mean CE(smooth(label), T(labeled)))      phase "teacher"
           for each round, with a fresh student S:                   phases "round_1", ..., "train"
        2      q = softmax(T(weak)) without dropout, by moving batch statistics; or its top class
               w = [max_k q_k >= pseudo_label_threshold] * balance(argmax_k q_k)
        3      S <- optimizer_S(S, grad_S mean CE(smooth(label), S(labeled))
                                        + unlabeled_weight * mean_w CE(q, S(strong)))
               ema <- d * ema + (1 - d) * S
        4      T <- ema

    Xie et al. 2020, algorithm 1, and section 3.1 for the filter of confidence and the balance of
    classes. There, images of the pool are stored with their labels, and those of rare classes
    repeated; here they are labeled when they come, and weighted by the frequency of their class so
    far. The student's noise is dropout and the strong view; networks here have no stochastic depth,
    and labeled images come in the weak view.

    Args:
      teacher: built keras.Model of logits [N, K].
      student: another one, with its own weights and at least as many; the student of every round
        starts from these weights.
      seed: int; this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of NoisyStudentConfig.

    Raises:
      ValueError: the student is smaller than the teacher.
    """

    Config = NoisyStudentConfig
    cost = (
        "teacher B, as many steps before; each round as many steps of teacher U forward, "
        "student B + U"
    )
    optimizers = ("student_optimizer", "teacher_optimizer")
    unlabeled_views = ("weak", "strong")
    idle_options = frozenset({"student_wait_steps"})
    defaults: ClassVar = {"finetune_steps": 0}

    def __init__(self, teacher, student, *, seed=0, strategy=None, **hyperparameters):
        config = NoisyStudentConfig(**hyperparameters)
        sizes = [network.count_params() for network in (teacher, student)]
        if sizes[0] > sizes[1]:
            raise ValueError(
                "the student must be as large as its teacher, or larger; received a teacher of "
                f"{sizes[0]} parameters and a student of {sizes[1]}."
            )
        strategy = strategy or distribution.current_strategy()
        once = dataclasses.asdict(dataclasses.replace(config, rounds=1))
        first, earlier = teacher, []
        for _ in range(config.rounds - 1):
            with strategy.scope():
                fresh = self._copy(student)
            earlier.append(NoisyStudent(teacher, fresh, seed=seed, strategy=strategy, **once))
            teacher = earlier[-1].ema
        logs = (
            "student_loss",
            "supervised_loss",
            "unlabeled_loss",
            "mask_rate",
            "pseudo_label_accuracy",
            "student_learning_rate",
        )
        super().__init__(config, student, teacher, seed=seed, strategy=strategy, train_logs=logs)
        # Behind a function, because each round has checkpoints of its own.
        self._before = lambda: (first, earlier)
        with self.distribute_strategy.scope():
            self.class_shares = self.add_weight(
                name="class_shares",
                shape=student.output_shape[-1:],
                initializer="zeros",
                trainable=False,
            )

    def compile(self, student_optimizer, teacher_optimizer, **kwargs):
        """As Engine.compile, with the keras.optimizers.Optimizer of each network.

        Each round has an optimizer like `student_optimizer`, from its beginning.
        """
        super().compile(**kwargs)
        first, earlier = self._before()
        for engine in earlier:
            with self.distribute_strategy.scope():
                fresh = type(student_optimizer).from_config(student_optimizer.get_config())
            engine.compile(fresh, None, **kwargs)
        self.student_optimizer = self.prepare_optimizer(
            student_optimizer, self.student, "student_optimizer"
        )
        if teacher_optimizer is not None:  # of earlier rounds
            self.teacher_optimizer = self.prepare_optimizer(
                teacher_optimizer, first, "teacher_optimizer"
            )

    def preparations(self):
        first, earlier = self._before()
        training = LabelTraining(
            first,
            "teacher",
            label_smoothing=self.config.label_smoothing,
            strategy=self.distribute_strategy,
        )
        training.compile(self.teacher_optimizer, **self.how_compiled())
        return {"teacher": training} | {f"round_{i}": e for i, e in enumerate(earlier, 1)}

    def prepare(self, x, *, steps, **kwargs):
        """Trains the teacher and all students but the last; call it before `fit`.

        Args:
          x: tf.data.Dataset without end, as `fit` takes.
          steps: int, optimizer steps of each.
          **kwargs: for keras.Model.fit.

        Returns:
          dict of phase -> keras.callbacks.History.
        """
        return {
            phase: engine.fit(x, steps_per_epoch=steps, epochs=1, **kwargs)
            for phase, engine in self.preparations().items()
        }

    def train_step(self, batch):
        """One step of the student.

        Args:
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, and `weak` and
            `strong` [U,H,W,C], two views of the same unlabeled images.
        """
        c, variables = self.config, self.student.trainable_variables
        rate = self.student_optimizer.learning_rate
        probs = tf.nn.softmax(wide(self.teacher(batch["weak"], training=False)))  # [U, K]
        mask = losses.confidence_mask(probs, c.pseudo_label_threshold)  # [U]
        weights = mask * self.balance(losses.most_probable(probs), mask)  # [U]
        if c.hard_labels:
            probs = losses.most_probable(probs)
        with tf.GradientTape() as tape:
            labeled_logits, strong_logits = self.passes(
                self.student, batch["labeled"], batch["strong"]
            )
            supervised = tf.reduce_mean(
                losses.label_loss(batch["label"], labeled_logits, c.label_smoothing)
            )
            unlabeled = distribution.weighted_mean(
                losses.cross_entropy(probs, strong_logits), weights
            )
            loss = supervised + c.unlabeled_weight * unlabeled
            scaled = loss_scaling.up(loss, loss_scaling.scale_of(self.student_optimizer))
        self.update(self.student_optimizer, tape.gradient(scaled, variables), variables)
        self.update_ema()
        self.step.assign_add(1)
        self.log_pseudo_labels(probs, batch)
        self.log(
            student_loss=loss,
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            student_learning_rate=rate,
        )
        if c.pseudo_label_threshold:  # else all pass, on purpose
            self.log(mask_rate=tf.reduce_mean(mask))

    def balance(self, labels, mask):
        """The weights of images by their classes; counts the batch first.

        Args:
          labels: floating [U, K], hard pseudo labels.
          mask: floating [U], 1 for the images that are kept.

        Returns:
          [U].
        """
        if not self.config.balance_limit:
            return tf.ones_like(mask)
        news = distribution.mean_over_replicas(thresholds.shares(mask[:, None] * labels))
        seen = tf.convert_to_tensor(self.class_shares)
        # Every step counts alike: the teacher is the same in all of them.
        decay = tf.cast(self.step, seen.dtype) / tf.cast(self.step + 1, seen.dtype)
        self.class_shares.assign(thresholds.moving_average(seen, news, decay))
        by_class = thresholds.balance(
            tf.convert_to_tensor(self.class_shares), self.config.balance_limit
        )
        return tf.linalg.matvec(labels, tf.cast(by_class, labels.dtype))
