"""Keras's own `compile`, `fit` and `evaluate`, for such steps."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine import arguments, image_arguments
from mpl_tf.engine.batch_statistics import STATISTICS_BATCHES, PassCounts, normalisations
from mpl_tf.engine.batches import check_batch, check_pool, with_checked_labels
from mpl_tf.engine.class_weights import ClassWeights
from mpl_tf.engine.evaluation_size import EvaluationSize
from mpl_tf.engine.forward import Forward
from mpl_tf.engine.logit_adjustment import LogitAdjustment
from mpl_tf.engine.pipeline import divided
from mpl_tf.engine.sharpness import PERTURBATIONS, Sharpness
from mpl_tf.engine.updates import Updates


class Trainer(Updates):
    """Abstract: Keras's own `compile` and `fit` for such steps; training data is without end.

    Args:
      strategy: tf.distribute.Strategy; None is the current one.
      special_metrics: as for Steps.
      **kwargs: for keras.Model.

    Attributes:
      unlabeled_views: the unlabeled views in a batch (see `method.Method`).
      num_unlabeled: images in the pool, if something is kept about each of them; else None.
      class_weights: class_weights.ClassWeights, by which labels count in losses.
      logit_adjustment: logit_adjustment.LogitAdjustment, of the logits of losses on labels.
      trained_on: dtype of the images of the last `fit`.
      trained_range: least and greatest value in its first batch, if they are floating; else None.
      sharpness: sharpness.Sharpness, which says where a step's gradient is taken.
      evaluation: evaluation_size.EvaluationSize, of the images that networks are evaluated on.
      pass_counts: of the networks whose batch statistics start anew (`start_statistics`).
      passes_function: the passes of `renew_statistics`, traced; None before the first.
    """

    unlabeled_views: tuple[str, ...] = ()
    num_unlabeled: int | None = None

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None,
        special_metrics: dict[str, type[keras.metrics.Metric]] | None = None,
        **kwargs: Any,
    ):
        super().__init__(strategy, special_metrics, **kwargs)
        self.pass_counts = PassCounts()
        self.passes_function: Callable[[Any], None] | None = None
        self.trained_on: tf.DType | None = None
        self.trained_range: tuple[float, float] | None = None
        self.class_weights, self.logit_adjustment = ClassWeights(), LogitAdjustment()
        self.sharpness, self.evaluation = Sharpness(), EvaluationSize()
        self._settings: dict[str, Any] = {}

    def compile(
        self,
        *,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        backbone_rate: float = 1.0,
        sam_rho: float = 0.0,
        sam_perturbation: str = PERTURBATIONS[0],
        eval_image_size: int | None = None,
        jit_compile: bool = False,
        steps_per_execution: int = 1,
        accumulate_steps: int = 1,
        recompute: bool = False,
        stages: int = 1,
        run_eagerly: bool = False,
        **unused: Any,
    ) -> None:
        """Sets how every step of this trainer runs and what its updates do to gradients.

        Args:
          weight_decay: at least 0, the L2 term: `weight_decay * w` is added to the gradient
            of kernels and biases, not of normalisation parameters.
          clip_norm: above 0; gradients of a network are scaled down to this global norm after
            they were averaged over replicas; None never clips.
          backbone_rate: above 0; what the learning rate is multiplied by for the backbones of
            networks of two parts (`networks.parts`). Optimizers must be SGD then.
          sam_rho, sam_perturbation: `rho` and `along` of `sharpness.Sharpness` (SAM).
          eval_image_size: side in pixels of the images that `evaluate`, `predict`, `finetune` and
            `export` have; None is the size of those that `fit` has.
          jit_compile: whether XLA compiles the training step; on several replicas, each pass
            of a network by itself.
          steps_per_execution: at least 1, steps between two returns to Python.
          accumulate_steps: at least 1, microbatches that a batch is cut into (see
            `forward.Forward`).
          recompute: whether forward passes are computed again for their gradients, which
            needs less memory.
          stages: at least 1, into how many consecutive parts each network is divided, each with its
            variables on a device of its own (see `pipeline`).
          run_eagerly: whether Python runs every operation of a step, for debugging.
          **unused: further arguments of keras.Model.compile, which are refused.

        Raises:
          ValueError: a value is out of range, or the combination cannot work.
          ConfigError: a network cannot be used on images of `eval_image_size`.
        """
        settings = {
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "backbone_rate": backbone_rate,
            "sam_rho": sam_rho,
            "sam_perturbation": sam_perturbation,
            "eval_image_size": eval_image_size,
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution,
            "accumulate_steps": accumulate_steps,
            "recompute": recompute,
            "stages": stages,
            "run_eagerly": run_eagerly,
        }
        arguments.check_compile(type(self).__name__, settings, unused)
        several = self.distribute_strategy.num_replicas_in_sync > 1
        arguments.check_networks_compiled(self.networks, jit_compile and several, backbone_rate)
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.sharpness, self._settings = Sharpness(sam_rho, sam_perturbation), settings
        self.passes_function = None  # it was traced with other arguments
        self.backbone_rate = backbone_rate
        compiled = jit_compile and several
        pipeline = self.forward.pipeline
        if stages > 1 or pipeline is not None:
            pipeline = divided(self.networks, stages, self.distribute_strategy, jit_compile)
        self.forward = Forward(accumulate_steps, recompute, compiled, self.pass_counts, pipeline)
        with self.distribute_strategy.scope():
            self.evaluation = EvaluationSize(eval_image_size, pipeline)
            self.evaluation.of_all(self.networks)  # refuses them here
            # Without optimizer=None Keras would make an RMSprop that nobody uses.
            super().compile(
                optimizer=None,
                jit_compile=jit_compile,
                steps_per_execution=steps_per_execution,
                run_eagerly=run_eagerly,
            )

    def start_statistics(self, network: keras.Model) -> None:
        """Has the moving batch statistics of a network start anew: its first passes count alike."""
        if normalisations(network, frozen=True):
            with self.distribute_strategy.scope():
                name, scalar = f"{network.name}_passes", {"shape": (), "dtype": "int64"}
                count = self.add_weight(name=name, initializer="zeros", trainable=False, **scalar)
            # An attribute, because checkpoints hold what attributes lead to.
            setattr(self, f"passes_{len(self.pass_counts)}", count)
            self.pass_counts.add(network, count)

    def evaluated_networks(self) -> dict[str, keras.Model]:
        return self.evaluation.of_all(self.networks)

    @property
    def stages(self) -> int:
        """Into how many parts, each on a device of its own, the networks are divided."""
        return 1 if self.forward.pipeline is None else len(self.forward.pipeline.devices)

    def compile_arguments(self) -> dict[str, Any]:
        """dict of the arguments of `compile`, for another trainer that is to run alike."""
        return {name: value for name, value in self._settings.items() if name != "run_eagerly"}

    def fit(
        self,
        x: Any = None,
        *args: Any,
        steps_per_epoch: int | None = None,
        renew_statistics: bool = True,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """keras.Model.fit; `steps_per_epoch` is required, because training data is infinite.

        Args:
          x: tf.data.Dataset without end of dicts with `labeled` [B,H,W,C] images, `label` [B]
            integer class ids, and the views [U,H,W,C] that `unlabeled_views` names.
          *args: further arguments of keras.Model.fit, which are refused.
          steps_per_epoch: steps until the next evaluation.
          renew_statistics: whether `renew_statistics` is called at the end, with as many batches
            of `x` as there were steps, at most STATISTICS_BATCHES.
          **kwargs: for keras.Model.fit: `epochs`, `callbacks`, `verbose`, `validation_data`.

        Raises:
          ValueError: a batch lacks a key, or does not fit the networks, replicas or microbatches.
        """
        name, group = type(self).__name__, self.steps_per_execution
        arguments.check_fit(name, args, kwargs, steps_per_epoch, group)
        assert steps_per_epoch is not None  # as it says
        parts = self.distribute_strategy.num_replicas_in_sync * self.forward.accumulate_steps
        self.check_frozen()
        check_batch(x, self.unlabeled_views, self.networks, parts)
        check_pool(x, self.num_unlabeled)
        num_classes = next(iter(self.networks.values())).output_shape[-1]
        by_labels = self.class_weights, self.logit_adjustment
        changed = [each.follow(x, num_classes) for each in by_labels]
        if any(changed):
            self.train_function = None  # it was traced with others
        self.trained_on = getattr(x.element_spec["labeled"], "dtype", None)
        self.trained_range = image_arguments.range_of(x)
        self._check_validation(kwargs.get("validation_data"))
        kwargs.setdefault("shuffle", False)  # the data's own order counts
        kwargs["callbacks"] = [self.overflow, *(kwargs.get("callbacks") or ())]
        x = with_checked_labels(x, num_classes)
        history = super().fit(x, steps_per_epoch=steps_per_epoch, **kwargs)
        if renew_statistics:
            steps = steps_per_epoch * len(history.epoch)
            self.renew_statistics(x, steps=min(steps, STATISTICS_BATCHES))
        return history

    def _check_validation(self, data):
        if data is not None:
            x, y, *_ = data if isinstance(data, (tuple, list)) else (data, None)
            image_arguments.check_labeled(
                "validation_data", x, y, self.evaluated_networks(), self.trained_on
            )

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.evaluate: accuracy and cross entropy of every network.

        Args:
          x: images [N,H,W,C], or a tf.data.Dataset of batches (images, label).
          y: class ids [N]; None of a Dataset.
          *args: further arguments of keras.Model.evaluate.
          **kwargs: likewise.

        Raises:
          ValueError: there are no labels, or they, or images, do not fit the networks.
        """
        if "_use_cached_eval_dataset" not in kwargs:  # with it `fit` calls, which has looked at it
            networks = self.evaluated_networks()
            image_arguments.check_labeled("evaluate", x, y, networks, self.trained_on)
        return super().evaluate(x, y, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """What Keras saves of a model: nothing, because networks and optimizers are made in Python.

        Raises:
          NotImplementedError: always; the message says what is saved, and how.
        """
        raise NotImplementedError(
            f"a {type(self).__name__} is not saved as a .keras file, nor copied. export(folder) "
            "writes what serves, save_weights('all.weights.h5') all weights of its networks, and "
            "save of one of its networks, such as student.save('student.keras'), that network."
        )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As `get_config`, before Keras begins a file."""
        self.get_config()

    @property
    def has_averaged_statistics(self) -> bool:
        """Whether there is anything for `renew_statistics` to do."""
        return False

    def renew_statistics(self, x: Any, *, steps: int) -> None:
        """Computes batch statistics anew where training did not: nowhere, unless a method says so.

        Args:
          x: as `fit` takes it.
          steps: batches to take from it.
        """
