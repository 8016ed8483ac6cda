"""AdaMatch (Berthelot et al., ICLR 2022, arXiv 2106.04732)."""

import dataclasses
from typing import ClassVar, final

import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, random, schedules
from mpl_tf.methods.fixmatch import FixMatch
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class AdaMatchConfig(MethodConfig):
    """Hyperparameters of AdaMatch; these defaults are the paper's."""

    threshold: float = option(
        0.9,
        "Least confidence for an unlabeled image to be taught, in mean confidences on labeled "
        "images (the paper's tau); 0 teaches all.",
        low=0,
    )
    align: bool = option(
        True,
        "Distribution alignment: pseudo labels are to be as frequent as predictions on labels.",
    )
    interpolate: bool = option(
        True,
        "Random interpolation of the labeled images' logits between two batches: with the "
        "unlabeled images, and alone, which is one pass of them more.",
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the loss on unlabeled images after its ramp, at least 0.", low=0
    )
    ramp_steps: int = option(
        150_000,
        "Steps over which that weight rises from 0 along half a cosine; the paper's: half of the "
        "training.",
        low=0,
        share_of_steps=0.5,
    )


@final
class AdaMatch(StudentMethod):
    """FixMatch with a threshold and class shares that follow the labeled images.

        z', z_weak, z_strong = S(labeled, weak, strong);  z'' = S(labeled)
        z = l z' + (1 - l) z'',  l_ik ~ U(0, 1);  z' without interpolate
        p = softmax(z);  q = softmax(z_weak);  all but z and z_strong without gradient
        q_i <- normalize(q_i * mean_j p_j / mean_j q_j)                     with align
        mask_i = max_k q_ik >= threshold * mean_j max_k p_jk
        loss = mean_i CE(smooth(label_i), z_i)
             + unlabeled_weight * ramp * mean_i mask_i * CE(q_i, z_strong_i)
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Berthelot et al. 2022, section 3. Means are over the images of a step. Their labeled images have
    a weak and a strong view; here they have one, the weak one. Batch statistics that tests use
    follow the batch of all images.

    What differs from the authors' code: there the class shares of `align` are averages over steps,
    from 1 / K on, exponential ones of labeled images and over 128 steps of unlabeled ones, and the
    aligned q_i teaches its most probable class alone. With the shares of one step, a class that the
    labeled batch has no image of is taught less in that step: take batches of many images a class,
    or of all labeled images.

    Defaults of a run that are not theirs: those that FixMatch says, and 7 unlabeled images a
    labeled one.

    Args:
      student: built keras.Model of logits [N, K].
      seed: from which, with the step, the interpolation is drawn.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of AdaMatchConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.AdaMatch)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.AdaMatch(student, ramp_steps=50)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = AdaMatchConfig
    config: AdaMatchConfig
    passes_per_step = "student 2B + 2U"
    unlabeled_views = ("weak", "strong")
    defaults: ClassVar = FixMatch.defaults
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight, or a longer ramp_steps",
        "none_pass": "a lower threshold",
        "all_pass": "a higher threshold",
    }

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c = self.config
        labeled, weak, strong = self.forward(
            self.student, batch["labeled"], batch["weak"], batch["strong"]
        )
        if c.interpolate:
            labeled = self.interpolated(labeled, batch["labeled"])
        supervised = self.supervised_loss(batch["label"], labeled)
        certain = tf.stop_gradient(tf.nn.softmax(labeled))  # [B, K]
        pseudo_label = tf.stop_gradient(tf.nn.softmax(weak))  # [U, K]
        confidence, expected, predicted = replicas.mean_over_replicas(
            [
                tf.reduce_mean(tf.reduce_max(certain, axis=-1)),
                tf.reduce_mean(certain, axis=0),
                tf.reduce_mean(pseudo_label, axis=0),
            ]
        )
        if c.align:
            pseudo_label = losses.align(pseudo_label, expected, predicted)
        mask = losses.confidence_mask(pseudo_label, c.threshold * confidence)  # [U]
        unlabeled = tf.reduce_mean(mask * losses.cross_entropy(pseudo_label, strong))
        ramp = self.ramp(schedules.cosine_ramp, c.ramp_steps, unlabeled)
        self.log(
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            confidence_threshold=c.threshold * confidence,
        )
        self.log_mask(mask, c.threshold)
        return supervised + c.unlabeled_weight * ramp * unlabeled, pseudo_label

    def interpolated(self, joint: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Logits between those of images in the batch of all, and in a batch of their own.

        Args:
          joint: floating [B, K], the former.
          images: [B,H,W,C].

        Returns:
          [B, K].
        """
        (alone,) = self.forward(self.student, images, keep_state=True)
        index, count = replicas.replica()
        rows, classes = joint.shape
        drawn = random.uniform(self.draw_seed(), [count, rows, classes], joint.dtype)
        weight = tf.gather(drawn, index)
        return weight * joint + (1 - weight) * alone
