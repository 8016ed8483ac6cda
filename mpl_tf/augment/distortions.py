"""Distortions of self-supervised learning: policies that each change some of the images.

An image that a policy leaves alone keeps every bit. Pixels do not move between images, and what is
drawn for an image is a function of its row of the draws alone.
"""

import dataclasses
import itertools
import numbers

import tensorflow as tf

from mpl_tf.augment import color, operations, ops
from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

# All orders of the four operations of a ColorJitter.
ORDERS = tuple(itertools.permutations(range(4)))
SIGMAS = (0.1, 2.0)  # of a Blur, in pixels
_THRESHOLD = 128.0  # of Solarize
_JITTERS = (
    lambda images, p: color.brightness(images, p[:, 0]),
    lambda images, p: color.contrast(images, p[:, 0]),
    lambda images, p: color.color(images, p[:, 0]),
    lambda images, p: color.hue(images, p[:, 0]),
)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast, saturation and hue, in an order that is drawn for each image.

    Factors of the first three are uniform in [max(0, 1 - s), 1 + s) with s their strength, and the
    hue turns by a share of the full circle that is uniform in [-s, s). All 24 orders are equally
    likely. Values are cut to whole numbers after each, as by Pillow. Grey images have neither
    saturation nor hue.

    Attributes:
      brightness, contrast, saturation: strengths, at least 0; 0 changes nothing.
      hue: strength in [0, 0.5].
      probability: with which an image is changed.

    Raises:
      ConfigError: for a value out of range.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    probability: float = 0.8

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check(name, getattr(self, name))
        _check("hue", self.hue, 0.5)
        _check("probability", self.probability, 1)

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        strengths = (self.brightness, self.contrast, self.saturation)
        amounts = [draws.uniform(i, max(0.0, 1 - s), 1 + s) for i, s in enumerate(strengths)]
        amounts = tf.stack([*amounts, draws.uniform(3, -self.hue, self.hue)], axis=1)  # [N, 4]
        order = tf.gather(tf.constant(ORDERS), draws.integers(4, 0, len(ORDERS)))  # [N, 4]
        changed = draws.uniform(5) < self.probability
        for turn in range(len(_JITTERS)):
            operation = order[:, turn]
            amount = tf.gather(amounts, operation, batch_dims=1)[:, None]
            operation = tf.where(changed, operation, len(_JITTERS))
            images = operations.choose(_JITTERS, images, amount, operation)
        return images


@dataclasses.dataclass(frozen=True)
class Greyed:
    """Makes some images grey: each channel becomes the luma of the pixel.

    Attributes:
      probability: of an image.

    Raises:
      ConfigError: for a value out of range.
    """

    probability: float = 0.2

    def __post_init__(self) -> None:
        _check("probability", self.probability, 1)

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        kept = draws.uniform(0) >= self.probability
        return color.color(images, tf.cast(kept, tf.float32))


@dataclasses.dataclass(frozen=True)
class Blurred:
    """Blurs some images by a Gaussian, of a sigma uniform in [0.1, 2) pixels.

    The kernel has a tenth of the shorter side, made odd: `2 * (side // 10 // 2) + 1` pixels a side,
    23 for 224. Below 20 pixels it is a single one, and nothing changes. `ops.gaussian_blur` says
    what happens at the edges; SimCLR's program has black outside, which darkens them.

    Attributes:
      probability: of an image.

    Raises:
      ConfigError: for a value out of range.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        _check("probability", self.probability, 1)

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        radius = min(images.shape[1:3]) // 10 // 2
        sigma, blurred = draws.uniform(0, *SIGMAS), draws.uniform(1) < self.probability
        choice = tf.where(blurred, 0, 1)

        def blur(images: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
            return ops.gaussian_blur(images, sigma, radius)

        return operations.choose([blur], images, sigma, choice) if radius else images


@dataclasses.dataclass(frozen=True)
class Solarized:
    """Inverts the values from 128 on, in some images.

    Attributes:
      probability: of an image.

    Raises:
      ConfigError: for a value out of range.
    """

    probability: float = 0.2

    def __post_init__(self) -> None:
        _check("probability", self.probability, 1)

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        inverted = draws.uniform(0) < self.probability
        return color.solarize(images, tf.where(inverted, _THRESHOLD, 256.0))


def _check(name: str, value: float, greatest: float | None = None) -> None:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= (1e9 if greatest is None else greatest):
        allowed = "at least 0" if greatest is None else f"from 0 to {greatest:g}"
        raise ConfigError(f"{name} must be a number {allowed}; received {value!r}.")
