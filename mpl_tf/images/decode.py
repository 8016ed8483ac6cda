"""Encoded images to pixels: JPEG, PNG, BMP, GIF and WebP, grey or colour, to one size."""

from collections.abc import Sequence

import tensorflow as tf

from mpl_tf.augment.ops import to_uint8
from mpl_tf.images import header

# Endings of the files that can be decoded.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def decode(encoded: tf.Tensor, size: int | Sequence[int], channels: int) -> tf.Tensor:
    """The middle of an image in one size: the only way from a file to what networks see.

    `convert(fit(native(encoded), size), channels)`: an image that has the size comes out as it was
    stored.

    Args:
      encoded: string tensor [], an image file's content.
      size: side of a square result in pixels, at least 1; or (height, width).
      channels: 1 for grey, 3 for RGB.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: no such image, or damaged (when the graph runs).
    """
    return convert(fit(_native(tf.ensure_shape(encoded, [])), size), channels)


def native(encoded: tf.Tensor) -> tf.Tensor:
    """An image in the size that is stored, upright, without its alpha channel.

    JPEGs are turned as their EXIF tag says; such tags in other formats are ignored. Alpha is
    dropped, not composited, because files that do not use it often hold zeros there. 16-bit PNGs
    give their upper 8 bits, GIFs their first frame, CMYK JPEGs become RGB. The inverse cosine
    transform is the accurate one: it costs no more here than TensorFlow's default, and agrees with
    Pillow to the bit.

    Args:
      encoded: string tensor [], of a file that is known to be fit; else see `checked`.

    Returns:
      uint8 [height, width, 1 or 3].

    Raises:
      tf.errors.InvalidArgumentError: as for `decode`.
    """

    def other():
        # TensorFlow writes outside its memory if a WebP image moves.
        still = tf.where(header.is_moving(encoded), "", encoded)
        return tf.io.decode_image(still, expand_animations=False)

    def jpeg():
        image = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")
        return _upright(image, header.orientation(encoded))

    image = tf.ensure_shape(tf.cond(tf.io.is_jpeg(encoded), jpeg, other), [None, None, None])
    return image[..., : tf.where(tf.shape(image)[2] < 3, 1, 3)]  # grey, +alpha, RGB, +alpha


# A graph that is made once: datasets would trace these many operations each time they are made.
_native = tf.function(native, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def _upright(image, orientation):
    """The image turned, or mirrored, by the eight values of EXIF's tag."""

    def turn():
        turned = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        sideways = tf.reduce_any(orientation == [2, 3, 6, 7])
        upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
        turned = tf.cond(sideways, lambda: turned[:, ::-1], lambda: turned)
        return tf.cond(upside_down, lambda: turned[::-1], lambda: turned)

    return tf.cond(orientation == 1, lambda: image, turn)


def checked(encoded: tf.Tensor, name: Sequence[str | tf.Tensor]) -> tf.Tensor:
    """The same file, if its header lets it be decoded; for files that nobody has looked at.

    Args:
      encoded: string tensor [].
      name: of the file, in parts, for the message.

    Raises:
      tf.errors.InvalidArgumentError: see `header.inspect` (when the graph runs).
    """
    fault, _ = header.inspect(encoded)
    with tf.control_dependencies([tf.debugging.Assert(fault == "", [*name, fault])]):
        return tf.identity(encoded)


def fit(image: tf.Tensor, size: int | Sequence[int]) -> tf.Tensor:
    """The largest part in the middle of an image that has the shape of `size`, resized.

    Bilinear with antialiasing (a triangle as wide as the step between the pixels of the result);
    nothing is computed if that part already has the size.

    Args:
      image: uint8 [height, width, C], any size.
      size: side of a square result in pixels; or (height, width).

    Returns:
      uint8 [*size, C].
    """
    shape = [size, size] if isinstance(size, int) else list(size)
    available = tf.shape(image)[:2]
    # At least a pixel of images that are many times longer than the result.
    part = tf.maximum(tf.minimum(available, available[::-1] * shape // shape[::-1]), 1)
    top, left = tf.unstack((available - part) // 2)
    middle = image[top : top + part[0], left : left + part[1]]
    fitted = tf.cond(
        tf.reduce_all(part == shape),
        lambda: middle,
        lambda: to_uint8(tf.image.resize(middle, shape, antialias=True)),
    )
    return tf.ensure_shape(fitted, [*shape, image.shape[2]])


def convert(image: tf.Tensor, channels: int) -> tf.Tensor:
    """An image in grey or RGB.

    Grey is `(19595 R + 38470 G + 7471 B + 32768) // 65536`, ITU-R 601's luma as Pillow rounds it;
    RGB of a grey image has three equal channels.

    Args:
      image: uint8 [height, width, 1 or 3].
      channels: 1 or 3.

    Returns:
      uint8 [height, width, channels].

    Raises:
      ValueError: `channels` is something else.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3; received {channels!r}.")
    height, width = tf.unstack(tf.shape(image)[:2])
    rgb = tf.broadcast_to(image, [height, width, 3])
    if channels == 1:
        weighted = tf.cast(rgb, tf.int32) * [19595, 38470, 7471]
        luma = (tf.reduce_sum(weighted, axis=2, keepdims=True) + 32768) // 65536
        rgb = tf.cast(luma, tf.uint8)
    return tf.ensure_shape(rgb, [*image.shape[:2], channels])
