"""Noisy Student (Xie, Luong, Hovy and Le, CVPR 2020, arXiv 1911.04252)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf import options
from mpl_tf.engine import devices, replicas, update
from mpl_tf.engine.fixed_teacher import FixedTeacherMethod
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.engine.user_networks import copy_network, follow_trainable
from mpl_tf.formulas import averages, losses, thresholds
from mpl_tf.options import option, redefault


@dataclasses.dataclass(frozen=True)
class NoisyStudentConfig(MethodConfig):
    """Hyperparameters of NoisyStudent; most defaults are the paper's for ImageNet."""

    rounds: int = option(
        3,
        "Students that are trained, each a teacher of the next; each takes `steps` steps.",
        low=1,
        high=20,
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
    label_smoothing: float = redefault(MethodConfig, "label_smoothing", 0.1)
    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)


@final
class NoisyStudent(FixedTeacherMethod):
    """A student trained with noise on labels and pseudo labels becomes the next teacher.

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
    and labeled images come in the weak view, there with noise. The losses on labels and pseudo
    labels weigh alike, as in algorithm 1; in the authors' code all images do, which is an
    `unlabeled_weight` of `unlabeled_ratio`. There hard pseudo labels are smoothed like labels.

    Defaults of a run that are not theirs: a rate that falls along half a cosine, theirs by 3% every
    2.4 epochs; dropout of 0.2 before the head, theirs 0.5; RandAugment of magnitude 16, theirs 27;
    7 unlabeled images a labeled one, theirs up to 28; students of the teacher's size, where theirs
    grow; a decay of 0.995 of the average of weights that becomes the teacher, theirs 0.9999; an L2
    term of 5e-4, theirs 1e-5.

    Args:
      teacher: built keras.Model of logits [N, K].
      student: another one, with its own weights and at least as many; the student of every round
        starts from these weights.
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of NoisyStudentConfig.

    Raises:
      ValueError: the student is smaller than the teacher.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.NoisyStudent)
        build = mpl_tf.NETWORKS["small"]
        teacher = build(4, images.shape[1:], seed=1)
        student = build(4, images.shape[1:], seed=2)
        model = mpl_tf.NoisyStudent(teacher, student, rounds=2)
        model.compile(student_optimizer="sgd", teacher_optimizer="sgd")
        model.pretrain(data, steps=100)
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = NoisyStudentConfig
    config: NoisyStudentConfig
    passes_per_step = (
        "teacher B, as many steps before; each round as many steps of teacher U forward, "
        "student B + U"
    )
    unlabeled_views = ("weak", "strong")
    defaults: ClassVar = {"finetune_steps": 0}
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight",
        "none_pass": "a lower pseudo_label_threshold",
        "all_pass": "a higher pseudo_label_threshold",
    }

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        config = options.make(NoisyStudentConfig, hyperparameters, type(self).__name__)
        sizes = [network.count_params() for network in (teacher, student)]
        if sizes[0] > sizes[1]:
            raise ValueError(
                "the student must be as large as its teacher, or larger; received a teacher of "
                f"{sizes[0]} parameters and a student of {sizes[1]}."
            )
        strategy = strategy or devices.current_strategy()
        once = dataclasses.asdict(dataclasses.replace(config, rounds=1))
        earlier, last_teacher = [], teacher
        for _ in range(config.rounds - 1):
            with strategy.scope():
                fresh = copy_network(student)
            earlier.append(NoisyStudent(last_teacher, fresh, seed=seed, strategy=strategy, **once))
            last_teacher = earlier[-1].ema
        super().__init__(last_teacher, student, seed=seed, strategy=strategy, **hyperparameters)
        self._rounds = _EarlierRounds(teacher, earlier)
        with self.distribute_strategy.scope():
            self.class_shares = self.add_weight(
                name="class_shares",
                shape=student.output_shape[-1:],
                initializer="zeros",
                trainable=False,
            )

    @property
    def first_teacher(self) -> keras.Model:
        return self._rounds.teacher

    def compile(
        self,
        *positional: Any,
        student_optimizer: Any = ...,
        teacher_optimizer: Any = ...,
        **kwargs: Any,
    ) -> None:
        """As FixedTeacherMethod.compile; each round has an optimizer like `student_optimizer`."""
        update.check_two_optimizers(
            type(self).__name__, positional, student_optimizer, teacher_optimizer, kwargs
        )
        with self.distribute_strategy.scope():
            student_optimizer = update.get_optimizer(student_optimizer, "student_optimizer")
            for trainer in self._rounds.trainers:
                follow_trainable(trainer.student, self.student)
                fresh = keras.optimizers.get(keras.optimizers.serialize(student_optimizer))
                trainer.compile(student_optimizer=fresh, teacher_optimizer=None, **kwargs)
        super().compile(
            student_optimizer=student_optimizer, teacher_optimizer=teacher_optimizer, **kwargs
        )

    @classmethod
    def students(cls, config: NoisyStudentConfig) -> int:
        return config.rounds

    def earlier_rounds(self) -> dict[str, StudentMethod]:
        return {f"round_{i}": each for i, each in enumerate(self._rounds.trainers, 1)}

    def targets(self, batch: Batch) -> Batch:
        c, probs = self.config, self.teacher_probs(batch["weak"])  # [U, K]
        mask = losses.confidence_mask(probs, c.pseudo_label_threshold)  # [U]
        weights = mask * self.balance(losses.most_probable(probs), mask)  # [U]
        self.log_mask(mask, c.pseudo_label_threshold)
        pseudo_label = losses.most_probable(probs) if c.hard_labels else probs
        return {"pseudo_label": pseudo_label, "weights": weights}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, pseudo_label = self.config, batch["pseudo_label"]
        labeled, strong = self.forward(self.student, batch["labeled"], batch["strong"])
        supervised = self.supervised_loss(batch["label"], labeled)
        unlabeled = losses.cross_entropy(pseudo_label, strong)  # [U]
        unlabeled = replicas.weighted_mean(unlabeled, batch["weights"])
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        return supervised + c.unlabeled_weight * unlabeled, pseudo_label

    def balance(self, labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The weights of images by their classes; counts the batch first.

        Args:
          labels: floating [U, K], hard pseudo labels.
          mask: floating [U], 1 for the images that are kept.

        Returns:
          [U].
        """
        if not self.config.balance_limit:
            return tf.ones_like(mask)
        shares = replicas.mean_over_replicas(thresholds.shares(mask[:, None] * labels))
        average = tf.convert_to_tensor(self.class_shares)
        # Every step counts alike: the teacher is the same in all of them.
        decay = tf.cast(self.step, average.dtype) / tf.cast(self.step + 1, average.dtype)
        self.class_shares.assign(averages.moving_average(average, shares, decay))
        by_class = thresholds.balance(
            tf.convert_to_tensor(self.class_shares), self.config.balance_limit
        )
        return tf.linalg.matvec(labels, tf.cast(by_class, labels.dtype))


@dataclasses.dataclass(frozen=True)
class _EarlierRounds:
    """What comes before the last round. Keras does not look inside: each has its checkpoints.

    Attributes:
      teacher: keras.Model, the first teacher.
      trainers: list of NoisyStudent of one round each.
    """

    teacher: keras.Model
    trainers: list
