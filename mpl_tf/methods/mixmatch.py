"""MixMatch (Berthelot et al., NeurIPS 2019, arXiv 1905.02249)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine import guessed_labels
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import schedules
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class MixMatchConfig(MethodConfig):
    """Hyperparameters of MixMatch; these defaults are the paper's for CIFAR-10."""

    temperature: float = option(
        0.5, "Temperature that sharpens the guessed labels (the paper's T).", above=0
    )
    mixup_alpha: float = option(
        0.75, "Images are mixed with weights from Beta(alpha, alpha); 0 mixes nothing.", low=0
    )
    unlabeled_weight: float = option(
        75.0, "Weight of the loss on unlabeled images after its ramp (lambda_U).", low=0
    )
    ramp_steps: int = option(
        16_000, "Steps over which that weight rises linearly from 0.", low=0, share_of_steps=0.1
    )


@final
class MixMatch(StudentMethod):
    """Labels guessed from two views are sharpened, and all images and labels are mixed.

        p = (softmax(S(weak)) + softmax(S(weak_2))) / 2
        q = p^(1 / temperature), made to sum to 1;  no gradient
        (X, P), (U, Q), (U', Q') = MixUp of (labeled, smooth(label)), (weak, q), (weak_2, q) with
            one another in a random order, each row with l = max(l, 1 - l) of itself
        loss = mean_i CE(P_i, S(X_i))
             + unlabeled_weight * ramp * mean_i,k (Q_ik - softmax(S(U_i))_k)^2    over U and U'
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Berthelot et al. 2019, algorithm 1 (K = 2) and section 3, equations 2 to 5 for the losses. The
    network guesses in training mode, and without a trace in its batch statistics, as in the
    authors' code. Partners are drawn from the global batch; labeled and unlabeled images share one
    batch, where the authors interleave batches.

    Defaults of a run that are not theirs: SGD with Nesterov momentum on half a cosine and an L2
    term, where they have Adam at 0.002 throughout and shrink kernels by 4e-5 a step; dropout of 0.2
    before the head, also while labels are guessed, theirs none; 300,000 steps of 128 labeled
    images, where they take 2^20 of 64. One unlabeled image a labeled one, as they have, is 7 in the
    recipes of digits, Fashion-MNIST and MNIST, and 15 in that of ImageNet.

    Args:
      student: built keras.Model of logits [N, K].
      seed: from which, with the step, the mixing is drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of MixMatchConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.MixMatch)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.MixMatch(student, ramp_steps=50)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = MixMatchConfig
    config: MixMatchConfig
    passes_per_step = "student B + 2U, and 2U forward"
    unlabeled_views = ("weak", "weak_2")
    defaults: ClassVar = {"unlabeled_ratio": 1, "finetune_steps": 0}
    remedies: ClassVar = {"collapse": "a smaller unlabeled_weight, or a longer ramp_steps"}

    def targets(self, batch: Batch) -> Batch:
        c, views = self.config, [batch["weak"], batch["weak_2"]]
        guess = guessed_labels.guess(self, views, c.temperature)  # [U, K]
        images, labels = guessed_labels.mixed(self, batch, views, guess, c.mixup_alpha)
        return {"guess": guess, "images": images, "labels": labels}

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c = self.config
        logits = self.forward(self.student, *batch["images"])
        supervised, unlabeled = guessed_labels.losses_of_mixed(self, batch["labels"], logits)
        ramp = self.ramp(schedules.linear_ramp, c.ramp_steps, unlabeled)
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        return supervised + c.unlabeled_weight * ramp * unlabeled, batch["guess"]
