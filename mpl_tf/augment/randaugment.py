"""RandAugment as Meta Pseudo Labels uses it."""

import dataclasses
import numbers

import tensorflow as tf

from mpl_tf.augment import operations
from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

NAMES = tuple(operations.OPERATIONS)


def levels(magnitude: float, translate: float, cutout: float) -> dict[str, float]:
    """The operations' parameters at a magnitude L, without their random signs.

    Degrees 30 * L/10, slopes 0.3 * L/10, translations `translate * L/10` pixels, factors
    1.8 * L/10 + 0.1, and the following, cut to whole numbers:

    - Posterize keeps 4 * L/10 bits, at least 1 and at most 8: 6 of them at magnitude 16. The
      greater the magnitude, the weaker this operation.
    - Solarize inverts from (256 * L/10) mod 256 on: 153 at magnitude 16. The authors' program holds
      the threshold in a uint8, and from magnitude 10 on it wraps; a threshold of 409 would leave
      every image as it is.
    - Cutout's square reaches `cutout * L/10` pixels from its centre each way, so its side is twice
      as long.

    Args:
      magnitude: L, at least 0.
      translate: pixels at L = 10.
      cutout: pixels at L = 10.

    Returns:
      One for each of NAMES; 0 for operations without a parameter.
    """
    share = magnitude / 10
    factor = 1.8 * share + 0.1
    return {
        "AutoContrast": 0.0,
        "Equalize": 0.0,
        "Invert": 0.0,
        "Rotate": 30 * share,
        "Posterize": float(min(max(int(4 * share), 1), 8)),
        "Solarize": float(int(256 * share) % 256),
        "Color": factor,
        "Contrast": factor,
        "Brightness": factor,
        "Sharpness": factor,
        "ShearX": 0.3 * share,
        "ShearY": 0.3 * share,
        "TranslateX": translate * share,
        "TranslateY": translate * share,
        "Cutout": float(int(cutout * share)),
    }


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """A policy: `layers` operations in a row, each drawn uniformly from 15 (Cubuk et al. 2020).

    As in the authors' program: one probability is drawn for an image, uniform in [0.2, 0.8), and
    each of its layers then draws an operation and applies it with that probability, so that half
    of all operations are applied on average. Geometric operations get a random sign and fill with
    grey 128. `levels` has the parameters (Pham et al. 2021, and their source where it says more).
    The operations are Pillow's, pixel by pixel.

    Attributes:
      layers: operations in a row, at least 1.
      magnitude: L, strength of all operations, at least 0; 16 for CIFAR-10 and SVHN, 17 for
        ImageNet.
      translate: pixels that TranslateX and TranslateY move at L = 10; None is an eighth of
        the longer side (CIFAR), and 100 is ImageNet's.
      cutout: half of the side of Cutout's square at L = 10, in pixels; None is an eighth of
        the longer side, and 40 is ImageNet's.

    Raises:
      ConfigError: for a value out of range.
    """

    layers: int = 2
    magnitude: float = 16
    translate: float | None = None
    cutout: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.layers, numbers.Integral) or self.layers < 1:
            raise ConfigError(f"layers must be an integer of at least 1; received {self.layers!r}.")
        for name in ("magnitude", "translate", "cutout"):
            value = getattr(self, name)
            if name != "magnitude" and value is None:
                continue
            if not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
                raise ConfigError(f"{name} must be a number of at least 0; received {value!r}.")

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Augments a batch.

        Args:
          images: uint8 [N, H, W, C] with static H, W and C, C 1 or 3.
          draws: of these N rows.

        Returns:
          uint8 [N, H, W, C].
        """
        eighth = max(images.shape[1:3]) / 8
        translate = eighth if self.translate is None else self.translate
        cutout = eighth if self.cutout is None else self.cutout
        strength = levels(self.magnitude, translate, cutout)
        strength = tf.constant([strength[name] for name in NAMES])
        probability = draws.uniform(0, 0.2, 0.8)
        for layer in range(self.layers):
            of_layer = draws.child(1 + layer)
            operation = of_layer.integers(1, 0, len(NAMES))
            value = tf.gather(strength, operation)
            applied = of_layer.uniform(2) < probability
            operation = tf.where(applied, operation, len(NAMES))
            images = operations.apply(NAMES, images, operation, value, of_layer)
        return images
