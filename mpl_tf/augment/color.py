"""Batched colour operations on uint8 images, equal to Pillow's ImageOps and ImageEnhance; hue.

Every operation takes images uint8 [N, H, W, C] with static H, W and C (1 or 3), and N may be 0; an
image's result depends on its own pixels and its own parameter alone. They avoid `tf.where` and
table look-ups on pixels, which cost ten times as much as arithmetic on a CPU.
"""

import tensorflow as tf

from mpl_tf.augment import compiled


def autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Stretches every channel linearly, so that its least value becomes 0 and its greatest 255.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      uint8 [N, H, W, C]; a channel of one value is unchanged.
    """
    low = tf.cast(tf.reduce_min(images, [1, 2], keepdims=True), tf.float64)  # [N, 1, 1, C]
    high = tf.cast(tf.reduce_max(images, [1, 2], keepdims=True), tf.float64)
    flat = tf.cast(high <= low, tf.float64)
    scale = flat + (1 - flat) * 255 / (high - low + flat)
    # In double precision, because 255 times a reciprocal may fall just short of a whole number,
    # and Pillow truncates.
    stretched = tf.cast(images, tf.float64) * scale - (1 - flat) * low * scale
    return tf.cast(stretched, tf.uint8)


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Makes the histogram of every channel as even as a table of its values can.

    With h the counts and `step = (sum(h) - h[greatest value]) // 255`, value i becomes
    `(sum(h[:i]) + step // 2) // step`, at most 255.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      uint8 [N, H, W, C]; a channel with step 0 is unchanged.
    """
    n, channels = tf.shape(images)[0], images.shape[3]
    size = n * channels * 256
    block = 256 * tf.reshape(tf.range(n * channels), [-1, 1, 1, channels])
    entry = tf.cast(images, tf.int32) + block  # [N, H, W, C], of a table of all channels
    entries = tf.reshape(entry, [-1])
    if compiled.is_for_xla():
        counts = tf.math.unsorted_segment_sum(tf.ones_like(entries), entries, size)
    else:
        counts = tf.math.bincount(entries, minlength=size, maxlength=size)
    counts = tf.reshape(counts, [-1, channels, 256])
    greatest = tf.cast(tf.reduce_max(images, [1, 2]), tf.int32)[..., None]  # [N, C, 1]
    last = tf.gather(counts, greatest, batch_dims=2)
    step = (tf.reduce_sum(counts, -1, keepdims=True) - last) // 255
    table = (tf.cumsum(counts, -1, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
    return tf.gather(tf.cast(tf.reshape(table, [-1]), tf.uint8), entry)


def invert(images: tf.Tensor) -> tf.Tensor:
    """`255 - images`; uint8 [N, H, W, C] to the same."""
    return 255 - images


def posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the highest bits of every value.

    Args:
      images: uint8 [N, H, W, C].
      bits: float32 [N], whole numbers from 1 to 8, bits kept; 8 changes nothing.

    Returns:
      uint8 [N, H, W, C].
    """
    dropped = tf.bitwise.left_shift(1, 8 - tf.cast(bits, tf.int32)) - 1
    return tf.bitwise.bitwise_and(images, _each(tf.cast(255 - dropped, tf.uint8)))


def solarize(images: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts values of at least the threshold: `x if x < threshold else 255 - x`.

    Args:
      images: uint8 [N, H, W, C].
      threshold: float32 [N], whole numbers from 0 (inverts all) to 256 (changes nothing).

    Returns:
      uint8 [N, H, W, C].
    """
    above = tf.cast(images, tf.int16) >= _each(tf.cast(threshold, tf.int16))
    return tf.bitwise.bitwise_xor(images, 255 * tf.cast(above, tf.uint8))


def color(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Saturation: `grey + factor * (images - grey)`, grey the luma of a pixel.

    Args:
      images: uint8 [N, H, W, C]; with C = 1 they are their own grey, and nothing changes.
      factor: float32 [N], at least 0; 0 is grey, 1 changes nothing.

    Returns:
      uint8 [N, H, W, C].
    """
    if images.shape[3] == 1:
        return images
    x = tf.cast(images, tf.float32)
    return _blend(_luma(x), x, factor)


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """`mean + factor * (images - mean)`, mean the image's average luma to the nearest integer.

    Args:
      images: uint8 [N, H, W, C].
      factor: float32 [N], at least 0; 0 is one grey, 1 changes nothing.

    Returns:
      uint8 [N, H, W, C].
    """
    x = tf.cast(images, tf.float32)
    grey = tf.cast(_luma(x, copies=1) if images.shape[3] == 3 else x, tf.int32)
    total = tf.cast(tf.reduce_sum(grey, [1, 2, 3]), tf.float64)
    mean = tf.floor(total / (images.shape[1] * images.shape[2]) + 0.5)
    return _blend(_each(tf.cast(mean, tf.float32)), x, factor)


def brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """`factor * images`.

    Args:
      images: uint8 [N, H, W, C].
      factor: float32 [N], at least 0; 0 is black, 1 changes nothing.

    Returns:
      uint8 [N, H, W, C].
    """
    return tf.cast(tf.minimum(tf.cast(images, tf.float32) * _each(factor), 255), tf.uint8)


def hue(images: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Turns the hue of every pixel; its greatest and its least channel keep their values.

    Args:
      images: uint8 [N, H, W, C]; with C = 1 they have no hue, and nothing changes.
      turn: float32 [N], in full turns, added to the hue of HSV; whole numbers change nothing.

    Returns:
      uint8 [N, H, W, C], rounded.
    """
    if images.shape[3] == 1:
        return images
    hsv = tf.image.rgb_to_hsv(tf.cast(images, tf.float32))  # hue and saturation in [0, 1]
    turned = hsv[..., :1] + _each(turn)
    rgb = tf.image.hsv_to_rgb(tf.concat([turned - tf.floor(turned), hsv[..., 1:]], 3))
    return tf.cast(tf.floor(rgb + 0.501), tf.uint8)  # halves do not hang on the last bit


def sharpness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """`smooth + factor * (images - smooth)`, smooth a weighted mean of 3x3 pixels.

    The weights are 5/13 for the pixel and 1/13 for each of its eight neighbours; pixels of the
    border are their own mean.

    Args:
      images: uint8 [N, H, W, C].
      factor: float32 [N], at least 0; 0 is smooth, 1 changes nothing.

    Returns:
      uint8 [N, H, W, C].
    """
    if min(images.shape[1:3]) < 3:
        return images
    x = tf.cast(images, tf.uint16)
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * x[:, 1:-1, 1:-1]
    # Thirteenths are never halfway between two integers, so float32 rounds as Pillow does.
    smooth = tf.floor(tf.cast(total, tf.float32) * (1 / 13) + 0.5)
    inner = _blend(smooth, tf.cast(images[:, 1:-1, 1:-1], tf.float32), factor)
    inner = tf.concat([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], 2)
    return tf.concat([images[:, :1], inner, images[:, -1:]], 1)


def _each(parameter: tf.Tensor) -> tf.Tensor:
    return tf.reshape(parameter, [-1, 1, 1, 1])


def _blend(start: tf.Tensor, end: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Truncated, as Pillow does it; all float32, `factor` [N]."""
    mixed = start + _each(factor) * (end - start)
    return tf.cast(tf.maximum(tf.minimum(mixed, 255), 0), tf.uint8)


def _luma(x: tf.Tensor, copies: int = 3) -> tf.Tensor:
    # In 65536ths: sums of whole numbers under 2**24, which float32 adds without error in any order.
    weights = tf.constant([[19595.0], [38470.0], [7471.0]]) / 65536
    if compiled.is_for_xla():  # as a sum: accelerators multiply matrices with fewer digits
        luma = tf.reduce_sum(x * weights[:, 0], axis=-1, keepdims=True)
        return tf.repeat(tf.floor(luma + 0.5), copies, axis=-1)
    luma = tf.matmul(tf.reshape(x, [-1, 3]), tf.tile(weights, [1, copies]))
    return tf.reshape(tf.floor(luma + 0.5), [-1, *x.shape[1:3], copies])
