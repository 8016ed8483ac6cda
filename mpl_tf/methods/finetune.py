"""Finetuning of a pretrained encoder on labels."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.options import redefault


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(MethodConfig):
    """Hyperparameters of Finetune."""

    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.99)


@final
class Finetune(StudentMethod):
    """All of a pretrained network learns the labels, without a pull of weights towards 0.

        S <- optimizer(S, grad_S mean_i CE(smooth(label_i), S(labeled_i)))
        ema <- d * ema + (1 - d) * S

    The second protocol by which self-supervised encoders are judged (Chen et al. 2020, appendix
    B.5: SGD with Nesterov momentum of 0.9, a rate of 0.05 per 256 images, no weight decay, crops
    and mirror images alone); the first one is LinearProbe. The encoder comes from `--pretrain`, or
    from a file by `--network`. Supervised is the same step with the defaults of a start from
    nothing.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of FinetuneConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.Finetune)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.Finetune(student)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = FinetuneConfig
    config: FinetuneConfig
    passes_per_step = "student B"
    defaults: ClassVar = {
        "student_learning_rate": 0.05,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "finetune_steps": 0,
    }

    def objective(self, batch: Batch) -> tuple[tf.Tensor, None]:
        (logits,) = self.forward(self.student, batch["labeled"])
        return self.supervised_loss(batch["label"], logits), None
