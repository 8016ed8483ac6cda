"""AutoAugment: the three published policies."""

import dataclasses
import numbers

import tensorflow as tf

from mpl_tf.augment import operations
from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

# 25 sub-policies each, two operations in a row with their probabilities and magnitudes (0 to 9):
# tables 7, 8 and 9 of the paper. AutoContrast, Equalize and Invert do not use their magnitudes.
POLICIES = {
    "cifar10": """
        Invert 0.1 7        Contrast 0.2 6
        Rotate 0.7 2        TranslateX 0.3 9
        Sharpness 0.8 1     Sharpness 0.9 3
        ShearY 0.5 8        TranslateY 0.7 9
        AutoContrast 0.5 8  Equalize 0.9 2
        ShearY 0.2 7        Posterize 0.3 7
        Color 0.4 3         Brightness 0.6 7
        Sharpness 0.3 9     Brightness 0.7 9
        Equalize 0.6 5      Equalize 0.5 1
        Contrast 0.6 7      Sharpness 0.6 5
        Color 0.7 7         TranslateX 0.5 8
        Equalize 0.3 7      AutoContrast 0.4 8
        TranslateY 0.4 3    Sharpness 0.2 6
        Brightness 0.9 6    Color 0.2 8
        Solarize 0.5 2      Invert 0.0 3
        Equalize 0.2 0      AutoContrast 0.6 0
        Equalize 0.2 8      Equalize 0.6 4
        Color 0.9 9         Equalize 0.6 6
        AutoContrast 0.8 4  Solarize 0.2 8
        Brightness 0.1 3    Color 0.7 0
        Solarize 0.4 5      AutoContrast 0.9 3
        TranslateY 0.9 9    TranslateY 0.7 9
        AutoContrast 0.9 2  Solarize 0.8 3
        Equalize 0.8 8      Invert 0.1 3
        TranslateY 0.7 9    AutoContrast 0.9 1
    """,
    "svhn": """
        ShearX 0.9 4        Invert 0.2 3
        ShearY 0.9 8        Invert 0.7 5
        Equalize 0.6 5      Solarize 0.6 6
        Invert 0.9 3        Equalize 0.6 3
        Equalize 0.6 1      Rotate 0.9 3
        ShearX 0.9 4        AutoContrast 0.8 3
        ShearY 0.9 8        Invert 0.4 5
        ShearY 0.9 5        Solarize 0.2 6
        Invert 0.9 6        AutoContrast 0.8 1
        Equalize 0.6 3      Rotate 0.9 3
        ShearX 0.9 4        Solarize 0.3 3
        ShearY 0.8 8        Invert 0.7 4
        Equalize 0.9 5      TranslateY 0.6 6
        Invert 0.9 4        Equalize 0.6 7
        Contrast 0.3 3      Rotate 0.8 4
        Invert 0.8 5        TranslateY 0.0 2
        ShearY 0.7 6        Solarize 0.4 8
        Invert 0.6 4        Rotate 0.8 4
        ShearY 0.3 7        TranslateX 0.9 3
        ShearX 0.1 6        Invert 0.6 5
        Solarize 0.7 2      TranslateY 0.6 7
        ShearY 0.8 4        Invert 0.8 8
        ShearX 0.7 9        TranslateY 0.8 3
        ShearY 0.8 5        AutoContrast 0.7 3
        ShearX 0.7 2        Invert 0.1 5
    """,
    "imagenet": """
        Posterize 0.4 8     Rotate 0.6 9
        Solarize 0.6 5      AutoContrast 0.6 5
        Equalize 0.8 8      Equalize 0.6 3
        Posterize 0.6 7     Posterize 0.6 6
        Equalize 0.4 7      Solarize 0.2 4
        Equalize 0.4 4      Rotate 0.8 8
        Solarize 0.6 3      Equalize 0.6 7
        Posterize 0.8 5     Equalize 1.0 2
        Rotate 0.2 3        Solarize 0.6 8
        Equalize 0.6 8      Posterize 0.4 6
        Rotate 0.8 8        Color 0.4 0
        Rotate 0.4 9        Equalize 0.6 2
        Equalize 0.0 7      Equalize 0.8 8
        Invert 0.6 4        Equalize 1.0 8
        Color 0.6 4         Contrast 1.0 8
        Rotate 0.8 8        Color 1.0 2
        Color 0.8 8         Solarize 0.8 7
        Sharpness 0.4 7     Invert 0.6 8
        ShearX 0.6 5        Equalize 1.0 9
        Color 0.4 0         Equalize 0.6 3
        Equalize 0.4 7      Solarize 0.2 4
        Solarize 0.6 5      AutoContrast 0.6 5
        Invert 0.6 4        Equalize 1.0 8
        Color 0.6 4         Contrast 1.0 8
        Equalize 0.8 8      Equalize 0.6 3
    """,
}


