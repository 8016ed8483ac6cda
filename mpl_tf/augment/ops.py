"""Batched operations between pixels: bilinear moves, and light.

Every operation takes images uint8 [N, H, W, C] with static H, W and C; an image's result depends on
its own pixels and its own parameters alone. `geometry` has those that move whole pixels.
"""

import tensorflow as tf

from mpl_tf.augment import compiled, geometry


def affine(images: tf.Tensor, matrix: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """Moves every image by its own affine map, bilinearly.

    Args:
      images: uint8 [N, H, W, C].
      matrix: float32 [N, 2, 3]; output pixel (x, y), measured from the image's centre, shows the
        input at `matrix @ (x, y, 1)`.
      fill: in [0, 255], the value outside the input.

    Returns:
      uint8 [N, H, W, C].
    """
    height, width = images.shape[1:3]
    cx, cy = (width - 1) / 2, (height - 1) / 2
    a, b, c, d, e, f = tf.unstack(tf.reshape(matrix, [-1, 6]), axis=1)
    # The same map in coordinates that start at the first pixel.
    c, f = c + cx - a * cx - b * cy, f + cy - d * cx - e * cy
    if compiled.is_for_xla():
        columns, rows = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)
        x, y = (
            u[:, None, None] * columns + v[:, None, None] * rows[:, None] + w[:, None, None]
            for u, v, w in ((a, b, c), (d, e, f))
        )
        return to_uint8(geometry.bilinear(images, x, y, fill))
    zero = tf.zeros_like(a)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=[height, width],
        fill_value=float(fill),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return to_uint8(moved)


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Rounds floating images to uint8 of the same shape, values outside [0, 255] clipped."""
    return tf.cast(tf.round(tf.clip_by_value(images, 0.0, 255.0)), tf.uint8)


def shift(images: tf.Tensor, offset: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """Moves every image by whole or fractional pixels, bilinearly.

    Args:
      images: uint8 [N, H, W, C].
      offset: float32 [N, 2], pixels to the right and down.
      fill: in [0, 255], the value that comes in from outside.

    Returns:
      uint8 [N, H, W, C].
    """
    identity = tf.eye(2, batch_shape=[tf.shape(images)[0]])
    return affine(images, tf.concat([identity, -offset[:, :, None]], axis=2), fill)


def enhance(images: tf.Tensor, contrast: tf.Tensor, brightness: tf.Tensor) -> tf.Tensor:
    """`(x - 127.5) * contrast + 127.5 + brightness`, clipped.

    Args:
      images: uint8 [N, H, W, C].
      contrast: float32 [N], at least 0; 1 changes nothing.
      brightness: float32 [N], grey levels added.

    Returns:
      uint8 [N, H, W, C].
    """
    contrast, brightness = (tf.reshape(t, [-1, 1, 1, 1]) for t in (contrast, brightness))
    return to_uint8((tf.cast(images, tf.float32) - 127.5) * contrast + 127.5 + brightness)
