"""EnAET (Wang et al. 2019, arXiv 1911.09265)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.augment import warps
from mpl_tf.engine import guessed_labels, mixup, projections, replicas
from mpl_tf.engine.method import MethodConfig
from mpl_tf.engine.panel import Panel
from mpl_tf.engine.student import Batch, StudentMethod
from mpl_tf.formulas import losses, random, schedules, transformations
from mpl_tf.methods.mixmatch import MixMatchConfig
from mpl_tf.options import ConfigError, option, redefault

# Transformations, and how many numbers tell each.
_SIZES = {"projective": 8, "affine": 6, "similarity": 5, "euclidean": 4, "color": 4}
_DRAWS = {"affine": 5, "projective": 10, "color": 4}


@dataclasses.dataclass(frozen=True)
class EnAETConfig(MethodConfig):
    """Hyperparameters of EnAET; these defaults are the paper's for CIFAR-10."""

    temperature: float = redefault(MixMatchConfig, "temperature", 0.5)
    mixup_alpha: float = redefault(MixMatchConfig, "mixup_alpha", 0.75)
    unlabeled_weight: float = redefault(MixMatchConfig, "unlabeled_weight", 75.0)
    ramp_steps: int = redefault(MixMatchConfig, "ramp_steps", 51_200)
    projective_weight: float = option(
        10.0,
        "Weight of guessing projective transformations after its ramp (a lambda of the paper); as "
        "the weights of the others, which follow: 0 leaves the transformation out.",
        low=0,
    )
    affine_weight: float = option(7.5, "Weight of guessing affine transformations.", low=0)
    similarity_weight: float = option(5.0, "Weight of guessing similarity transformations.", low=0)
    euclidean_weight: float = option(2.0, "Weight of guessing Euclidean transformations.", low=0)
    color_weight: float = option(
        0.0,
        "Weight of guessing changes of colour, contrast, brightness and sharpness; the paper has "
        "0.5, and none for CIFAR-10.",
        low=0,
    )
    guessing_ramp_steps: int = option(
        2**20,
        "Steps over which the weights of guessing would rise linearly to what is set.",
        low=0,
        share_of_steps=1.0,
    )
    guessing_limit: float = option(
        0.1, "Share of the weights of guessing beyond which they do not rise.", low=0, high=1
    )
    divergence_weight: float = option(
        1.0,
        "Weight of the divergence of the prediction on transformed images from the guessed label.",
        low=0,
    )


