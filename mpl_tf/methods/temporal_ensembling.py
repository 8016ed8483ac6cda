"""Temporal Ensembling (Laine & Aila, ICLR 2017, arXiv 1610.02242)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.arguments import check_num_unlabeled
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import averages, ensembles, losses, schedules
from mpl_tf.options import option, redefault


@dataclasses.dataclass(frozen=True)
class TemporalEnsemblingConfig(MethodConfig):
    """Hyperparameters of TemporalEnsembling; most defaults are the paper's for CIFAR-10."""

    prediction_decay: float = option(
        0.6,
        "Decay of the predictions accumulated for an image from one visit to the next (the "
        "paper's alpha), in [0, 1).",
        low=0,
        below=1,
    )
    unlabeled_weight: float = option(
        30.0, "Weight of the consistency loss after its ramp (the paper's w_max).", low=0
    )
    ramp_steps: int = option(
        40_000,
        "Steps over which that weight rises along exp(-5 (1 - t)^2).",
        low=0,
        share_of_steps=0.1,
    )
    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)


@final
class TemporalEnsembling(StudentMethod):
    """Predictions are pulled towards a running average of the image's past predictions.

        z_i = softmax(S(weak_i))
        q_i = Z_i / (1 - a^visits_i)                  a: prediction_decay
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * ramp * mean_i [visits_i > 0] mean_k (q_ik - z_ik)^2
        S <- optimizer(S, grad_S loss)
        Z_i <- a * Z_i + (1 - a) * z_i;  visits_i <- visits_i + 1
        ema <- d * ema + (1 - d) * S

    Laine & Aila 2017, section 2.2, algorithm 2. The paper updates Z for all images at the end of
    an epoch, here each image's is updated when it was seen; as every image is seen once an epoch,
    the targets are the same. An image that was not seen yet has no target; the paper's weight is 0
    in the first epoch. Consistency is asked of the unlabeled images, among which the labeled ones
    are unless they were excluded; the paper's factor M / N of w_max cancels, because each loss is
    averaged over its own images here.

    Defaults of a run that are not theirs: a moving average of weights, `ema`, which the paper does
    not have; SGD with Nesterov momentum on half a cosine, where they have Adam at 0.003 that rises
    over 80 epochs and falls over the last 50 of 300; 128 labeled and 896 unlabeled images a step,
    theirs 100 in all; dropout of 0.2 before the head, theirs 0.5, Gaussian noise and ZCA-whitened
    images; 300,000 steps, theirs 150,000; a weight that rises in a tenth of the steps, theirs in 80
    of 300 epochs.

    Args:
      student: built keras.Model of logits [N, K].
      num_unlabeled: images in the pool; the predictions take 4 * num_unlabeled * K bytes.
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of TemporalEnsemblingConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.TemporalEnsembling)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.TemporalEnsembling(student, num_unlabeled=data.num_unlabeled, ramp_steps=50)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = TemporalEnsemblingConfig
    config: TemporalEnsemblingConfig
    num_unlabeled: int
    passes_per_step = "student B + U"
    unlabeled_views = ("weak", "index")
    defaults: ClassVar = {"finetune_steps": 0}
    remedies: ClassVar = {"collapse": "a smaller unlabeled_weight, or a longer ramp_steps"}

    def __init__(
        self,
        student: keras.Model,
        *,
        num_unlabeled: int | None = None,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        self.num_unlabeled = num_unlabeled = check_num_unlabeled(num_unlabeled)
        with self.distribute_strategy.scope():
            zeros = {"initializer": "zeros", "trainable": False}
            shape, dtype = (num_unlabeled, student.output_shape[-1]), "float32"
            self.sums = self.add_weight(name="sums", shape=shape, dtype=dtype, **zeros)
            self.visits = self.add_weight(name="visits", shape=shape[:1], dtype="int64", **zeros)

    def shortfall(self, steps: int, unlabeled_batch: int) -> str:
        if steps * unlabeled_batch > self.num_unlabeled:
            return ""
        return (
            f"its consistency loss is 0 in each of the {steps} steps, so that unlabeled images "
            "teach nothing: an image has a target from its second visit on, and with "
            f"{unlabeled_batch} of {self.num_unlabeled} images a step none comes twice. Take more "
            f"than {self.num_unlabeled // unlabeled_batch} steps, or a smaller pool."
        )

    def targets(self, batch: Batch) -> Batch:
        visits = tf.gather(self.visits, batch["index"])  # [U]
        sums = tf.gather(self.sums, batch["index"])  # [U, K]
        target = averages.debiased(sums, visits[:, None], self.config.prediction_decay)
        return {"visits": visits, "target": target}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, visits = self.config, batch["visits"]
        labeled, weak = self.forward(self.student, batch["labeled"], batch["weak"])
        supervised = self.supervised_loss(batch["label"], labeled)
        probs = tf.nn.softmax(weak)  # [U, K]
        error = losses.squared_error(probs, tf.cast(batch["target"], probs.dtype))
        unlabeled = tf.reduce_mean(tf.where(visits > 0, error, tf.zeros_like(error)))
        ramp = self.ramp(schedules.gaussian_ramp, c.ramp_steps, unlabeled)
        self.remember(batch["index"], tf.stop_gradient(probs))
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        return supervised + c.unlabeled_weight * ramp * unlabeled, probs

    def remember(self, index: tf.Tensor, probs: tf.Tensor) -> None:
        """Accumulates the predictions `probs` [U, K] of the images `index` [U] of all replicas."""
        index, probs = map(replicas.all_rows, (index, tf.cast(probs, tf.float32)))
        decay = self.config.prediction_decay
        sums, visits = ensembles.accumulate(
            tf.convert_to_tensor(self.sums), tf.convert_to_tensor(self.visits), index, probs, decay
        )
        self.sums.assign(sums)
        self.visits.assign(visits)
