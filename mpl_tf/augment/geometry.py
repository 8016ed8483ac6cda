"""Batched geometric operations on uint8 images, nearest neighbour, equal to Pillow's transform.

Every operation takes images uint8 [N, H, W, C] with static H, W and C, and N may be 0; an image's
result depends on its own pixels and its own parameters alone. What comes in from outside an image
is grey, 128. One function, `_pick`, moves all pixels, in whole numbers computed as Pillow does.
"""

import math

import tensorflow as tf

from mpl_tf.augment import compiled

FILL = 128


def rotate(images: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Turns counterclockwise about the centre.

    Args:
      images: uint8 [N, H, W, C].
      degrees: float32 [N].

    Returns:
      uint8 [N, H, W, C].
    """
    height, width = images.shape[1:3]
    radians = tf.cast(degrees, tf.float64) * (math.pi / 180)
    cos, sin = tf.cos(radians), tf.sin(radians)
    columns, rows = _positions(images)

    def source(  # [N, H, W]
        by_column: tf.Tensor, by_row: tf.Tensor, centre: float, turned: tf.Tensor
    ) -> tf.Tensor:
        start = centre - turned + (by_column + by_row) / 2  # of the first pixel's middle
        return _whole(_fixed(start) + _fixed(by_row) * rows + _fixed(by_column) * columns)

    x = source(cos, -sin, width / 2, cos * (width / 2) - sin * (height / 2))
    y = source(sin, cos, height / 2, sin * (width / 2) + cos * (height / 2))
    return _pick(images, x, y)


def shear_x(images: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Moves the row y pixels below the top edge to the left by `slope * y` pixels.

    Args:
      images: uint8 [N, H, W, C].
      slope: float32 [N].

    Returns:
      uint8 [N, H, W, C].
    """
    columns, rows = _positions(images)
    return _pick(images, columns + _slant(slope, rows), rows)


def shear_y(images: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Moves the column x pixels from the left edge up by `slope * x` pixels.

    Args:
      images: uint8 [N, H, W, C].
      slope: float32 [N].

    Returns:
      uint8 [N, H, W, C].
    """
    columns, rows = _positions(images)
    return _pick(images, columns, rows + _slant(slope, columns))


def translate_x(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Moves to the left by the nearest whole number of pixels.

    Args:
      images: uint8 [N, H, W, C].
      pixels: float32 [N].

    Returns:
      uint8 [N, H, W, C].
    """
    columns, rows = _positions(images)
    return _pick(images, columns + _each(_nearest(pixels)), rows)


def translate_y(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Moves up by the nearest whole number of pixels.

    Args:
      images: uint8 [N, H, W, C].
      pixels: float32 [N].

    Returns:
      uint8 [N, H, W, C].
    """
    columns, rows = _positions(images)
    return _pick(images, columns, rows + _each(_nearest(pixels)))


def cutout(
    images: tf.Tensor, size: tf.Tensor | int, centre: tf.Tensor, fill: int = FILL
) -> tf.Tensor:
    """Fills a square (DeVries and Taylor 2017), cut off at the image's border.

    The square has the columns from `floor(centre * W) - size // 2` on, and rows likewise.

    Args:
      images: uint8 [N, H, W, C].
      size: float32 [N], the square's side, whole numbers of pixels; or one number for all.
      centre: float32 [N, 2] in [0, 1), the square's middle as a share of width and height.
      fill: in [0, 255].

    Returns:
      uint8 [N, H, W, C].
    """
    height, width, channels = images.shape[1:]
    size = tf.broadcast_to(tf.cast(size, tf.float32), tf.shape(centre)[:1])
    # Every line of an image as one row of bytes: broadcasting over channels would be slow.
    columns = tf.repeat(interval(width, centre[:, 0], size), channels, axis=1)
    square = interval(height, centre[:, 1], size)[:, :, None] & columns[:, None]  # [N, H, W * C]
    lines = tf.reshape(images, [-1, height, width * channels])
    filled = tf.where(square, tf.cast(fill, tf.uint8), lines)
    filled = tf.reshape(filled, tf.shape(images))
    filled.set_shape(images.shape)
    return filled


def interval(length: int, middle: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The columns of an image, or rows, of a box: from `floor(middle * length) - size // 2` on.

    Args:
      length: columns, or rows, of an image.
      middle: float32 [N] in [0, 1), the box's middle as a share of `length`.
      size: float32 [N], how many columns it has before it is cut off at the border, whole numbers.

    Returns:
      bool [N, length].
    """
    start = tf.floor(middle * length) - size // 2
    away = tf.range(length, dtype=tf.float32) - start[:, None]
    return (away >= 0) & (away < size[:, None])


def flip(images: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Mirrors some of the images left to right.

    Args:
      images: uint8 [N, H, W, C].
      mirrored: bool [N], which ones.

    Returns:
      uint8 [N, H, W, C].
    """
    columns, rows = _positions(images)
    return _pick(images, tf.where(_each(mirrored), images.shape[2] - 1 - columns, columns), rows)


def crop(images: tf.Tensor, offset: tf.Tensor, padding: int, fill: int = FILL) -> tf.Tensor:
    """Pads every side and cuts an image of its size out.

    Args:
      images: uint8 [N, H, W, C].
      offset: int32 [N, 2] in [0, 2 * padding], columns and rows of the padded image to the left
        of and above what is cut out; `padding` cuts the image itself out.
      padding: pixels on each side, at least 0.
      fill: in [0, 255], value of the padding.

    Returns:
      uint8 [N, H, W, C].
    """
    columns, rows = _positions(images)
    x, y = (_each(offset[:, axis]) - padding for axis in (0, 1))
    return _pick(images, columns + x, rows + y, fill)


def crop_and_resize(images: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Cuts a box out of every image and enlarges it to the image's size, bilinearly.

    Pixels are squares: the box's edges, not the middles of its outermost pixels, become the
    image's edges (Pillow's `resize` with `box`, half-pixel centres). Beyond the image's edge its
    last pixel is repeated.

    Args:
      images: uint8 [N, H, W, C].
      boxes: float32 [N, 4], top, left, bottom, right in [0, 1] as shares of height and width.

    Returns:
      uint8 [N, H, W, C], rounded.
    """
    height, width = images.shape[1:3]
    # tf.image.crop_and_resize wants the middles of the first and last pixels, in [0, 1] from the
    # first to the last pixel of its input; one repeated pixel around keeps them all inside.
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    size = tf.constant([height, width], tf.float32)
    low, high = boxes[:, :2] * size, boxes[:, 2:] * size
    half = (high - low) / size / 2
    first, last = low + half + 0.5, high - half + 0.5  # [N, 2], in pixels of `padded`
    if compiled.is_for_xla():
        step = (last - first) / tf.maximum(size - 1, 1)
        columns, rows = _positions(images)
        x = _each(first[:, 1]) + _each(step[:, 1]) * tf.cast(columns, tf.float32)
        y = _each(first[:, 0]) + _each(step[:, 0]) * tf.cast(rows, tf.float32)
        resized = bilinear(padded, x, y)
    else:
        middles = tf.concat([first, last], 1) / tf.tile(size + 1, [2])
        index = tf.range(tf.shape(images)[0])
        resized = tf.image.crop_and_resize(padded, middles, index, [height, width])
    # Halves are common with even boxes: the nudge keeps float32's last bit from deciding them.
    return tf.cast(tf.floor(resized + 0.501), tf.uint8)


def bilinear(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """Images between their pixels.

    Args:
      images: uint8 [N, H, W, C].
      x, y: float32, columns and rows from the middle of the first pixel; they broadcast to
        [N, h, w].
      fill: in [0, 255], value of the pixels outside.

    Returns:
      float32 [N, h, w, C], not rounded.
    """
    x, y = x + tf.zeros_like(y), y + tf.zeros_like(x)
    left, top = tf.floor(x), tf.floor(y)
    right_share, bottom_share = (x - left)[..., None], (y - top)[..., None]
    column, row = tf.cast(left, tf.int32), tf.cast(top, tf.int32)

    def line(y):
        start, end = (tf.cast(_pick(images, x, y, fill), tf.float32) for x in (column, column + 1))
        return _between(start, end, right_share)

    return _between(line(row), line(row + 1), bottom_share)


def _between(start: tf.Tensor, end: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return (1 - share) * start + share * end


def _positions(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Columns [1, 1, W] and rows [1, H, 1]."""
    return tf.range(images.shape[2])[None, None], tf.range(images.shape[1])[None, :, None]


def _pick(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor, fill: int = FILL) -> tf.Tensor:
    """Pixel [n, i, j] of the result is pixel (x, y)[n, i, j] of image n, or `fill` outside it.

    `x` and `y` are int32 and broadcast to [N, h, w].
    """
    height, width, channels = images.shape[1:]
    count = tf.shape(images)[0] * (height * width)
    first = tf.range(0, count, height * width)[:, None, None]
    inside = _below(x, width) & _below(y, height)
    source = tf.where(inside, (first + y * width) + x, count)
    outside = tf.fill([1, channels], tf.cast(fill, tf.uint8))
    pixels = tf.concat([tf.reshape(images, [-1, channels]), outside], 0)
    picked = tf.gather(pixels, source)
    picked.set_shape([images.shape[0], *source.shape[1:], channels])
    return picked


def _below(position: tf.Tensor, length: int) -> tf.Tensor:
    # Both ends in one comparison: a negative number is a large unsigned one.
    return tf.bitcast(position, tf.uint32) < tf.constant(length, tf.uint32)


def _each(parameter: tf.Tensor) -> tf.Tensor:
    return parameter[:, None, None]


def _nearest(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.floor(tf.cast(pixels, tf.float64) + 0.5), tf.int32)


def _slant(slope: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Whole pixels, [N, *positions.shape[1:]], measured at the middles of the pixels."""
    slope = tf.cast(slope, tf.float64)
    return _whole(_fixed(slope / 2 + 0.5) + _fixed(slope) * positions)


def _fixed(number: tf.Tensor) -> tf.Tensor:
    """[N] in 65536ths, int32 [N, 1, 1]: Pillow's fixed point."""
    return _each(tf.cast(tf.floor(number * 65536 + 0.5), tf.int32))


def _whole(fixed: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.right_shift(fixed, 16)
