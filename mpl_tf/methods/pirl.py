"""PIRL (Misra and van der Maaten, CVPR 2020, arXiv 1912.01991)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.augment import jigsaw
from mpl_tf.engine import projections
from mpl_tf.engine.arguments import check_num_unlabeled
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.self_supervised import SelfSupervisedMethod, recall, remember, start_rows
from mpl_tf.engine.student import Batch
from mpl_tf.formulas import contrast, random
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class PIRLConfig(MethodConfig):
    """Hyperparameters of PIRL; the defaults are the paper's, but for the number of negatives."""

    temperature: float = option(0.07, "What similarities are divided by.", above=0)
    projection: int = option(128, "Numbers of a representation.", low=1)
    negatives: int = option(
        1024,
        "Other images of the pool that each image is told from, drawn in each step; the paper's "
        "32000.",
        low=1,
        high=10**7,
    )
    memory_decay: float = option(
        0.5, "Decay of what is remembered of each image, in [0, 1).", low=0, below=1
    )
    puzzle_weight: float = option(
        0.5,
        "Weight of the puzzle's loss, in [0, 1]; that of the image's own has the rest.",
        low=0,
        high=1,
    )


@final
class PIRL(SelfSupervisedMethod):
    """A jigsaw puzzle of an image is to say what the image does, and no other one.

        v = normalize(projector(f(view)))
        u = normalize(puzzle_projector([patch_projector(f(patch)) of the nine patches]))
        loss = puzzle_weight       * mean_i h(m_i, u_i)
             + (1 - puzzle_weight) * mean_i h(m_i, v_i)
             + mean_i CE(smooth(label_i), classifier(stop_gradient(f(labeled_i))))
        h(m, x) = -log( exp(m . x / t) / (exp(m . x / t) + sum_j exp(m'_j . x / t)) )
        S, projections <- optimizer((S, projections), grad loss)
        m_i <- normalize(memory_decay * m_i + (1 - memory_decay) * v_i)
        ema <- d * ema + (1 - d) * S

    Misra and van der Maaten 2020, equations 3 to 5; m' are drawn from the memory m, which starts
    with random directions. The patches come in a random order, so that nothing can be told from
    a place. h is the authors' code's later form (InfoNCE), where the paper has noise contrastive
    estimation. A network that takes images of one size only, as `mlp`, sees patches enlarged to it.
    A student of features [N, F] has no patches: it compares with the second view as it is.

    Defaults of a run that are not theirs: SGD with Nesterov momentum and a rate of 0.1 per 256
    labeled images, theirs 0.12 per 1,024; an L2 term of 5e-4, theirs 1e-4; 896 unlabeled images a
    step, theirs 1,024.

    Args:
      student: built keras.Model of logits [N, K].
      num_unlabeled: images in the pool; the memory takes 4 * num_unlabeled * projection bytes.
      seed: of the projections and the memory's start; with the step, of the negatives.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of PIRLConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.PIRL)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.PIRL(student, num_unlabeled=data.num_unlabeled, negatives=64)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = PIRLConfig
    config: PIRLConfig
    num_unlabeled: int
    passes_per_step = "student B + U, and 9U patches of a third of the side"
    unlabeled_views = ("strong", "strong_2", "index")
    defaults: ClassVar = {"strong": "jigsaw", "dropout": 0.0, "finetune_steps": 0}
    fixed: ClassVar = {"strong": "jigsaw"}

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
        size = self.config.projection
        with self.distribute_strategy.scope():
            self.puzzle_projector = self.perceptron(
                self._pieces() * size, (size,), "puzzle_projector", seed + 1
            )
            self._trained = projections.beside(self.projected, self.puzzle_projector)
        self._for_pieces = self._small()
        self.memory = start_rows(self, "memory", (num_unlabeled, size), seed)

    def sizes(self, features: int) -> tuple[int, ...]:
        return (2 * self.config.projection,)  # one half for images, one for patches

    @property
    def trained(self) -> keras.Model:
        return self._trained

    def outputs(self, batch: Batch) -> list[tf.Tensor]:
        half = self.student.output_shape[-1] + self.config.projection
        labeled, image = self.forward(self.projected, batch["labeled"], batch["strong"])
        (pieces,) = self.forward(self._for_pieces, self.cut(batch["strong_2"]))
        rows = tf.reshape(pieces[:, half:], [-1, self._pieces() * self.config.projection])
        # Not by `self.forward` itself, whose microbatches have no gradient by what they are given.
        weights = list(map(tf.convert_to_tensor, self.forward.weights_of(self.puzzle_projector)))
        puzzle, _ = self.forward.stateless(self.puzzle_projector, weights, [], rows)
        return [labeled, image[:, :half], tf.concat([image[:, : -2 * puzzle.shape[1]], puzzle], 1)]

    def contrast(self, batch: Batch, *views: tf.Tensor) -> tf.Tensor:
        c, (image, puzzle) = self.config, map(contrast.normalize, views)
        drawn = random.uniform(self.draw_seed(), [c.negatives])
        others = tf.cast(drawn * self.num_unlabeled, tf.int64)
        itself = tf.cast(batch["index"], tf.int64)[:, None] == others  # [U, Q]
        of_images = tf.cast(recall(self.memory, batch["index"]), image.dtype)  # [U, D]
        negatives = tf.cast(recall(self.memory, others), image.dtype)
        of_image, of_puzzle = (
            tf.reduce_mean(contrast.info_nce(rows, of_images, negatives, c.temperature, itself))
            for rows in (image, puzzle)
        )
        remember(self.memory, batch["index"], tf.stop_gradient(image), c.memory_decay)
        self.log(puzzle_loss=of_puzzle, image_loss=of_image)
        return c.puzzle_weight * of_puzzle + (1 - c.puzzle_weight) * of_image

    def cut(self, images: tf.Tensor) -> tf.Tensor:
        """The patches of puzzles, [9U, H, W, C] of the size that the network takes."""
        if self._pieces() == 1:
            return images
        patches = jigsaw.patches(images)
        patches = tf.reshape(patches, [-1, *patches.shape[2:]])
        size = self._for_pieces.input_shape[1:3]
        if tuple(patches.shape[1:3]) == size:
            return patches
        return tf.image.resize(patches, size)

    def _pieces(self) -> int:
        return jigsaw.GRID**2 if len(self.student.input_shape) == 4 else 1

    def _small(self) -> keras.Model:
        """The network on patches of a third of the side, if it takes them, or on enlarged ones."""
        if self._pieces() == 1:
            return self.projected
        sides = [side // jigsaw.GRID for side in self.projected.input_shape[1:3]]
        return projections.on_size(self.projected, sides)
