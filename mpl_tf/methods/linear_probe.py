"""Linear evaluation: a classifier on the features of an encoder that stays as it is."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.projections import freeze_encoder
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.options import redefault


@dataclasses.dataclass(frozen=True)
class LinearProbeConfig(MethodConfig):
    """Hyperparameters of LinearProbe."""

    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.99)


@final
class LinearProbe(StudentMethod):
    """Only the last layer learns the labels; the encoder before it is frozen.

        w <- optimizer(w, grad_w mean_i CE(smooth(label_i), w f(labeled_i)))
        ema <- d * ema + (1 - d) * w

    f, the input of the last layer, is computed without noise and by moving statistics. This is the
    first protocol by which self-supervised encoders are judged (Chen et al. 2020, section 2.3); the
    other one is Finetune. The encoder comes from `--pretrain`, or from a file by `--network`.

    Args:
      student: built keras.Model of logits [N, K]; all its layers but the last are frozen, also
        afterwards.
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of LinearProbeConfig.

    Raises:
      ConfigError: the student has no layer with a kernel, or a layer would change though frozen.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.LinearProbe)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.LinearProbe(student)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = LinearProbeConfig
    config: LinearProbeConfig
    passes_per_step = "student B forward, its last layer B"
    defaults: ClassVar = {"weight_decay": 0.0, "finetune_steps": 0}
    fixed: ClassVar = {"head": "linear", "dropout": 0.0, "drop_block": 0.0}
    classifier_only = True

    def __init__(
        self,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        freeze_encoder(student)
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)

    def objective(self, batch: Batch) -> tuple[tf.Tensor, None]:
        (logits,) = self.forward(self.student, batch["labeled"])
        return self.supervised_loss(batch["label"], logits), None