def sub_policies(policy: str) -> list[tuple[tuple[str, float, int], ...]]:
    """The table of a policy, a key of POLICIES: 25 pairs of (name, probability, magnitude)."""
    rows = [line.split() for line in POLICIES[policy].strip().splitlines()]
    return [tuple((row[i], float(row[i + 1]), int(row[i + 2])) for i in (0, 3)) for row in rows]


def level(name: str, magnitude: int, translate: float) -> float:
    """An operation's parameter at one of the ten magnitudes, without its random sign.

    The paper's ranges (its table 6) in even steps: degrees to 30, slopes to 0.3, factors from 0.1
    to 1.9. Posterize keeps from 8 down to 4 bits, rounded, and Solarize's threshold falls from 256
    to 0, rounded up: the paper does not say which end is which, and its authors' program and common
    practice make an operation stronger with the magnitude.

    Args:
      name: key of operations.OPERATIONS.
      magnitude: 0 to 9.
      translate: pixels at magnitude 9.

    Returns:
      The parameter; 0 for operations without a parameter.
    """
    share = magnitude / 9
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return 0.1 + 1.8 * share
    return {
        "Rotate": 30 * share,
        "ShearX": 0.3 * share,
        "ShearY": 0.3 * share,
        "TranslateX": translate * share,
        "TranslateY": translate * share,
        "Posterize": 8.0 - round(4 * share),
        "Solarize": 256.0 - int(256 * magnitude / 9),
    }.get(name, 0.0)


@dataclasses.dataclass(frozen=True)
class AutoAugment:
    """A policy: each image gets one of 25 sub-policies, drawn uniformly (Cubuk et al. 2019).

    A sub-policy is two operations in a row, each applied with its own probability. Geometric
    operations get a random sign and fill with grey 128. `POLICIES` and `level` have the data. The
    operations are Pillow's, pixel by pixel.

    Attributes:
      policy: "cifar10", "svhn" or "imagenet".
      translate: pixels that TranslateX and TranslateY move at the greatest magnitude; None
        is 150/331 of the longer side, the paper's 150 pixels on its ImageNet images of 331.

    Raises:
      ConfigError: for a value out of range.
    """

    policy: str = "cifar10"
    translate: float | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            allowed = ", ".join(POLICIES)
            raise ConfigError(f"policy must be one of {allowed}; received {self.policy!r}.")
        pixels = self.translate
        if pixels is not None and not (isinstance(pixels, numbers.Real) and 0 <= pixels < 1e9):
            raise ConfigError(f"translate must be a number of at least 0; received {pixels!r}.")

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Augments a batch.

        Args:
          images: uint8 [N, H, W, C] with static H, W and C, C 1 or 3.
          draws: of these N rows.

        Returns:
          uint8 [N, H, W, C].
        """
        side = max(images.shape[1:3])
        translate = 150 / 331 * side if self.translate is None else self.translate
        table = sub_policies(self.policy)
        sub_policy = draws.integers(0, 0, len(table))
        for stage in range(2):
            column = [pair[stage] for pair in table]
            names = sorted({name for name, _, _ in column})
            operation = tf.constant([names.index(name) for name, _, _ in column])
            probability = tf.constant([probability for _, probability, _ in column])
            strength = tf.constant([level(name, m, translate) for name, _, m in column])
            of_stage = draws.child(1 + stage)
            applied = of_stage.uniform(1) < tf.gather(probability, sub_policy)
            images = operations.apply(
                names,
                images,
                tf.where(applied, tf.gather(operation, sub_policy), len(names)),
                tf.gather(strength, sub_policy),
                of_stage,
            )
        return images
