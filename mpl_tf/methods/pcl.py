"""PCL (Li, Zhou, Xiong and Hoi, ICLR 2021, arXiv 2005.04966)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.engine.arguments import check_num_unlabeled
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.self_supervised import MomentumMethod, remember, start_rows, told_from_queue
from mpl_tf.engine.student import Batch
from mpl_tf.formulas import clusters, contrast, random
from mpl_tf.methods.moco_v2 import MoCoV2Config
from mpl_tf.options import option, redefault

_SMOOTHING = 10.0  # of cluster sizes, the paper's alpha


@dataclasses.dataclass(frozen=True)
class PCLConfig(MethodConfig):
    """Hyperparameters of PCL; the defaults are the paper's, but for the queue."""

    temperature: float = redefault(MoCoV2Config, "temperature", 0.2)
    target_momentum: float = redefault(MoCoV2Config, "target_momentum", 0.999)
    projection: int = redefault(MoCoV2Config, "projection", 128)
    queue: int = option(
        4096, "Earlier images that a view is told from; the paper's 16384.", low=1, high=10**7
    )
    clusters_per_class: int = option(
        25,
        "Clusters of the first clustering over the number of classes; each further one has twice "
        "as many. None has more than an eighth of the pool.",
        low=1,
        high=10_000,
    )
    clusterings: int = option(3, "How many numbers of clusters (the paper's M).", low=1, high=16)
    cluster_every: int = option(
        0, "Steps from one clustering to the next; 0: as many as an epoch of the pool has.", low=0
    )
    cluster_from: int = option(
        60_000,
        "The first step with clusters; before, only images are told apart.",
        low=0,
        share_of_steps=0.1,
    )


