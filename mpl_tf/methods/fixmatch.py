"""FixMatch (Sohn et al., NeurIPS 2020, arXiv 2001.07685)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class FixMatchConfig(MethodConfig):
    """Hyperparameters of FixMatch; these defaults are the paper's."""

    threshold: float = option(
        0.95,
        "Least confidence of the weak view's prediction for an unlabeled image to be taught "
        "(the paper's tau); 0 teaches all, above 1 none.",
        low=0,
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the loss on unlabeled images (the paper's lambda_u), at least 0.", low=0
    )


@final
class FixMatch(StudentMethod):
    """A confident prediction on a weak view becomes the label of a strong view.

        p = stop_gradient(softmax(S(weak)))
        mask_i = max_k p_ik >= threshold
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i mask_i * CE(onehot(argmax p_i), S(strong_i))
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Sohn et al. 2020, section 2.2, equations 3 and 4; labeled, weak and strong images share one
    batch, and its batch statistics, as in the authors' code.

    Defaults of a run that are not theirs: RandAugment with this project's operations, not
    CTAugment; the rate falls to 0 along (1 + cos(pi t)) / 2, theirs to a fifth along
    cos(7 pi t / 16); dropout of 0.2 before the head, also while weak views are labeled, where their
    networks have none; weight decay of biases, too; 300,000 steps of 128 labeled images, where they
    take 2^20 of 64.

    Args:
      student: built keras.Model of logits [N, K].
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of FixMatchConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.FixMatch)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.FixMatch(student, threshold=0.8)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = FixMatchConfig
    config: FixMatchConfig
    passes_per_step = "student B + 2U"
    unlabeled_views = ("weak", "strong")
    # The paper's rate is 0.03 for 64 labeled images.
    defaults: ClassVar = {
        "student_learning_rate": 0.12,
        "student_warmup_steps": 0,
        "finetune_steps": 0,
    }
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight",
        "none_pass": "a lower threshold",
        "all_pass": "a higher threshold",
    }

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c = self.config
        labeled, weak, strong = self.forward(
            self.student, batch["labeled"], batch["weak"], batch["strong"]
        )
        supervised = self.supervised_loss(batch["label"], labeled)
        probs = tf.stop_gradient(tf.nn.softmax(weak))  # [U, K]
        mask = losses.confidence_mask(probs, c.threshold)  # [U]
        pseudo_label = losses.most_probable(probs)  # [U, K]
        unlabeled = tf.reduce_mean(mask * losses.cross_entropy(pseudo_label, strong))
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        self.log_mask(mask, c.threshold)
        return supervised + c.unlabeled_weight * unlabeled, pseudo_label
