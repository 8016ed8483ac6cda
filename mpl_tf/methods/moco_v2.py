"""MoCo v2 (Chen, Fan, Girshick and He, 2020, arXiv 2003.04297)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.self_supervised import MomentumMethod, start_rows, told_from_queue
from mpl_tf.engine.student import Batch
from mpl_tf.formulas import contrast
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class MoCoV2Config(MethodConfig):
    """Hyperparameters of MoCoV2; the defaults are the paper's for ImageNet, but for the queue."""

    temperature: float = option(0.2, "What similarities are divided by.", above=0)
    target_momentum: float = option(
        0.999, "Decay of the network that makes keys, in [0, 1].", low=0, high=1
    )
    projection: int = option(
        128, "Numbers of a representation, after a hidden layer as wide as the features.", low=1
    )
    queue: int = option(
        4096, "Earlier images that a view is told from; the paper's 65536.", low=1, high=10**7
    )


@final
class MoCoV2(MomentumMethod):
    """A view is told from a queue of earlier images by the key of another view.

        q = normalize(projector(f(view)));  k = normalize(target_projector(f_target(view')))
        loss = mean_i -log( exp(q_i . k_i / t)
                            / (exp(q_i . k_i / t) + sum_j exp(q_i . queue_j / t)) )
             + mean_i CE(smooth(label_i), classifier(stop_gradient(f(labeled_i))))
        S, projector <- optimizer((S, projector), grad loss)
        target <- target_momentum * target + (1 - target_momentum) * (S, projector)
        queue <- (k, queue) without its oldest keys
        ema <- d * ema + (1 - d) * S

    He et al. 2020 (arXiv 1911.05722), algorithm 1, with the projector (Dense, ReLU, Dense), views
    and temperature of version 2. The queue starts with random directions.

    What differs: keys are computed with the moving statistics of batch norm (Cai et al. 2021, arXiv
    2101.08482), where the authors shuffle the images between devices: both keep the statistics of a
    batch from telling which keys are of it. Labeled images are in the batch of the queries; their
    loss teaches the classifier alone.

    Defaults of a run that are not theirs: a rate of 0.1 per 256 labeled images, theirs 0.03 per 256
    unlabeled ones; an L2 term of 5e-4, theirs 1e-4; 896 unlabeled images a step, theirs 256.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of the projector and of the queue's start.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of MoCoV2Config.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.MoCoV2)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.MoCoV2(student, queue=256, target_momentum=0.9)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = MoCoV2Config
    config: MoCoV2Config
    passes_per_step = "student B + U, target U forward"
    unlabeled_views = ("strong", "strong_2")
    student_views = ("strong",)
    defaults: ClassVar = {"strong": "moco_v2_pair", "dropout": 0.0, "finetune_steps": 0}

    def __init__(
        self,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        shape = self.config.queue, self.config.projection
        self.queue = start_rows(self, "queue", shape, seed)

    def sizes(self, features: int) -> tuple[int, ...]:
        return features, self.config.projection

    def momentum(self) -> tf.Tensor:
        return tf.constant(self.config.target_momentum)

    def targets(self, batch: Batch) -> Batch:
        return {"key": self.keys(batch["strong_2"])}  # [U, D]

    def contrast(self, batch: Batch, *views: tf.Tensor) -> tf.Tensor:
        query = contrast.normalize(views[0])
        return told_from_queue(query, batch["key"], self.queue, self.config.temperature)
