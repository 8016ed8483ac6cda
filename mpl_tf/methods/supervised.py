"""Supervised learning on the labeled images alone: the baseline of every table."""

import dataclasses
from typing import Any, final

import keras
import tensorflow as tf

from mpl_tf.engine import mixup
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, random
from mpl_tf.options import ConfigError, option, redefault


@dataclasses.dataclass(frozen=True)
class SupervisedConfig(MethodConfig):
    """Hyperparameters of Supervised; smoothing and decay are Meta Pseudo Labels'."""

    mix: str = option(
        "none",
        "Mix labeled images and their labels with others of the batch: mixup (weighted means, "
        "weights from Beta(0.2, 0.2)) or cutmix (a rectangle of the other image, its share of the "
        "area from Beta(1, 1)).",
        choices=("none", "mixup", "cutmix"),
    )
    mix_probability: float = option(
        1.0,
        "Probability that a step mixes its images (CutMix on CIFAR: 0.5).",
        low=0,
        high=1,
        beside=("mix", ("mixup", "cutmix")),
    )
    label_smoothing: float = redefault(MethodConfig, "label_smoothing", 0.15)
    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)


@final
class Supervised(StudentMethod):
    """Cross entropy on labels, nothing else.

        w <- optimizer(w, grad mean_i cross_entropy(smooth(label_i), student(x_i; w)))
        ema <- d * ema + (1 - d) * w

    With `mix`, images and smoothed labels are first mixed in pairs, drawn from the global batch:
    `mixup` (Zhang et al. 2018, one weight an image) or `cutmix` (Yun et al. 2019), in a step with
    probability `mix_probability`; other steps have the images as they are.

    Args:
      student: built keras.Model of logits [N, K].
      seed: from which, with the step, the mixing, and whether there is any, are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of SupervisedConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.Supervised)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.Supervised(student, mix="mixup")
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = SupervisedConfig
    config: SupervisedConfig

    def __init__(self, student: keras.Model, **arguments: Any):
        super().__init__(student, **arguments)
        if self.config.mix == "cutmix" and len(self.student.input_shape) != 4:
            raise ConfigError(
                "mix=cutmix cuts rectangles out of images [N, H, W, C]; the student takes "
                f"{self.student.input_shape}. mix=mixup mixes features, too."
            )

    passes_per_step = "student B"

    def targets(self, batch: Batch) -> Batch:
        weights = self.class_weights.array
        target = self.label_target(batch["label"], tf.float32, weights)  # [B, K]
        if self.config.mix == "none":
            return {"target": target}
        mix, alpha = {"mixup": (mixup.mix, 0.2), "cutmix": (mixup.cutmix, 1.0)}[self.config.mix]
        (images,), (mixture,) = mix([batch["labeled"]], [target], alpha, self.draw_seed())
        if self.config.mix_probability < 1:
            mixes = random.uniform(self.draw_seed() + [0, 7], []) < self.config.mix_probability
            images = tf.where(mixes, images, mixup.floating(batch["labeled"]))
            mixture = tf.where(mixes, mixture, target)
        return {"labeled": images, "target": mixture}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, None]:
        (logits,) = self.forward(self.student, batch["labeled"])
        target = tf.cast(batch["target"], logits.dtype)
        adjusted = self.logit_adjustment(logits)
        return tf.reduce_mean(losses.cross_entropy(target, adjusted)), None
