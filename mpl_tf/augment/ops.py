"""Batched operations between pixels: bilinear moves, blur, and light.

Every operation takes images uint8 [N, H, W, C] with static H, W and C; an image's result depends on
its own pixels and its own parameters alone. `geometry` has those that move whole pixels.
"""

import math

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


def gaussian_blur(images: tf.Tensor, sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Means of neighbours, weighted by `exp(-d^2 / (2 sigma^2))` for distances d up to `radius`.

    The weights have sum 1, and rows and columns are blurred one after the other. Beyond its edge an
    image is mirrored, with the outermost pixel twice: a single colour stays what it is.

    Args:
      images: uint8 [N, H, W, C].
      sigma: float32 [N], in pixels, over 0.
      radius: in pixels, at least 0 and less than H and W; the kernel has `2 * radius + 1` a side.

    Returns:
      uint8 [N, H, W, C], rounded.
    """
    distance = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.exp(-tf.square(distance / sigma[:, None]) / 2)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)  # [N, 2 * radius + 1]
    x = tf.cast(images, tf.float32)
    for _ in range(2):  # rows and columns change places, and back
        x = tf.transpose(_means_of_rows(x, weights, radius), [0, 2, 1, 3])
    return to_uint8(tf.ensure_shape(x, images.shape))


def _means_of_rows(x: tf.Tensor, weights: tf.Tensor, radius: int) -> tf.Tensor:
    """Every row of x [N, H, W, C] becomes the weighted mean of those around it."""
    length = x.shape[1]
    if compiled.is_for_xla():  # which makes one loop of it; and see `color._luma`
        around = tf.pad(x, [[0, 0], [radius, radius], [0, 0], [0, 0]], "SYMMETRIC")
        taps = enumerate(tf.unstack(weights[:, :, None, None, None], axis=1))
        return tf.add_n([weight * around[:, k : k + length] for k, weight in taps])
    # As a product with an [H, H] matrix for each image: several times as fast as sums of shifts.
    here, there = tf.range(length)[:, None], tf.range(length)
    distances = (tf.abs(here - there), here + there + 1, 2 * length - 1 - here - there)
    of_distance = tf.pad(weights[:, radius:], [[0, 0], [0, 1]])  # 0 beyond the radius
    gathered = (tf.gather(of_distance, tf.minimum(d, radius + 1), axis=1) for d in distances)
    lines = tf.matmul(tf.add_n(list(gathered)), tf.reshape(x, [-1, length, math.prod(x.shape[2:])]))
    return tf.reshape(lines, [-1, *x.shape[1:]])


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
