"""What all methods share: networks, moving average, finetuning, prediction, export."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import keras
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.engine import arguments, batch_statistics, devices, image_arguments
from mpl_tf.engine.class_weights import ClassWeights, as_text
from mpl_tf.engine.label_losses import LabelLosses
from mpl_tf.engine.logit_adjustment import LogitAdjustment
from mpl_tf.engine.metrics import ClassShares
from mpl_tf.engine.panel import Panel
from mpl_tf.engine.trainer import Trainer
from mpl_tf.engine.user_networks import (
    check_networks,
    copy_network,
    follow_trainable,
    frozen_weights,
)
from mpl_tf.formulas import averages, schedules
from mpl_tf.options import check, check_fields, option


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """Abstract: the hyperparameters that every method has."""

    label_smoothing: float = option(
        0.0, "Label smoothing of the losses on labels, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.999, "Decay of the moving average of the student's weights, in [0, 1).", low=0, below=1
    )
    class_weight: str = option(
        "",
        "Weights of the losses on labels by class. balanced: all classes count alike. 0:1,3:2.5: "
        "by class ids, others have weight 1. If empty, all labels count alike.",
    )
    logit_adjustment: float = option(
        0.0,
        "Losses on labels take logits plus this times the log of their classes' shares among the "
        "labels, by which rare classes are predicted more often; 1 is the paper's, 0 none.",
        low=0,
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_weight", as_text(self.class_weight))  # of a dict, too
        check(self)
        for field in dataclasses.fields(self):  # NumPy's numbers have types that JSON lacks
            option_type: Any = field.type
            object.__setattr__(self, field.name, option_type(getattr(self, field.name)))


class Method(LabelLosses):
    """Abstract: trains a `student`, and keeps `ema`, the moving average of its weights.

    A concrete method is one file with a Config and a final class. Most extend
    `student.StudentMethod`, which has the step, and define its `objective`.

    Args:
      config: instance of `Config`.
      student: built keras.Model of logits [N, K]. A method whose formulas allow it also trains S
        classifiers at once, of logits [N, S, K] and labels [B, S].
      teacher: likewise; None if the method has none.
      seed: from which, with the step, comes all that a step draws.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      special_metrics: as for Trainer.

    Attributes:
      registered_name: the method's name in `methods.METHODS`; "" of one that is not in it.
      Config: dataclass of its hyperparameters, with help texts and ranges.
      optimizers: the optimizers that `compile` takes.
      unlabeled_views: the unlabeled views in a batch: "weak", "strong", more of them that are drawn
        apart, "weak_2", ..., "strong_2", ..., and "index" [U], the images' places in the pool. A
        method with "index" takes a constructor argument `num_unlabeled`, the size of the pool.
      defaults: option name -> default, for options of runs, data and optimizers whose default
        differs for the method; see `config.make`. Rates are per 256 labeled images.
      fixed: option name -> value, of options of runs without whose value it is another method.
      passes_per_step: the images that go through networks in a step, forward and backward if it
        says nothing else: B labeled and U unlabeled ones.
      panels: pictures of what only this method logs.
      joint_training: whether the teacher learns in the same steps as the student.
      classifier_only: whether nothing learns but what makes logits of features.
      remedies: what to try with the method's own options, in words that continue "Try", where a
        training goes wrong: "collapse", most pseudo labels are of one class; "none_pass" and
        "all_pass", the mask lets no unlabeled image pass, or all of them.
      step, seed: int64 variables, training steps taken, and the seed of what a step draws.

    Raises:
      ConfigError: a network does not give logits, has losses of its own, or cannot be copied.
      ValueError: a network is not built, or the two share weights or do not fit together.
    """

    registered_name: ClassVar[str] = ""
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    optimizers: ClassVar[tuple[str, ...]] = ("student_optimizer",)
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    passes_per_step: ClassVar[str] = ""
    panels: ClassVar[tuple[Panel, ...]] = ()
    joint_training: ClassVar[bool] = False
    classifier_only: ClassVar[bool] = False
    remedies: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuses, with TypeError, a class whose options or panels nothing could read later."""
        super().__init_subclass__(**kwargs)
        check_fields(cls.Config)
        if not (isinstance(cls.panels, tuple) and all(isinstance(p, Panel) for p in cls.panels)):
            raise TypeError(
                f"{cls.__name__}.panels must be a tuple of Panel, such as (Panel(...),); received "
                f"{cls.panels!r}."
            )

    def __init__(
        self,
        config: MethodConfig,
        student: keras.Model,
        teacher: keras.Model | None = None,
        *,
        seed: int,
        strategy: tf.distribute.Strategy | None,
        special_metrics: dict[str, type[keras.metrics.Metric]] | None = None,
    ):
        check_networks(student, teacher, strategy or devices.current_strategy())
        super().__init__(strategy, special_metrics, name=type(self).__name__)
        self.config = config
        self.class_weights = ClassWeights(config.class_weight, student.output_shape[-1])
        self.logit_adjustment = LogitAdjustment(config.logit_adjustment)
        self.teacher, self.student = teacher, student
        self._looked_at_steps = False
        with self.distribute_strategy.scope():
            self.ema = copy_network(student)
            if self.unlabeled_views:
                shares = ClassShares(student.output_shape[-1], name="pseudo_label_shares")
                self.pseudo_label_shares = shares
            # Variables, so that a compiled step follows them: what it draws is a function of both.
            scalar = {"shape": (), "dtype": "int64", "trainable": False}
            self.step = self.add_weight(name="step", initializer="zeros", **scalar)
            self.seed = self.add_weight(name="seed", initializer="zeros", **scalar)
            self.seed.assign(arguments.check_seed(seed))
        self.start_statistics(student)
        if teacher is not None and self.joint_training:
            self.start_statistics(teacher)

    def compile(self, **arguments: Any) -> None:
        """As Trainer.compile; `ema` has the frozen layers that the student has."""
        super().compile(**arguments)
        follow_trainable(self.ema, self.student)

    def pretraining_phases(self) -> dict[str, Trainer]:
        """Phase name -> compiled trainer that is to be fitted on labels before this one."""
        return {}

    @classmethod
    def students(cls, config: MethodConfig) -> int:
        """How many students a run trains one after the other, each for all of its steps."""
        return 1

    @classmethod
    def needs_num_unlabeled(cls) -> bool:
        """Whether the constructor takes `num_unlabeled`, the size of the pool."""
        return "index" in cls.unlabeled_views

    def facts(self) -> dict[str, Any]:
        """What a run's results say of the method beside its name."""
        return {}

    def shortfall(self, steps: int, unlabeled_batch: int) -> str:
        """What the method cannot do in so few steps, in a sentence; "" if it can do all.

        Args:
          steps: of the whole training.
          unlabeled_batch: unlabeled images a step (U).
        """
        return ""

    def warn_of_shortfall(self, steps: int, unlabeled_batch: int) -> None:
        """Logs `shortfall`. Only the first call does: later ones may know of fewer steps."""
        if not self._looked_at_steps:
            self._looked_at_steps = True
            if text := self.shortfall(steps, unlabeled_batch):
                log.warning(f"{type(self).__name__}: {text}")

    def fit(
        self, x: Any = None, *args: Any, steps_per_epoch: int | None = None, **kwargs: Any
    ) -> keras.callbacks.History:
        """As Trainer.fit; warns of what the method cannot do in so few steps.

        A finetuned copy of what the networks were before is dropped.
        """
        name, group = type(self).__name__, self.steps_per_execution
        arguments.check_fit(name, args, kwargs, steps_per_epoch, group)
        # Of other data than that of mpl_tf.data.pair the order is not known.
        if steps_per_epoch and self.unlabeled_views and getattr(x, "num_unlabeled", None):
            epochs = kwargs.get("epochs", 1) - kwargs.get("initial_epoch", 0)
            (unlabeled_batch, *_) = x.element_spec[self.unlabeled_views[0]].shape
            self.warn_of_shortfall(int(self.step) + steps_per_epoch * epochs, unlabeled_batch)
        if self.finetuned is not None:
            log.warning("Training goes on without the finetuned network: finetune again after it.")
        self.drop_finetuned()
        return super().fit(x, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.predict: class probabilities [N, K].

        Args:
          x: images [N,H,W,C], or a tf.data.Dataset of batches of them.
          *args: for keras.Model.predict.
          **kwargs: likewise.

        Raises:
          ValueError: images have another shape than the network takes, or are scaled to [0, 1] and
            those of `fit` were not.
        """
        which = {self.delivered: self.network()}
        images = x.element_spec if isinstance(x, tf.data.Dataset) else x
        if isinstance(images, dict):
            raise ValueError(
                "predict takes images, or a tf.data.Dataset of batches of images; received "
                f"batches with {', '.join(images)}."
            )
        if isinstance(x, tf.data.Dataset):
            image_arguments.check_dataset("predict", x, which, self.trained_on)
        else:
            image_arguments.check_images("predict", x, which, self.trained_on)
        return super().predict(x, *args, **kwargs)

    def draw_seed(self) -> tf.Tensor:
        """int64 [2], (seed, 8 * step); (seed, 8 * step + n), n from 1 to 7, are this step's too."""
        return tf.stack([tf.convert_to_tensor(self.seed), 8 * self.step])

    def ramp(
        self, schedule: Callable[[tf.Tensor, int], tf.Tensor], steps: int, like: tf.Tensor
    ) -> tf.Tensor:
        """A weight that rises from 0 to 1 over the first steps.

        Args:
          schedule: one of the ramps in `schedules`.
          steps: over which it rises; 0 is 1 from the start.
          like: floating, whose dtype it has.
        """
        return tf.cast(schedule(self.step, steps), like.dtype)

    def update_ema(self) -> None:
        """ema <- d * ema + (1 - d) * student, batch statistics too; d rises to `ema_decay`."""
        decay = schedules.ema_decay(self.step, self.config.ema_decay)
        self.average(self.ema, self.student, decay)

    def average(
        self,
        averaged: keras.Model,
        network: keras.Model,
        decay: tf.Tensor,
        state_decay: tf.Tensor | None = None,
    ) -> None:
        """averaged <- decay * averaged + (1 - decay) * network for all weights.

        Frozen weights are those of the network, to the last bit.

        Args:
          averaged: a copy of the network.
          network: which learns.
          decay: floating scalar in [0, 1].
          state_decay: likewise, of what is not trained, such as batch statistics; None is `decay`.
        """
        frozen = {id(weight) for weight in frozen_weights(network)}
        state_decay = decay if state_decay is None else state_decay
        for average, value in zip(averaged.weights, network.weights, strict=True):
            d = tf.cast(decay if value.trainable else state_decay, value.dtype)
            with self.forward.beside(average):
                new = value if id(value) in frozen else averages.moving_average(average, value, d)
                average.assign(new)

    def student_passes(self, batch: dict[str, tf.Tensor]) -> None:
        """Makes the student's passes of a step in training mode, and moves no weight.

        Args:
          batch: as `train_step` takes it.
        """
        raise NotImplementedError

    @property
    def has_averaged_statistics(self) -> bool:
        return bool(batch_statistics.normalisations(self.ema))

    def renew_statistics(self, x: Any, *, steps: int) -> None:
        """Computes the batch statistics of `ema` anew, for its own weights.

        `fit` does it at its end; validation in between uses the average of the student's. See
        `batch_statistics.renew`.

        Args:
          x: as `fit` takes it.
          steps: batches to take from it.
        """
        batch_statistics.renew(self, x, steps)
