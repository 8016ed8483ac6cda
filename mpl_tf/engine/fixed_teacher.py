"""Methods whose teacher learns the labels first and then labels images for its student."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine.forward import to_float32
from mpl_tf.engine.label_training import LabelTraining
from mpl_tf.engine.method import Method
from mpl_tf.engine.student import StudentMethod
from mpl_tf.engine.trainer import Trainer
from mpl_tf.engine.update import check_two_optimizers, get_optimizer
from mpl_tf.engine.user_networks import check_same_weights


class FixedTeacherMethod(StudentMethod):
    """Abstract: a student of a teacher that learns the labels first and then stays as it is.

        T <- optimizer_T(T, grad_T mean CE(smooth(label), T(labeled)))      `pretrain`
        then the step of StudentMethod, with the teacher's predictions      `fit`

    Args:
      teacher: built keras.Model of logits [N, K].
      student: another one, with its own weights; the architecture may differ.
      seed: from which, with the step, comes all that a step draws.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of the method's Config.
    """

    teacher: keras.Model
    optimizers = ("student_optimizer", "teacher_optimizer")

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, teacher=teacher, seed=seed, strategy=strategy, **hyperparameters)
        self.teacher_optimizer: keras.optimizers.Optimizer | None = None
        self._starts_from_teacher = False

    @property
    def first_teacher(self) -> keras.Model:
        """The network that learns the labels in `pretrain`."""
        return self.teacher

    def compile(
        self,
        *positional: Any,
        student_optimizer: Any = ...,
        teacher_optimizer: Any = ...,
        student_init: str = "seed",
        **kwargs: Any,
    ) -> None:
        """As Trainer.compile, with the optimizers of both networks.

        Args:
          *positional: optimizers without a name, which are refused.
          student_optimizer: what `keras.optimizers.get` takes.
          teacher_optimizer: likewise; None says that the teacher comes trained, and `pretrain`
            leaves it as it is.
          student_init: "seed": the student starts from its own weights. "teacher": from those that
            its teacher has learned when `fit` begins.
          **kwargs: for Trainer.compile: `weight_decay`, `clip_norm`, `jit_compile`, ...

        Raises:
          ConfigError: the student has other layers than the teacher whose weights it starts from.
          ValueError: an optimizer cannot be used, or both are one object.
        """
        if student_init not in ("seed", "teacher"):
            raise ValueError(f"student_init must be seed or teacher; received {student_init!r}.")
        check_two_optimizers(
            type(self).__name__, positional, student_optimizer, teacher_optimizer, kwargs
        )
        with self.distribute_strategy.scope():
            student_optimizer = get_optimizer(student_optimizer, "student_optimizer")
        super().compile(student_optimizer=student_optimizer, **kwargs)
        self._starts_from_teacher = student_init == "teacher"
        if self._starts_from_teacher:
            check_same_weights(self.teacher, self.student)
        self.teacher_optimizer = None
        if teacher_optimizer is not None:
            self.teacher_optimizer = self.own_optimizer(
                teacher_optimizer, self.first_teacher, "teacher_optimizer"
            )

    def pretraining_phases(self) -> dict[str, Trainer]:
        if self.teacher_optimizer is None:
            return {**self.earlier_rounds()}
        training = teacher_training(self, self.first_teacher, self.teacher_optimizer)
        return {"teacher": training, **self.earlier_rounds()}

    def pretrain(
        self, x: tf.data.Dataset, *, steps: int, **kwargs: Any
    ) -> dict[str, keras.callbacks.History]:
        """Trains what comes before the student; call it before `fit`.

        Args:
          x: tf.data.Dataset without end, as `fit` takes.
          steps: optimizer steps of each phase.
          **kwargs: for keras.Model.fit.

        Returns:
          Phase name -> history.
        """
        return fit_phases(self, x, steps, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As Trainer.fit.

        Raises:
          ValueError: what comes before was never trained.
        """
        rounds = self.earlier_rounds().items()
        untrained = [name for name, each in rounds if not count_of(each.step)]
        optimizer = self.teacher_optimizer
        if optimizer is not None and not count_of(optimizer.iterations):
            untrained.insert(0, "teacher")
        if untrained and not count_of(self.step):  # a restored method goes on
            raise ValueError(
                f"{type(self).__name__} has a phase before this one that has learned nothing yet, "
                f"{untrained[0]}: call pretrain(data, steps=...) before fit, or, if the teacher "
                "comes trained, compile with teacher_optimizer=None."
            )
        if self._starts_from_teacher and not count_of(self.step):
            for network in (self.student, self.ema):
                network.set_weights(self.teacher.get_weights())
        return super().fit(x, *args, **kwargs)

    def starting_networks(self) -> Iterator[tuple[str, keras.Model]]:
        yield "teacher", self.first_teacher
        for each in (*self.earlier_rounds().values(), self):
            yield "student", each.student
            yield "student", each.ema

    def earlier_rounds(self) -> dict[str, StudentMethod]:
        """Phase name -> method of a student that is trained before this one, and teaches it."""
        return {}

    def teacher_probs(self, images: tf.Tensor) -> tf.Tensor:
        """The teacher's distributions [U, K], without noise: no dropout, moving statistics."""
        return tf.nn.softmax(to_float32(self.forward.evaluated(self.teacher, images)))


def teacher_training(method: Method, teacher: keras.Model, optimizer: Any) -> LabelTraining:
    """The compiled trainer of a teacher that learns the labels before its student begins.

    Args:
      method: compiled, whose losses on labels and whose arguments of `compile` it has.
      teacher: of logits.
      optimizer: what `keras.optimizers.get` takes.
    """
    training = LabelTraining(
        teacher,
        "teacher",
        label_smoothing=method.config.label_smoothing,
        class_weight=method.config.class_weight,
        logit_adjustment=method.config.logit_adjustment,
        strategy=method.distribute_strategy,
    )
    training.compile(optimizer, **method.compile_arguments())
    return training


def fit_phases(
    method: Method, x: tf.data.Dataset, steps: int, **kwargs: Any
) -> dict[str, keras.callbacks.History]:
    """Fits each of the phases before a method, of so many steps; phase name -> history."""
    return {
        phase: trainer.fit(x, steps_per_epoch=steps, epochs=1, **kwargs)
        for phase, trainer in method.pretraining_phases().items()
    }


def count_of(counter: keras.Variable) -> int:
    """The value of a counter, on one replica or several."""
    return int(tf.convert_to_tensor(counter))
