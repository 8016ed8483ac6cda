"""VAT + EntMin (Miyato et al., TPAMI 2018, arXiv 1704.03976)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine import adversarial, mixup
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses
from mpl_tf.options import option, redefault


@dataclasses.dataclass(frozen=True)
class VATConfig(MethodConfig):
    """Hyperparameters of VAT; most defaults are the paper's for CIFAR-10 with augmentation."""

    perturbation: float = option(
        8.0,
        "Length of the adversarial perturbation (the paper's epsilon) of a colour image of 32 x 32 "
        "pixels with values from 0 to 1; of others, in proportion to the root of their size. The "
        "authors' 8 is for whitened images; 1.9 changes these as much. Of features: 8 is 14% of "
        "their own length, as it is of whitened images.",
        low=0,
    )
    probe: float = option(
        0.1,
        "Length of the perturbation with which its direction is sought (the paper's xi), likewise; "
        "the paper's 1e-6 drowns in float32's rounding of images.",
        above=0,
    )
    power_iterations: int = option(
        1, "Times the direction is improved (the paper's K), at least 1.", low=1, high=100
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the divergence under perturbation (the paper's alpha), at least 0.", low=0
    )
    entropy_weight: float = option(
        1.0, "Weight of the predictions' entropy (EntMin); 0 is VAT without it.", low=0
    )
    ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)


@final
class VAT(StudentMethod):
    """Penalises how much the worst small perturbation of an image changes the prediction.

        d ~ normal, of length 1 for each image
        power_iterations times:
            d <- grad_r KL(softmax(S(weak)) || softmax(S(weak + r))) at r = probe * d, of length 1
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i KL(softmax(S(weak_i)) || softmax(S(weak_i + r_i)))
             + entropy_weight * mean_i H(softmax(S(weak_i)))          r = perturbation * d
        S <- optimizer(S, grad_S loss)     through S(weak + r) alone in the divergence
        ema <- d * ema + (1 - d) * S

    Miyato et al. 2018, equations 5 and 8, section 3.3, algorithm 1, and section 4.2 for the
    entropy. As in the authors' code, unlabeled images go through the network by themselves, in
    training mode and with the same dropout masks each time, and leave no trace in its moving batch
    statistics, which labeled images alone make. Lengths are those of images with values from 0 to
    1, in proportion to sqrt(H * W * C / 3072). In place of images there may be features [U, F]:
    then r_i has the length perturbation * |features_i| / sqrt(3072), which is that of whitened
    images, whose own length is about sqrt(3072).

    Defaults of a run that are not theirs: `perturbation` is their 8, but they whiten images (ZCA),
    of whose length that is 14%, and 60% of the length of images from 0 to 1, where 1.9 is as much
    as theirs (on digits they differ by less than noise: docs/settings.md); a moving average of
    weights, `ema`; SGD with Nesterov momentum on half a cosine, where they have Adam at 0.001 that
    falls over the last 16,000 of 200,000 steps; dropout of 0.2 before the head, theirs 0.5 between
    convolutions; an L2 term of 5e-4, theirs none; 300,000 steps of 128 labeled images, theirs of
    32. Four unlabeled images a labeled one, as they have, are 7 in the recipes of digits,
    Fashion-MNIST and MNIST, and 15 in that of ImageNet.

    Args:
      student: built keras.Model of logits [N, K], of images with values 0 to 255.
      seed: from which, with the step, the first directions are drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of VATConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.VAT)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.VAT(student, perturbation=2.0)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = VATConfig
    config: VATConfig
    passes_per_step = "student B + 2U, and U for each power iteration"
    unlabeled_views = ("weak",)
    defaults: ClassVar = {"unlabeled_ratio": 4, "finetune_steps": 0}
    remedies: ClassVar = {"collapse": "a smaller unlabeled_weight or entropy_weight"}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, images = self.config, mixup.floating(batch["weak"])
        (labeled,) = self.forward(self.student, batch["labeled"])
        (logits,) = self.forward(self.student, images, keep_state=True)
        each = adversarial.divergence(
            self, images, logits, c.perturbation, c.probe, c.power_iterations
        )
        supervised = self.supervised_loss(batch["label"], labeled)
        unlabeled = tf.reduce_mean(each)
        entropy = tf.reduce_mean(losses.entropy(logits))
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled, entropy=entropy)
        loss = supervised + c.unlabeled_weight * unlabeled + c.entropy_weight * entropy
        return loss, tf.nn.softmax(logits)
