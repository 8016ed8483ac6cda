"""SimCLR (Chen, Kornblith, Norouzi and Hinton, ICML 2020, arXiv 2002.05709)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.self_supervised import SelfSupervisedMethod
from mpl_tf.engine.student import Batch
from mpl_tf.formulas import contrast
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class SimCLRConfig(MethodConfig):
    """Hyperparameters of SimCLR; the temperature is the authors' for CIFAR-10."""

    temperature: float = option(
        0.5, "What similarities are divided by; the authors' 0.1 for ImageNet.", above=0
    )
    projection: int = option(
        128, "Numbers of a representation, after a hidden layer as wide as the features.", low=1
    )


@final
class SimCLR(SelfSupervisedMethod):
    """Two views of an image are told to be alike, and unlike all other images of the batch.

        z = normalize(projector(f(view)))
        l(z, z') = mean_i -log( exp(z_i . z'_i / t)
                                / (sum_j exp(z_i . z'_j / t) + sum_{j != i} exp(z_i . z_j / t)) )
        loss = l(z, z') + l(z', z)
             + mean_i CE(smooth(label_i), classifier(stop_gradient(f(labeled_i))))
        S, projector <- optimizer((S, projector), grad loss)
        ema <- d * ema + (1 - d) * S

    Chen et al. 2020, equation 1 and algorithm 1, times two, as in the authors' code. The projector
    is Dense, batch norm, ReLU, Dense, its hidden layer as wide as the features f. Other images are
    those of all replicas. Labeled images are in the batch whose statistics batch norm takes; their
    loss teaches the classifier alone.

    Defaults of a run that are not theirs: SGD with Nesterov momentum, theirs LARS, which is
    `--optimizer=lars`; an L2 term of 5e-4, theirs at most 1e-4; 896 images a step, theirs 512 on
    CIFAR-10 and 4,096 on ImageNet.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of the projector.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of SimCLRConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.SimCLR)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.SimCLR(student, temperature=0.2)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = SimCLRConfig
    config: SimCLRConfig
    passes_per_step = "student B + 2U"
    unlabeled_views = ("strong", "strong_2")
    batch_norm = True
    defaults: ClassVar = {"strong": "simclr_pair", "dropout": 0.0, "finetune_steps": 0}

    def sizes(self, features: int) -> tuple[int, ...]:
        return features, self.config.projection

    def contrast(self, batch: Batch, *views: tf.Tensor) -> tf.Tensor:
        own = [contrast.normalize(view) for view in views]
        first, second = map(replicas.all_rows, own)
        place = replicas.replica()[0] * tf.shape(own[0])[0]
        t = self.config.temperature
        one = contrast.nt_xent(own[0], first, second, place, t)
        two = contrast.nt_xent(own[1], second, first, place, t)
        return tf.reduce_mean(one) + tf.reduce_mean(two)
