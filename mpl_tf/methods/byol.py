"""BYOL (Grill et al., NeurIPS 2020, arXiv 2006.07733)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import projections
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.self_supervised import MomentumMethod
from mpl_tf.engine.student import Batch
from mpl_tf.formulas import contrast, schedules
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class BYOLConfig(MethodConfig):
    """Hyperparameters of BYOL; the defaults are the authors'."""

    hidden_width: int = option(
        4096, "Width of the hidden layers of projector and predictor.", low=1
    )
    target_momentum: float = option(
        0.99, "Decay of the target network at first, in [0, 1].", low=0, high=1
    )
    projection: int = option(256, "Numbers of a representation.", low=1)
    momentum_steps: int = option(
        300_000,
        "Steps over which target_momentum rises to 1 along half a cosine; 0 leaves it as it is.",
        low=0,
        share_of_steps=1.0,
    )


@final
class BYOL(MomentumMethod):
    """What a moving average makes of one view is predicted from the other; no negatives.

        p = predictor(projector(f(view)));  z = target_projector(f_target(view))
        loss = mean_i (2 - 2 cos(p_i, z'_i)) + mean_i (2 - 2 cos(p'_i, z_i))
             + mean_i CE(smooth(label_i), classifier(stop_gradient(f(labeled_i))))
        S, projector, predictor <- optimizer((S, projector, predictor), grad loss)
        m = 1 - (1 - target_momentum) * (cos(pi * step / momentum_steps) + 1) / 2
        target <- m * target + (1 - m) * (S, projector)
        ema <- d * ema + (1 - d) * S

    Grill et al. 2020, equations 2 to 4 and section 3.3. Projector and predictor are Dense, batch
    norm, ReLU, Dense. The target computes with the statistics of the batch of both views, as the
    student does with those of views and labeled images, where the authors have each view alone.

    Defaults of a run that are not theirs: SGD with Nesterov momentum, theirs LARS, which is
    `--optimizer=lars`; an L2 term of 5e-4, theirs at most 1.5e-6; 896 images a step, theirs 4,096.
    `target_momentum` is theirs for 100 and 300 epochs; for 1,000 they have 0.996.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of projector and predictor.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of BYOLConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.BYOL)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.BYOL(student, hidden_width=64, projection=16, momentum_steps=100)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = BYOLConfig
    config: BYOLConfig
    passes_per_step = "student B + 2U, target 2U forward"
    unlabeled_views = ("strong", "strong_2")
    batch_norm = True
    defaults: ClassVar = {"strong": "byol_pair", "dropout": 0.0, "finetune_steps": 0}

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
            size, sizes = self.config.projection, self.sizes(0)
            self.predictor = self.perceptron(size, sizes, "predictor", seed + len(sizes))
            self.projected = projections.with_outputs(
                student, self.projector, self.predictor, labels_teach=False
            )

    def sizes(self, features: int) -> tuple[int, ...]:
        return self.config.hidden_width, self.config.projection

    def targets(self, batch: Batch) -> Batch:
        views = batch["strong"], batch["strong_2"]
        classes = self.student.output_shape[-1]
        first, second = self.forward(self.target, *views, keep_state=True)
        first, second = (tf.stop_gradient(rows[:, classes:]) for rows in (first, second))
        return {"target": second, "target_2": first}  # of the other view

    def contrast(self, batch: Batch, *views: tf.Tensor) -> tf.Tensor:
        errors = [
            contrast.cosine_error(view, tf.cast(batch[name], view.dtype))
            for view, name in zip(views, ("target", "target_2"), strict=True)
        ]
        return tf.reduce_mean(errors[0]) + tf.reduce_mean(errors[1])

    def momentum(self) -> tf.Tensor:
        c = self.config
        risen = schedules.cosine_ramp(self.step, c.momentum_steps) if c.momentum_steps else 0.0
        return 1 - (1 - c.target_momentum) * (1 - risen)
