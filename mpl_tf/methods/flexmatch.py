"""FlexMatch (Zhang et al., NeurIPS 2021, arXiv 2110.08263)."""

import bisect
import dataclasses
import math
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.arguments import check_num_unlabeled
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, thresholds
from mpl_tf.methods.fixmatch import FixMatch
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class FlexMatchConfig(MethodConfig):
    """Hyperparameters of FlexMatch; these defaults are the paper's."""

    threshold: float = option(
        0.95,
        "Confidence from which on an unlabeled image counts as learned, and the threshold of a "
        "class that is learned best (the paper's tau).",
        low=0,
    )
    threshold_warmup: bool = option(
        True, "Let all thresholds start low, while most unlabeled images are not learned."
    )
    threshold_mapping: str = option(
        "convex",
        "How a class's share of what is learned, b, becomes its share of the threshold. convex: "
        "b / (2 - b). linear: b. concave: log(b + 1) / log(2).",
        choices=thresholds.MAPPINGS,
    )
    unlabeled_weight: float = option(
        1.0, "Weight of the loss on unlabeled images (the paper's lambda), at least 0.", low=0
    )


@final
class FlexMatch(StudentMethod):
    """FixMatch with a threshold for each class, lower for classes that are learned less well.

        p = stop_gradient(softmax(S(weak)))
        count_k = images of the pool whose last confident prediction was k
        beta_k = count_k / max(max_j count_j, images never predicted with confidence)
        mask_i = max_k p_ik >= threshold * mapping(beta_(argmax p_i))
        loss = mean_i CE(smooth(label_i), S(labeled_i))
             + unlabeled_weight * mean_i mask_i * CE(onehot(argmax p_i), S(strong_i))
        learned[index_i] <- argmax p_i where max_k p_ik >= threshold
        S <- optimizer(S, grad_S loss)
        ema <- d * ema + (1 - d) * S

    Zhang et al. 2021, section 3, equations 5 to 11 and algorithm 1. Labeled, weak and strong images
    share one batch, as in the authors' code, from which it comes that a confident prediction is
    never forgotten, only replaced by a newer one.

    Defaults of a run that are not theirs: the rate falls to 0 along (1 + cos(pi t)) / 2, theirs to
    a fifth along cos(7 pi t / 16); dropout of 0.2 before the head, also while weak views are
    labeled, where their networks have none; 300,000 steps of 128 labeled images, where they take
    2^20 of 64.

    Args:
      student: built keras.Model of logits [N, K].
      num_unlabeled: the number of unlabeled images; a batch's `index` says which it has.
      seed: of no effect: this method draws no random numbers of its own.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of FlexMatchConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.FlexMatch)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.FlexMatch(student, num_unlabeled=data.num_unlabeled)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = FlexMatchConfig
    config: FlexMatchConfig
    num_unlabeled: int
    passes_per_step = "student B + 2U"
    unlabeled_views = ("weak", "strong", "index")
    defaults: ClassVar = FixMatch.defaults  # from whose paper the authors take them
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight",
        "none_pass": "a lower threshold",
        "all_pass": "a higher threshold, or threshold_warmup=False",
    }

    def __init__(
        self,
        student: keras.Model,
        *,
        num_unlabeled: int | None = None,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        self.num_unlabeled = num_unlabeled = check_num_unlabeled(num_unlabeled)
        with self.distribute_strategy.scope():
            self.learned = self.add_weight(
                name="learned",
                shape=[num_unlabeled],
                dtype="int32",
                initializer=keras.initializers.Constant(-1),
                trainable=False,
            )

    def shortfall(self, steps: int, unlabeled_batch: int) -> str:
        c, classes, pool = self.config, self.student.output_shape[-1], self.num_unlabeled
        chance = 1 / classes

        def limit(steps):  # of the thresholds in the last of them, by the predictions before it
            share = min(1.0, (steps - 1) * unlabeled_batch / pool)
            return thresholds.curriculum_limit(
                share, classes, c.threshold, c.threshold_warmup, c.threshold_mapping
            )

        if limit(steps) > chance or c.threshold <= chance:
            return ""
        all_steps = range(1, 2 + math.ceil(pool / unlabeled_batch))
        enough = all_steps[bisect.bisect_right(all_steps, chance, key=limit)]
        return (
            f"its thresholds do not rise above 1/{classes}, which every prediction reaches, so "
            f"that all unlabeled images are taught in each of the {steps} steps. With "
            f"{unlabeled_batch} of {pool} images a step, equally many of each class, step {enough} "
            "is the first in which they can. Take more steps, a smaller pool, or "
            "threshold_warmup=False."
        )

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, learned = self.config, tf.convert_to_tensor(self.learned)  # [N]
        labeled, weak, strong = self.forward(
            self.student, batch["labeled"], batch["weak"], batch["strong"]
        )
        supervised = self.supervised_loss(batch["label"], labeled)
        probs = tf.stop_gradient(tf.nn.softmax(weak))  # [U, K]
        class_thresholds = thresholds.curriculum(
            learned, probs.shape[-1], c.threshold, c.threshold_warmup, c.threshold_mapping
        )  # [K]
        mask = thresholds.above(probs, class_thresholds)  # [U]
        pseudo_label = losses.most_probable(probs)  # [U, K]
        unlabeled = tf.reduce_mean(mask * losses.cross_entropy(pseudo_label, strong))
        self.remember(batch["index"], probs)
        self.log(
            supervised_loss=supervised,
            unlabeled_loss=unlabeled,
            learned=tf.reduce_mean(tf.cast(learned >= 0, tf.float32)),
            mask_rate=tf.reduce_mean(mask),
        )
        return supervised + c.unlabeled_weight * unlabeled, pseudo_label

    def remember(self, index: tf.Tensor, probs: tf.Tensor) -> None:
        """Notes the confident predictions of all replicas.

        Args:
          index: integer [U], places of the images in the pool.
          probs: floating [U, K], predictions on their weak views.
        """
        confident = losses.confidence_mask(probs, self.config.threshold) > 0
        label = tf.where(confident, tf.argmax(probs, axis=-1), -1)  # [U]
        rows = map(replicas.all_rows, (index, label))
        self.learned.assign(thresholds.remember(tf.convert_to_tensor(self.learned), *rows))
