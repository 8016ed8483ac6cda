"""Weak and strong views: functions of (images, seed).

A policy takes uint8 images [N, H, W, C] and an int64 seed [2], draws all of its randomness for the
whole batch from that seed, and returns uint8 images of the same shape.
"""

import math

import tensorflow as tf

from mpl_tf.augment import ops


def _uniform(images, seed, index, low, high, columns=()):
    """float32 [N, *columns], the `index`-th independent draw of this seed."""
    shape = [tf.shape(images)[0], *columns]
    key = tf.random.experimental.stateless_fold_in(seed, index)
    return tf.random.stateless_uniform(shape, key, low, high)


def digits_weak(images, seed):
    """Moves a digit by up to half a pixel each way: an 8x8 digit fills its frame."""
    return ops.translate(images, _uniform(images, seed, 0, -0.5, 0.5, [2]))


def digits_strong(images, seed):
    """Turns, shears, scales, moves, re-lights and cuts a digit, within what leaves it readable.

    Rotation up to 25 degrees, shear up to 0.3, scale 0.8 to 1.25, moves up to one pixel, contrast
    0.6 to 1.4, brightness up to 40 grey levels, and a square of 2 pixels cut out. No flips: they
    make other symbols of digits.
    """
    angle = _uniform(images, seed, 0, -25.0, 25.0) * math.pi / 180
    shear = _uniform(images, seed, 1, -0.3, 0.3)
    scale = tf.exp(_uniform(images, seed, 2, -math.log(1.25), math.log(1.25)))
    offset = _uniform(images, seed, 3, -1.0, 1.0, [2])
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    rows = [cos, shear * cos - sin, offset[:, 0], sin, shear * sin + cos, offset[:, 1]]
    images = ops.affine(images, tf.reshape(tf.stack(rows, axis=1), [-1, 2, 3]))
    contrast = _uniform(images, seed, 4, 0.6, 1.4)
    brightness = _uniform(images, seed, 5, -40.0, 40.0)
    images = ops.enhance(images, contrast, brightness)
    return ops.cutout(images, _uniform(images, seed, 6, 0.0, 1.0, [2]), size=2)
