"""Weak and strong views: functions of (images, draws)."""

import dataclasses
import math
from typing import Protocol

import keras
import tensorflow as tf

from mpl_tf.augment import geometry, ops
from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

# What needs no conversion of Python into graphs is traced faster without; policies of users get it.
_no_autograph = tf.autograph.experimental.do_not_convert


class Policy(Protocol):
    """How a view of an image is made: any function like this one.

    What happens to an image depends on its own pixels and its own row of the draws alone.
    """

    def __call__(self, images: tf.Tensor, draws: Draws, /) -> tf.Tensor:
        """Makes a view of every image.

        Args:
          images: uint8 [N, H, W, C] with static H, W and C.
          draws: all randomness there is, of these N rows.

        Returns:
          uint8 [N, H, W, C].
        """


def unchanged(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """The images as they are."""
    del draws
    return images


@dataclasses.dataclass(frozen=True)
class Crop:
    """Mirrors half of the images, pads by an eighth of the side with grey 128, and crops back.

    The weak view of Pham et al. 2021 for 32-pixel images.

    Attributes:
      flip: whether to mirror left to right.
    """

    flip: bool = True

    @_no_autograph
    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        images = _flip(images, draws) if self.flip else images
        padding = images.shape[1] // 8
        offset = draws.integers(1, 0, 2 * padding + 1, [2])
        return geometry.crop(images, offset, padding, fill=128)


@dataclasses.dataclass(frozen=True)
class ResizedCrop:
    """A part of the area, of aspect 3/4 to 4/3, enlarged to the images' own size; mirrors half.

    With 8 to 100% of the area, the weak view of Pham et al. 2021 for ImageNet. The part is cut from
    the image as it was read, that is at its final size: small parts are blurred more than if cut
    from a larger original.

    Attributes:
      flip: whether to mirror left to right.
      area: the least and the greatest share of the area, 0 < least <= greatest <= 1.

    Raises:
      ConfigError: for shares that are none.
    """

    flip: bool = True
    area: tuple[float, float] = (0.08, 1.0)

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ConfigError(f"area must be two rising shares in (0, 1]; received {self.area}.")

    @_no_autograph
    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        images = _flip(images, draws) if self.flip else images
        area = draws.uniform(1, *self.area)
        aspect = tf.exp(draws.uniform(2, math.log(3 / 4), math.log(4 / 3)))  # width / height
        width = tf.minimum(tf.sqrt(area * aspect), 1.0)
        height = tf.minimum(tf.sqrt(area / aspect), 1.0)
        corner = draws.uniform(3, columns=[2])  # as a share of the room for it
        left, top = corner[:, 0] * (1 - width), corner[:, 1] * (1 - height)
        boxes = tf.stack([top, left, top + height, left + width], axis=1)
        return geometry.crop_and_resize(images, boxes)


@dataclasses.dataclass(frozen=True)
class Strong:
    """The strong view: weak, then distorted, then a square cut out, then weak again.

    Pham et al. 2021, appendix on augmentation (RandAugment, cutout of half the side, then flip and
    jitter again).

    Attributes:
      weak: what comes first and last.
      distort: what comes between.
      cutout: in [0, 1], side of the square as a share of the image's; 0 cuts nothing out.
    """

    weak: Policy
    distort: Policy
    cutout: float = 0.5

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        images = self.weak(images, draws.child(0))
        images = self.distort(images, draws.child(1))
        size = round(self.cutout * images.shape[1])
        if size:
            images = geometry.cutout(images, size, draws.uniform(2, columns=[2]))
        return self.weak(images, draws.child(3))


@dataclasses.dataclass(frozen=True)
class InTurn:
    """One policy, and another one on what it gives.

    Attributes:
      first: what comes first.
      second: what comes then.
    """

    first: Policy
    second: Policy

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        return self.second(self.first(images, draws.child(0)), draws.child(1))


@dataclasses.dataclass(frozen=True)
class TwoViews:
    """A policy of the first view of its name, and another one of the second and further ones.

    Attributes:
      first: of "weak" or "strong", and what a call applies.
      second: of "weak_2" or "strong_2", and so on.
    """

    first: Policy
    second: Policy

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        return self.first(images, draws)


def of_view(policy: Policy, number: int) -> Policy:
    """The policy of the `number`-th view of a name, from 1 on."""
    if isinstance(policy, TwoViews):
        return policy.first if number == 1 else policy.second
    return policy


@dataclasses.dataclass(frozen=True)
class FromLayer:
    """A Keras layer as a policy.

    A layer draws its own random numbers: its views are no function of (seed, step), and a resumed
    run sees others than an uninterrupted one.

    Attributes:
      layer: takes and gives images with values 0 to 255.
    """

    layer: keras.Layer

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        del draws
        return tf.ensure_shape(ops.to_uint8(self.output(images)), images.shape)

    def output(self, images: tf.Tensor) -> tf.Tensor:
        """What the layer makes of uint8 images: float32, not rounded."""
        return tf.cast(self.layer(tf.cast(images, tf.float32), training=True), tf.float32)


@dataclasses.dataclass(frozen=True)
class InColor:
    """A policy for RGB images, for grey ones too: they are seen as RGB and made grey again.

    Attributes:
      policy: takes and gives images of 3 channels.
    """

    policy: Policy

    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        if images.shape[-1] == 3:
            return self.policy(images, draws)
        rgb = self.policy(tf.repeat(images, 3, axis=-1), draws)
        return tf.ensure_shape(tf.image.rgb_to_grayscale(rgb), images.shape)


def as_policy(function: Policy | keras.Layer | None) -> Policy:
    """A policy of what a user passes: None leaves images as they are, a Keras layer is wrapped."""
    if function is None:
        return unchanged
    return FromLayer(function) if isinstance(function, keras.Layer) else function


@dataclasses.dataclass(frozen=True)
class Shift:
    """Moves an image by up to a sixteenth of its side each way, between pixels too; black outside.

    For images on a black ground that fill their frame, such as digits.

    Attributes:
      flip: whether to mirror half of the images left to right.
    """

    flip: bool = False

    @_no_autograph
    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        images = _flip(images, draws.child(9)) if self.flip else images
        reach = images.shape[1] / 16
        return ops.shift(images, draws.uniform(0, -reach, reach, [2]))


@dataclasses.dataclass(frozen=True)
class Affine:
    """Turns, shears, scales, moves, re-lights and cuts an image, and leaves it readable.

    Rotation up to 25 degrees, shear up to 0.3, scale 0.8 to 1.25, moves up to an eighth of the
    side, contrast 0.6 to 1.4, brightness up to 40 grey levels, and a grey square with a quarter of
    the side. No colour is inverted, and black comes in from outside: for images on a black ground.

    Attributes:
      flip: whether to mirror half of the images left to right; digits become other symbols.
    """

    flip: bool = False

    @_no_autograph
    def __call__(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        images = _flip(images, draws.child(9)) if self.flip else images
        side = images.shape[1]
        angle = draws.uniform(0, -25.0, 25.0) * math.pi / 180
        shear = draws.uniform(1, -0.3, 0.3)
        scale = tf.exp(draws.uniform(2, -math.log(1.25), math.log(1.25)))
        offset = draws.uniform(3, -side / 8, side / 8, [2])
        cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
        rows = [cos, shear * cos - sin, offset[:, 0], sin, shear * sin + cos, offset[:, 1]]
        images = ops.affine(images, tf.reshape(tf.stack(rows, axis=1), [-1, 2, 3]))
        contrast, brightness = draws.uniform(4, 0.6, 1.4), draws.uniform(5, -40.0, 40.0)
        images = ops.enhance(images, contrast, brightness)
        return geometry.cutout(images, side // 4, draws.uniform(6, columns=[2]))


def _flip(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    return geometry.flip(images, draws.uniform(0) < 0.5)