@final
class PCL(MomentumMethod):
    """MoCo, and each image is told from other clusters by the prototype of its own.

        q = normalize(projector(f(view)));  k = normalize(target_projector(f_target(view')))
        memory_i <- k_i
        c, s = k-means of the memory, m times, with more and more clusters     every so many steps
        phi_c = sum_z |z - c| / (Z log(Z + 10)) over the Z members of a cluster, mean `temperature`
        loss = mean_i -log( exp(q_i . k_i / t)
                            / (exp(q_i . k_i / t) + sum_j exp(q_i . queue_j / t)) )
             + mean over clusterings of
               mean_i -log( exp(q_i . c_s(i) / phi_s(i)) / sum_c exp(q_i . c / phi_c) )
             + mean_i CE(smooth(label_i), classifier(stop_gradient(f(labeled_i))))
        S, projector <- optimizer((S, projector), grad loss)
        target <- target_momentum * target + (1 - target_momentum) * (S, projector)
        queue <- (k, queue) without its oldest keys
        ema <- d * ema + (1 - d) * S

    Li et al. 2021, equations 11 and 12 and algorithm 1. Keys and queue are those of MoCoV2, here.

    What differs: clusters are of the keys as they were when each image was seen last, where the
    authors compute those of the whole pool anew in each epoch, of center crops; k-means has 20
    iterations and one start, there five; every other prototype is a negative once, where the
    authors draw 16,000 and take those of the batch's other images once for each image.

    Defaults of a run that are not theirs: 0.1 of the steps without clusters, theirs 20 of 200
    epochs; a rate of 0.1 per 256 labeled images, theirs 0.03 per 256 unlabeled ones; an L2 term of
    5e-4, theirs 1e-4.

    Args:
      student: built keras.Model of logits [N, K].
      num_unlabeled: images in the pool; the memory takes 4 * num_unlabeled * projection bytes.
      seed: of the projector, the queue's and the memory's start; with the step, of k-means.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of PCLConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.PCL)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.PCL(student, num_unlabeled=data.num_unlabeled, queue=256, cluster_from=50)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = PCLConfig
    config: PCLConfig
    num_unlabeled: int
    passes_per_step = "student B + U, target U forward, k-means once an epoch"
    unlabeled_views = ("strong", "strong_2", "index")
    student_views = ("strong",)
    defaults: ClassVar = {"strong": "moco_v2_pair", "dropout": 0.0, "finetune_steps": 0}

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
        c = self.config
        self.num_unlabeled = pool = check_num_unlabeled(num_unlabeled)
        self.queue = start_rows(self, "queue", (c.queue, c.projection), seed)
        self.memory = start_rows(self, "memory", (pool, c.projection), seed + 1)
        with self.distribute_strategy.scope():
            self.assigned, self.prototypes, self.concentrations = [], [], []
            for number, count in enumerate(self.cluster_counts()):
                of = f"_{number}"
                self.assigned.append(self._state("assigned" + of, (pool,), "int32"))
                self.prototypes.append(self._state("prototypes" + of, (count, c.projection)))
                self.concentrations.append(self._state("concentrations" + of, (count,)))

    def _state(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> keras.Variable:
        """A variable of zeros, and an attribute: checkpoints hold none that only a list has."""
        variable = self.add_weight(
            name=name, shape=shape, dtype=dtype, initializer="zeros", trainable=False
        )
        setattr(self, name, variable)
        return variable

    def sizes(self, features: int) -> tuple[int, ...]:
        return features, self.config.projection

    def momentum(self) -> tf.Tensor:
        return tf.constant(self.config.target_momentum)

    def cluster_counts(self) -> list[int]:
        """How many clusters each clustering has."""
        c, most = self.config, max(2, self.num_unlabeled // 8)
        first = max(2, c.clusters_per_class * self.student.output_shape[-1])
        return [min(first * 2**number, most) for number in range(c.clusterings)]

    def shortfall(self, steps: int, unlabeled_batch: int) -> str:
        if steps <= self.config.cluster_from:
            return (
                f"its clusters begin at step {self.config.cluster_from}, and there are {steps}: it "
                "is MoCo v2. Take more steps, or a smaller cluster_from."
            )
        seen = self.config.cluster_from * unlabeled_batch
        if seen >= self.num_unlabeled:
            return ""
        return (
            f"at step {self.config.cluster_from}, where its clusters begin, it has seen {seen} of "
            f"{self.num_unlabeled} images; of the others it knows nothing. Take a greater "
            "cluster_from."
        )

    def targets(self, batch: Batch) -> Batch:
        return {"key": self.keys(batch["strong_2"])}  # [U, D]

    def contrast(self, batch: Batch, *views: tf.Tensor) -> tf.Tensor:
        query = contrast.normalize(views[0])
        loss = told_from_queue(query, batch["key"], self.queue, self.config.temperature)
        remember(self.memory, batch["index"], batch["key"], 0.0)
        self.cluster(batch["key"].shape[0] or tf.shape(batch["key"])[0])
        begun = tf.cast(self.step >= self.config.cluster_from, loss.dtype)
        of_clusters = begun * self.prototype_loss(query, batch["index"])
        self.log(instance_loss=loss, prototype_loss=of_clusters, weight=1.0)
        return loss + of_clusters

    def prototype_loss(self, query: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """The mean over clusterings of `contrast.prototype_loss`, a scalar.

        Args:
          query: floating [U, D], of length 1.
          index: integer [U], the images' places in the pool.
        """
        each = []
        sets = zip(self.prototypes, self.concentrations, self.assigned, strict=True)
        for prototypes, concentration, assigned in sets:
            phi = tf.cast(concentration, query.dtype)
            phi = tf.where(phi > 0, phi, tf.ones_like(phi))  # before the first clustering
            rows = contrast.normalize(tf.cast(prototypes, query.dtype))
            own = tf.gather(tf.convert_to_tensor(assigned), index)
            each.append(tf.reduce_mean(contrast.prototype_loss(query, rows, phi, own)))
        return tf.add_n(each) / len(each)

    def cluster(self, batch: tf.Tensor | int) -> None:
        """Clusters the memory anew, in the steps in which it is due.

        Args:
          batch: unlabeled images of this replica in a step.
        """
        c, step = self.config, tf.cast(self.step, tf.int64)
        images = tf.cast(batch * replicas.replica()[1], tf.int64)
        epoch = tf.maximum(self.num_unlabeled // images, 1)
        every = tf.constant(c.cluster_every, tf.int64) if c.cluster_every else epoch
        due = (step >= c.cluster_from) & ((step - c.cluster_from) % every == 0)
        seed = self.draw_seed()
        sets = zip(self.assigned, self.prototypes, self.concentrations, strict=True)
        for number, variables in enumerate(sets):
            before = tuple(map(tf.convert_to_tensor, variables))
            key = random.fold_in(seed, number)

            def anew(key=key, count=before[1].shape[0]):
                memory = tf.convert_to_tensor(self.memory)  # here: a reading copies all of it
                centroids, assigned = clusters.k_means(memory, count, 20, key)
                phi = clusters.concentration(memory, centroids, assigned, _SMOOTHING, c.temperature)
                return assigned, centroids, phi

            after = tf.cond(due, anew, lambda before=before: before)
            for variable, value in zip(variables, after, strict=True):
                variable.assign(value)
