"""A batch in which every image undergoes an operation of its own."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from mpl_tf.augment import color, compiled, geometry
from mpl_tf.augment.draws import Draws

# Each takes images [n, H, W, C] and parameters [n, 3]: the operation's own, and Cutout's centre.
OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "AutoContrast": lambda images, p: color.autocontrast(images),
    "Equalize": lambda images, p: color.equalize(images),
    "Invert": lambda images, p: color.invert(images),
    "Rotate": lambda images, p: geometry.rotate(images, p[:, 0]),
    "Posterize": lambda images, p: color.posterize(images, p[:, 0]),
    "Solarize": lambda images, p: color.solarize(images, p[:, 0]),
    "Color": lambda images, p: color.color(images, p[:, 0]),
    "Contrast": lambda images, p: color.contrast(images, p[:, 0]),
    "Brightness": lambda images, p: color.brightness(images, p[:, 0]),
    "Sharpness": lambda images, p: color.sharpness(images, p[:, 0]),
    "ShearX": lambda images, p: geometry.shear_x(images, p[:, 0]),
    "ShearY": lambda images, p: geometry.shear_y(images, p[:, 0]),
    "TranslateX": lambda images, p: geometry.translate_x(images, p[:, 0]),
    "TranslateY": lambda images, p: geometry.translate_y(images, p[:, 0]),
    "Cutout": lambda images, p: geometry.cutout(images, 2 * p[:, 0], p[:, 1:]),
}
SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")


@tf.autograph.experimental.do_not_convert  # nothing here needs it, and it would take seconds
def apply(
    names: Sequence[str],
    images: tf.Tensor,
    operation: tf.Tensor,
    strength: tf.Tensor,
    draws: Draws,
) -> tf.Tensor:
    """Applies operation `names[operation[i]]` to image i.

    Args:
      names: K keys of OPERATIONS.
      images: uint8 [N, H, W, C] with static H, W and C.
      operation: int32 [N] in [0, K]; K leaves an image alone.
      strength: float32 [N], the operation's parameter (see color and geometry; of Cutout, half of
        the square's side), not negative; for an operation in SIGNED it gets a random sign.
      draws: of these N rows, for the signs and Cutout's centres.

    Returns:
      uint8 [N, H, W, C].
    """
    signed = tf.gather(tf.constant([*(name in SIGNED for name in names), False]), operation)
    side, *centre = tf.unstack(draws.uniform(0, columns=[3]), axis=1)
    strength = tf.where(signed & (side < 0.5), -strength, strength)
    parameters = tf.stack([strength, *centre], axis=1)

    return choose([OPERATIONS[name] for name in names], images, parameters, operation)


@tf.autograph.experimental.do_not_convert
def choose(
    functions: Sequence[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]],
    images: tf.Tensor,
    parameters: tf.Tensor,
    choice: tf.Tensor,
) -> tf.Tensor:
    """Applies function `choice[i]` to image i.

    The batch is split by function, every part goes through its function at once, and the parts are
    put back in order: each image is computed once, whatever the number of functions. For XLA, whose
    shapes are static, all images go through all functions, and one result of each is taken.

    Args:
      functions: K functions of (images uint8 [n, H, W, C], parameters [n, ...]) that give images of
        the same shape; n may be 0.
      images: uint8 [N, H, W, C] with static H, W and C.
      parameters: [N, ...], those of each image.
      choice: int32 [N] in [0, K]; K leaves an image alone.

    Returns:
      uint8 [N, H, W, C].
    """
    if compiled.is_for_xla():
        result = images
        for k, function in enumerate(functions):
            is_of_k = (choice == k)[:, None, None, None]
            result = tf.where(is_of_k, function(images, parameters), result)
        return result
    functions = [*functions, lambda images, p: images]
    parts, of_part, positions = (
        tf.dynamic_partition(tensor, choice, len(functions))
        for tensor in (images, parameters, tf.range(tf.shape(images)[0]))
    )
    changed = [
        function(part, p) for function, part, p in zip(functions, parts, of_part, strict=True)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(positions, changed), images.shape)
