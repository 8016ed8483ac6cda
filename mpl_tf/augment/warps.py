"""Projective maps and colours of floating images, inside a training step.

Every operation takes floating images [N, H, W, C] of values from 0 to 255, with static H, W and C;
an image's result depends on its own pixels and its own parameters alone. Nothing is rounded, and
XLA compiles all of it. What comes in from outside an image is its own mean colour.
"""

import tensorflow as tf


def warp(images: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
    """Moves every image by its own projective map, bilinearly.

    Args:
      images: floating [N, H, W, C].
      source: float32 [N, 3, 3]; the pixel at (x, y) shows what the image has at `source @ (x, y,
        1)`, divided by its last entry, which is above 0. (0, 0) is the middle of an image, x is to
        the right, y is down, and half of the longer side is 1.

    Returns:
      Like `images`.
    """
    height, width, channels = images.shape[1:]
    longer = max(height, width)
    x = (2 * tf.range(width, dtype=tf.float32) + (1 - width)) / longer
    y = (2 * tf.range(height, dtype=tf.float32) + (1 - height)) / longer
    a = source[:, :, :, None, None]
    points = a[:, :, 0] * x + a[:, :, 1] * y[:, None] + a[:, :, 2]  # [N, 3, H, W]
    column = (points[:, 0] / points[:, 2] * longer + (width - 1)) / 2
    row = (points[:, 1] / points[:, 2] * longer + (height - 1)) / 2
    # Far outside all is the same; numbers that no integer holds would wrap around.
    column = tf.clip_by_value(column, -1.0, float(width))
    row = tf.clip_by_value(row, -1.0, float(height))
    left, top = tf.floor(column), tf.floor(row)
    flat = tf.reshape(images, [-1, height * width, channels])
    outside = tf.reduce_mean(flat, axis=1)[:, None, None]  # [N, 1, 1, C]
    inside, moved = tf.zeros_like(column), tf.zeros_like(images)
    for down in (0.0, 1.0):
        for right in (0.0, 1.0):
            at_column, at_row = left + right, top + down
            share = (1 - tf.abs(column - at_column)) * (1 - tf.abs(row - at_row))
            here = (at_column >= 0) & (at_column < width) & (at_row >= 0) & (at_row < height)
            share = tf.where(here, share, tf.zeros_like(share))
            place = tf.where(here, at_row * width + at_column, tf.zeros_like(share))
            place = tf.reshape(tf.cast(place, tf.int32), [-1, height * width])
            pixels = tf.reshape(tf.gather(flat, place, batch_dims=1), tf.shape(images))
            moved += tf.cast(share, images.dtype)[..., None] * pixels
            inside += share
    moved += tf.cast(1 - inside, images.dtype)[..., None] * outside
    moved.set_shape(images.shape)
    return moved


def recolor(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Changes colour, then contrast, then brightness, then sharpness.

    Each is `other + factor * (images - other)`, clipped to [0, 255]: the other is the luma of a
    pixel, the mean luma of the image, 0, and a weighted mean of 3x3 pixels, 5/13 the pixel's own.

    Args:
      images: floating [N, H, W, C], C is 1 or 3; grey images have no colour that changes.
      factors: float32 [N, 4], at least 0, in that order; 1 changes nothing.

    Returns:
      Like `images`.
    """
    of_color, of_contrast, of_brightness, of_sharpness = (
        tf.cast(each, images.dtype)[:, None, None, None] for each in tf.unstack(factors, axis=1)
    )
    images = _from(_luma(images), images, of_color)
    mean = tf.reduce_mean(_luma(images), axis=[1, 2, 3], keepdims=True)
    images = _from(mean, images, of_contrast)
    images = _from(tf.zeros_like(images), images, of_brightness)
    return _from(_smooth(images), images, of_sharpness)


def _from(other: tf.Tensor, images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(other + factor * (images - other), 0.0, 255.0)


def _luma(images: tf.Tensor) -> tf.Tensor:
    """[N, H, W, 1]."""
    if images.shape[-1] == 1:
        return images
    weights = tf.constant([0.299, 0.587, 0.114], images.dtype)
    return tf.reduce_sum(images * weights, axis=-1, keepdims=True)


def _smooth(images: tf.Tensor) -> tf.Tensor:
    """A weighted mean of 3x3 pixels; pixels of the border are their own mean."""
    height, width = images.shape[1:3]
    if min(height, width) < 3:
        return images
    lines = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    total = lines[:, :, :-2] + lines[:, :, 1:-1] + lines[:, :, 2:]
    inner = (total + 4 * images[:, 1:-1, 1:-1]) / 13
    inner = tf.concat([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], 2)
    return tf.concat([images[:, :1], inner, images[:, -1:]], 1)
