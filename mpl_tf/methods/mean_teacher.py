"""Mean Teacher (Tarvainen & Valpola, NeurIPS 2017, arXiv 1703.01780)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, schedules
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class MeanTeacherConfig(MethodConfig):
    """Hyperparameters of MeanTeacher; these defaults are the authors' for CIFAR-10."""

    unlabeled_weight: float = option(
        100.0, "Weight of the consistency loss after its ramp, at least 0.", low=0
    )
    ramp_steps: int = option(
        40_000,
        "Steps over which that weight rises along exp(-5 (1 - t)^2).",
        low=0,
        share_of_steps=0.1,
    )


@final
class MeanTeacher(StudentMethod):
    """Predictions are pulled towards those of the moving average of the network's weights.

        q = softmax(ema(weak_2))                      with noise of its own
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * ramp * mean_i,k (q_ik - softmax(S(weak_i))_k)^2
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Tarvainen & Valpola 2017, section 2. The teacher predicts in training mode, as in the paper: on
    another weak view, with dropout, and with the statistics of its own batch, which move its
    moving statistics before they are averaged with the student's. `ema` is that teacher.

    Consistency is asked of the unlabeled images, among which the labeled ones are unless they were
    excluded. The paper averages both losses over all images of a batch and scales the weight by
    the share of labeled ones; with each loss averaged over its own images that factor cancels.

    Defaults of a run that are not theirs: SGD with Nesterov momentum on half a cosine, where their
    convolutional network has Adam at 0.003 that rises over 40,000 steps and falls over the last
    25,000 of 150,000 (their residual network has SGD, and there `ema_decay` is 0.97, not 0.999);
    128 labeled and 896 unlabeled images a step, theirs 100 in all; dropout of 0.2 before the head,
    theirs 0.5, Gaussian noise and ZCA-whitened images; an L2 term of 5e-4, theirs none; 300,000
    steps, in a tenth of which the weight rises, theirs in 40,000 of 150,000.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of MeanTeacherConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.MeanTeacher)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.MeanTeacher(student, ramp_steps=50)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = MeanTeacherConfig
    config: MeanTeacherConfig
    passes_per_step = "student B + U, teacher U forward"
    unlabeled_views = ("weak", "weak_2")
    defaults: ClassVar = {"finetune_steps": 0}
    remedies: ClassVar = {"collapse": "a smaller unlabeled_weight, or a longer ramp_steps"}

    def targets(self, batch: Batch) -> Batch:
        (teacher_logits,) = self.forward(self.ema, batch["weak_2"])
        return {"target": tf.nn.softmax(teacher_logits)}  # [U, K]

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, target = self.config, batch["target"]
        labeled, weak = self.forward(self.student, batch["labeled"], batch["weak"])
        supervised = self.supervised_loss(batch["label"], labeled)
        unlabeled = tf.reduce_mean(losses.squared_error(tf.nn.softmax(weak), target))
        ramp = self.ramp(schedules.gaussian_ramp, c.ramp_steps, unlabeled)
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        return supervised + c.unlabeled_weight * ramp * unlabeled, target
