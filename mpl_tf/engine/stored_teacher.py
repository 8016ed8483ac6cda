"""Methods whose teacher predicts once on all unlabeled images, and is gone before its student."""

import dataclasses
import gc
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.engine.arguments import check_num_unlabeled
from mpl_tf.engine.feedback_method import FeedbackMethod
from mpl_tf.engine.fixed_teacher import count_of, fit_phases, teacher_training
from mpl_tf.engine.label_training import LabelTraining
from mpl_tf.engine.pool_predictions import DTYPE, ArrayPredictions, Predictions, predict
from mpl_tf.engine.trainer import Trainer
from mpl_tf.engine.update import check_two_optimizers, get_optimizer
from mpl_tf.engine.user_networks import check_networks, check_same_weights


@dataclasses.dataclass
class _First:
    """What comes before the student. Keras does not look inside, so that it can be let go of.

    Attributes:
      teacher: keras.Model, until its predictions are there.
      training: of the teacher; None if it comes trained, or is gone.
      predictions: None until they are there.
    """

    teacher: keras.Model | None
    training: LabelTraining | None = None
    predictions: Predictions | None = None


class StoredTeacherMethod(FeedbackMethod):
    """Abstract: a teacher learns the labels, predicts on the pool once, and is let go of.

        T <- optimizer_T(T, grad_T mean CE(smooth(label), T(labeled)))      `pretrain`
        P_i = softmax(T(image_i)), without augmentation, in float16         `store_predictions`
        then steps in which batches have `prediction` [U, K], rows of P     `fit`

    Rows are read by the images' places, outside of what XLA compiles; P is no part of checkpoints.

    Args:
      teacher: built keras.Model of logits [N, K]; None: predictions come by `take_predictions`.
      student: another one, with its own weights; the architecture may differ.
      num_unlabeled: images in the pool.
      seed: from which, with the step, pseudo labels are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of the method's Config.
    """

    num_unlabeled: int
    optimizers = ("student_optimizer", "teacher_optimizer")
    unlabeled_views: tuple[str, ...] = ("strong", "index")

    def __init__(
        self,
        teacher: keras.Model | None,
        student: keras.Model,
        *,
        num_unlabeled: int | None = None,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        check_networks(student, teacher, self.distribute_strategy)
        self.num_unlabeled = check_num_unlabeled(num_unlabeled)
        self._first, self._had_teacher = _First(teacher), teacher is not None
        self._starts_from_teacher = False

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
          student_optimizer: what `keras.optimizers.get` takes; `dot` and `exact` need SGD.
          teacher_optimizer: likewise; None says that the teacher comes trained, or that there is
            none.
          student_init: "seed": the student starts from its own weights. "teacher": from those of
            the teacher when its predictions are stored.
          **kwargs: for Trainer.compile: `weight_decay`, `clip_norm`, `jit_compile`, ...

        Raises:
          ConfigError: the feedback needs a student that SGD moves, or the student has other layers
            than the teacher whose weights it starts from.
          ValueError: an optimizer cannot be used, both are one object, or one is of a teacher that
            there is not.
        """
        if student_init not in ("seed", "teacher"):
            raise ValueError(f"student_init must be seed or teacher; received {student_init!r}.")
        check_two_optimizers(
            type(self).__name__, positional, student_optimizer, teacher_optimizer, kwargs
        )
        with self.distribute_strategy.scope():
            student_optimizer = get_optimizer(student_optimizer, "student_optimizer")
            if teacher_optimizer is not None:
                teacher_optimizer = get_optimizer(teacher_optimizer, "teacher_optimizer")
        super().compile(**kwargs)
        self.student_optimizer = self.own_optimizer(
            student_optimizer, self.student, "student_optimizer"
        )
        self.estimator.check_optimizer(self.student_optimizer)
        first, self._starts_from_teacher = self._first, student_init == "teacher"
        if first.teacher is None:
            if not self._had_teacher and (teacher_optimizer, student_init) != (None, "seed"):
                raise ValueError(
                    f"{type(self).__name__} without a teacher must be compiled with "
                    "teacher_optimizer=None and student_init='seed'; received "
                    f"{teacher_optimizer!r} and {student_init!r}."
                )
            return
        if self._starts_from_teacher:
            check_same_weights(first.teacher, self.student)
        first.training = None
        if teacher_optimizer is not None:
            first.training = teacher_training(self, first.teacher, teacher_optimizer)

    def pretraining_phases(self) -> dict[str, Trainer]:
        return {} if self._first.training is None else {"teacher": self._first.training}

    def pretrain(
        self, x: tf.data.Dataset, *, steps: int, **kwargs: Any
    ) -> dict[str, keras.callbacks.History]:
        """Trains the teacher; call it before `fit`.

        Args:
          x: tf.data.Dataset without end, as `fit` takes.
          steps: optimizer steps.
          **kwargs: for keras.Model.fit.

        Returns:
          Phase name -> history.
        """
        return fit_phases(self, x, steps, **kwargs)

    def store_predictions(self, pool: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> None:
        """Computes the teacher's predictions, keeps them in memory, and lets go of the teacher.

        `fit` does it itself with data of `mpl_tf.data.pair`.

        Args:
          pool: (images [n,H,W,C], index integer [n]) of all unlabeled images without augmentation,
            such as `data.pool` of what `mpl_tf.data.pair` gives.

        Raises:
          ValueError: there is no teacher any more, or the pool is not the whole one.
        """
        array = np.empty((self.num_unlabeled, self.student.output_shape[-1]), DTYPE)
        predict(self._teacher(), pool, array)
        self.take_predictions(ArrayPredictions(array))

    def write_predictions(self, pool: Iterable[tuple[tf.Tensor, tf.Tensor]], path: str) -> None:
        """Computes the teacher's predictions, and writes them as a .npy file.

        Args:
          pool: as for `store_predictions`.
          path: of the file.

        Raises:
          ArithmeticError: a prediction is not finite.
          ValueError: as `store_predictions`.
          OSError: it cannot be written.
        """
        shape = (self.num_unlabeled, self.student.output_shape[-1])
        rows = np.zeros((1, shape[1]), DTYPE).tobytes()
        header = {"descr": np.dtype(DTYPE).str, "fortran_order": False, "shape": shape}
        with open(path, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(shape[0]):  # all of it now: a map of a full disk ends the process
                file.write(rows)
        array = np.lib.format.open_memmap(path, "r+")
        predict(self._teacher(), pool, array)
        array.flush()

    def take_predictions(self, predictions: Predictions) -> None:
        """Has steps read predictions from there, and lets go of the teacher.

        Args:
          predictions: of all images of the pool, by the places that "index" of a batch names; of a
            folder `mpl_tf.pools.predictions.Predictions` reads them.
        """
        first = self._first
        if self._starts_from_teacher and first.teacher is not None and not count_of(self.step):
            for network in (self.student, self.ema):
                network.set_weights(first.teacher.get_weights())
        first.predictions, first.teacher, first.training = predictions, None, None
        gc.collect()  # a network and its traced steps refer to each other

    def _teacher(self) -> keras.Model:
        first = self._first
        if not self._had_teacher:
            raise ValueError(
                f"{type(self).__name__} was made without a teacher: call take_predictions(...) "
                "before fit."
            )
        if first.teacher is None:
            raise ValueError(
                f"{type(self).__name__} has let go of its teacher, whose predictions are stored."
            )
        if first.training is not None and not count_of(first.training.network_optimizer.iterations):
            raise ValueError(
                f"{type(self).__name__} has a phase before this one that has learned nothing yet, "
                "teacher: call pretrain(data, steps=...) before fit, or, if the teacher comes "
                "trained, compile with teacher_optimizer=None."
            )
        return first.teacher

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As Trainer.fit; the first call stores the teacher's predictions, if nothing has.

        Raises:
          ValueError: the teacher was never trained, or the images of the pool are not known.
        """
        if self._first.predictions is None:
            self._teacher()  # refuses one that has learned nothing
            pool = getattr(x, "pool", None)
            if pool is None:
                raise ValueError(
                    f"{type(self).__name__} reads stored predictions, and there are none: call "
                    "store_predictions(pool) before fit, of (images, index) of all unlabeled "
                    "images. Data of mpl_tf.data.pair has such a pool."
                )
            self.store_predictions(pool)
        return super().fit(x, *args, **kwargs)

    def starting_networks(self) -> Iterator[tuple[str, keras.Model]]:
        if self._first.teacher is not None:
            yield "teacher", self._first.teacher
        yield from super().starting_networks()

    def completed(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        num_classes = self.student.output_shape[-1]
        held = weakref.ref(self._first)  # TensorFlow keeps `read` to the end of the process

        def read(positions: np.ndarray) -> np.ndarray:
            first = held()
            assert first is not None  # this method, which the dataset holds, has it
            assert first.predictions is not None  # `fit` has seen to it
            return first.predictions.read(positions)

        rows = tf.numpy_function(read, [batch["index"]], DTYPE)
        return batch | {"prediction": tf.ensure_shape(rows, [batch["index"].shape[0], num_classes])}