@final
class EnAET(StudentMethod):
    """MixMatch whose network also guesses how images were transformed, and labels them alike.

        q, (X, P), (U, Q), (U', Q') as in MixMatch, and its loss L
        t_k: random projective, affine, similarity, Euclidean, and colour transformations of weak
        loss = L + sum_k w_k * mean_i |D_k(f(weak_i), f(t_k(weak_i))) - parameters of t_k|^2 / n_k
             + divergence_weight * mean_k mean_i KL(q_i || softmax(S(t_k(weak_i))))
        w_k  = weight_k * min(step / guessing_ramp_steps, guessing_limit)
        S, D <- optimizer((S, D), grad loss)
        ema  <- d * ema + (1 - d) * S

    Wang et al. 2019, and the authors' code (maple-research-lab/EnAET). A transformation
    whose weight is 0 is left out, of the divergence too. With limit 0.1 and the paper's weights of
    10, 7.5, 5, 2 and 0.5, w_k rises to 1, 0.75, 0.5, 0.2 and 0.05. One draw gives the affine, the
    similarity and the Euclidean transformation.

    What differs, and is simpler: D_k is one linear layer on the features f of both images, the
    input of the last layer of S, so that all of S up to there is shared. The authors' decoders have
    a copy of the network's last group of blocks each, on the feature map before it. Decoders take
    the student's optimizer, where theirs take SGD at 0.1 with an L2 term of 5e-4 of their own
    beside Adam. Labels are guessed from two weak views, as in `mixmatch.MixMatch`; the authors add
    one with a square cut out. What comes in from outside an image is its own mean colour; targets
    are in units of half an image's longer side; colour factors are told as -1 to 1. All parts share
    one batch, and so its batch statistics. Features [N, F] in place of images cannot be
    transformed: on them this is MixMatch. Each row has a weight of mixing of its own, there all of
    a batch have one.

    Defaults of a run that are not theirs: SGD with Nesterov momentum on half a cosine and an L2
    term, where they have Adam at 0.002 throughout and shrink weights by 4e-5 a step; dropout of 0.2
    before the head, also while labels are guessed; 300,000 steps, theirs 2^20. One unlabeled image
    a labeled one is 7 in the recipes of digits, Fashion-MNIST and MNIST, 15 in that of ImageNet.

    Args:
      student: built keras.Model of logits [N, K]; of images of 1 or 3 channels, a functional or
        Sequential one, unless all weights of guessing are 0.
      seed: from which, with the step, mixing and transformations are drawn, and decoders made.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of EnAETConfig.

    Raises:
      ConfigError: a hyperparameter is out of range, or the student's features cannot be told.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.EnAET)
        student = mpl_tf.NETWORKS["small"](4, images.shape[1:])
        model = mpl_tf.EnAET(student, ramp_steps=50, guessing_ramp_steps=100)
        model.compile("sgd")
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = EnAETConfig
    config: EnAETConfig
    passes_per_step = "student B + 7U, and 2U forward"  # with colours U more
    unlabeled_views = ("weak", "weak_2")
    defaults: ClassVar = {"unlabeled_ratio": 1, "finetune_steps": 0}
    remedies: ClassVar = {
        "collapse": "a smaller unlabeled_weight or divergence_weight, or a longer ramp_steps"
    }
    panels = (
        Panel(
            "Error of guessed transformations",
            {f"{name}_error": name for name in _SIZES if name != "color"},
            low=0.0,
        ),
    )

    def __init__(
        self,
        student: keras.Model,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(student, seed=seed, strategy=strategy, **hyperparameters)
        used = [name for name in _SIZES if getattr(self.config, f"{name}_weight")]
        self._names = tuple(used) if len(student.input_shape) != 2 else ()
        with self.distribute_strategy.scope():
            self._with_decoders = self._decoding(seed) if self._names else student

    def _decoding(self, seed: int) -> keras.Model:
        """The student with 2 * sum_k n_k more outputs."""
        shape = self.student.input_shape
        if len(shape) != 4 or shape[-1] not in (1, 3):
            raise ConfigError(
                f"transformations are of images [N, H, W, 1 or 3]; received {shape}. Weights of 0 "
                "(projective_weight=0, ...) leave them out."
            )
        # W (f(x), f(t(x))) = W_1 f(x) + W_2 f(t(x)): both halves are outputs of every image.
        outputs = 2 * sum(_SIZES[name] for name in self._names)
        try:
            return projections.with_linear_head(self.student, outputs, seed, "decoders")
        except ConfigError as error:
            raise ConfigError(
                f"transformations: {error} Weights of 0 (projective_weight=0, ...) leave them out."
            ) from error

    @property
    def trained(self) -> keras.Model:
        return self._with_decoders

    def targets(self, batch: Batch) -> Batch:
        c, views = self.config, [batch["weak"], batch["weak_2"]]
        guess = guessed_labels.guess(self, views, c.temperature)  # [U, K]
        images, labels = guessed_labels.mixed(self, batch, views, guess, c.mixup_alpha)
        targets = {"guess": guess, "images": images, "labels": labels}
        if self._names:
            targets["weak"] = mixup.floating(batch["weak"])
            targets["transformed"], targets["parameters"] = self.transformed(targets["weak"])
        return targets

    def transformed(self, images: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """The random transformations of this step.

        Args:
          images: floating [U,H,W,C].

        Returns:
          (name -> images [U,H,W,C], name -> what is to be told of each image [U, n_k]).
        """
        size, height, width, _ = images.shape
        longer = max(height, width)
        # Drawn for the global batch, so that replicas together draw what one alone would.
        index, count = replicas.replica()
        seed = self.draw_seed() + [0, 2]
        drawn = random.uniform(seed, [count, size, sum(_DRAWS.values())])[index]
        draws = dict(zip(_DRAWS, tf.split(drawn, list(_DRAWS.values()), axis=-1), strict=True))
        family = transformations.affine_family(draws["affine"], width / longer, height / longer)
        family["projective"] = transformations.projective(draws["projective"], width, height)
        views, told = {}, {}
        for name in self._names:
            if name == "color":
                factors, told[name] = transformations.color_factors(draws[name])
                views[name] = warps.recolor(images, factors)
            else:
                matrix, told[name] = family[name]
                views[name] = warps.warp(images, transformations.inverse(matrix))
        return views, told

    def objective(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        c, mixed, guess = self.config, batch["images"], batch["guess"]
        parts = [batch["weak"], *batch["transformed"].values()] if self._names else []
        outputs = self.forward(self.trained, *mixed, *parts)
        classes = guess.shape[-1]
        logits = [output[:, :classes] for output in outputs[: len(mixed)]]
        supervised, unlabeled = guessed_labels.losses_of_mixed(self, batch["labels"], logits)
        ramp = self.ramp(schedules.linear_ramp, c.ramp_steps, unlabeled)
        self.log(supervised_loss=supervised, unlabeled_loss=unlabeled)
        loss = supervised + c.unlabeled_weight * ramp * unlabeled
        if self._names:
            loss += self.told_loss(batch, *outputs[len(mixed) :])
        return loss, guess

    def told_loss(self, batch: Batch, own: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
        """What is lost on transformed images: their parameters, and their labels.

        Args:
          batch: with what `targets` gives.
          own: floating [U, K + 2 * sum_k n_k], the network's outputs on untransformed images.
          *others: likewise, on those of each transformation.
        """
        c, guess = self.config, batch["guess"]
        classes = guess.shape[-1]
        sizes = [classes, *(_SIZES[name] for name in self._names for _ in range(2))]
        halves = tf.split(own, sizes, axis=-1)[1::2]
        ramp = self.ramp(schedules.linear_ramp, c.guessing_ramp_steps, own)
        share = tf.minimum(ramp, c.guessing_limit)
        total, divergences = tf.zeros_like(share), []
        for number, (name, output) in enumerate(zip(self._names, others, strict=True)):
            logits, *of_decoders = tf.split(output, sizes, axis=-1)
            told = halves[number] + of_decoders[2 * number + 1]
            expected = tf.cast(batch["parameters"][name], told.dtype)
            error = tf.reduce_mean(losses.squared_error(told, expected))
            self.log(**{f"{name}_error": error})
            total += getattr(c, f"{name}_weight") * share * error
            divergences.append(tf.reduce_mean(losses.divergence_from(guess, logits)))
        divergence = tf.add_n(divergences) / len(divergences)
        self.log(divergence=divergence)
        return total + c.divergence_weight * divergence
