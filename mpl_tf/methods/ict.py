"""ICT: Interpolation Consistency Training (Verma et al., IJCAI 2019, arXiv 1903.03825)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine import mixup
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, schedules
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class ICTConfig(MethodConfig):
    """Hyperparameters of ICT; these defaults are the authors' for CIFAR-10 with 4,000 labels."""

    mixup_alpha: float = option(
        1.0, "Images are mixed with a weight from Beta(alpha, alpha); 0 mixes nothing.", low=0
    )
    unlabeled_weight: float = option(
        100.0, "Weight of the consistency loss after its ramp, at least 0.", low=0
    )
    ramp_steps: int = option(
        46_000,
        "Steps over which that weight rises along exp(-5 (1 - t)^2); the authors': a quarter of "
        "the training.",
        low=0,
        share_of_steps=0.1,
    )


@final
class ICT(StudentMethod):
    """A mixture of two images is trained towards the mixture of the mean teacher's predictions.

        q = softmax(ema(weak))
        l ~ Beta(mixup_alpha, mixup_alpha);  j = a random order of the batch
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * ramp
               * mean_i,k (l q_i + (1 - l) q_j(i) - softmax(S(l weak_i + (1 - l) weak_j(i))))_k^2
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Verma et al. 2019, section 2, algorithm 1. As in the authors' code there is one l for a batch,
    and the teacher predicts in training mode. Their code also mixes the labeled images and mixes
    the teacher's logits; the paper does neither, and neither does this. Partners are drawn from the
    global batch.

    Defaults of a run that are not theirs: a rate of 0.1 for 256 labeled images, theirs 0.1 for 100;
    a ramp of 46,000 steps or a tenth of the run, theirs a quarter; weight decay of 5e-4, theirs
    1e-4; dropout of 0.2 before the head, theirs none; images that are not ZCA-whitened; 300,000
    steps of 128 labeled images, where they take 400 epochs by 100. One unlabeled image a labeled
    one, as they have, is 7 in the recipes of digits, Fashion-MNIST and MNIST, and 15 in that of
    ImageNet.

    Args:
      student: built keras.Model of logits [N, K].
      seed: from which, with the step, the mixing is drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of ICTConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.ICT)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.ICT(student, ramp_steps=50)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = ICTConfig
    config: ICTConfig
    passes_per_step = "student B + U, teacher U forward"
    unlabeled_views = ("weak",)
    defaults: ClassVar = {"unlabeled_ratio": 1, "finetune_steps": 0}
    remedies: ClassVar = {"collapse": "a smaller unlabeled_weight, or a longer ramp_steps"}

    def targets(self, batch: Batch) -> Batch:
        (teacher_logits,) = self.forward(self.ema, batch["weak"])
        probs = tf.nn.softmax(teacher_logits)  # [U, K]
        (mixed,), (target,) = mixup.mix(
            [batch["weak"]], [probs], self.config.mixup_alpha, self.draw_seed(), one_weight=True
        )
        return {"probs": probs, "mixed": mixed, "target": target}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, images = self.config, mixup.floating(batch["labeled"])
        labeled, mixed = self.forward(self.student, images, batch["mixed"])
        supervised = self.supervised_loss(batch["label"], labeled)
        unlabeled = tf.reduce_mean(losses.squared_error(tf.nn.softmax(mixed), batch["target"]))
        ramp = self.ramp(schedules.gaussian_ramp, c.ramp_steps, unlabeled)
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        return supervised + c.unlabeled_weight * ramp * unlabeled, batch["probs"]
