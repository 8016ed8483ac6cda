"""Encoded images to pixels: JPEG, PNG, BMP and GIF, grey or colour, to a square of one size."""

import re
from collections.abc import Sequence

import tensorflow as tf

from mpl_tf.augment.ops import to_uint8

# Endings of the files that can be decoded.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")

_MAGIC = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "bmp": (b"BM",),
    "gif": (b"GIF87a", b"GIF89a"),
}


def decode(encoded: tf.Tensor, size: int | Sequence[int], channels: int) -> tf.Tensor:
    """The middle of an image in one size: the only way from a file to what networks see.

    `convert(fit(native(encoded), size), channels)`: an image that has the size comes out as it was
    stored.

    Args:
      encoded: string tensor [], a JPEG, PNG, BMP or GIF file's content.
      size: side of a square result in pixels, at least 1; or (height, width).
      channels: 1 for grey, 3 for RGB.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: no such image, or damaged (when the graph runs).
    """
    return convert(fit(native(encoded), size), channels)


def native(encoded: tf.Tensor) -> tf.Tensor:
    """An image as it is stored, without its alpha channel.

    Alpha is dropped, not composited, because files that do not use it often hold zeros there.
    16-bit PNGs give their upper 8 bits, GIFs their first frame, CMYK JPEGs become RGB. Orientation
    tags are ignored. The inverse cosine transform is the accurate one: it costs no more here than
    TensorFlow's default, and agrees with Pillow to the bit.

    Args:
      encoded: string tensor [].

    Returns:
      uint8 [height, width, 1 or 3].

    Raises:
      tf.errors.InvalidArgumentError: as for `decode`.
    """
    # decode_image takes WebP too, and writes outside its memory if the image is animated.
    webp = tf.strings.substr(encoded, 0, 4) == "RIFF"
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(tf.where(webp, "", encoded), expand_animations=False),
    )
    image = tf.ensure_shape(image, [None, None, None])
    return image[..., : tf.where(tf.shape(image)[2] < 3, 1, 3)]  # grey, +alpha, RGB, +alpha


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


def sniff(head: bytes) -> str | None:
    """The format by the first bytes of a file.

    Args:
      head: at least the first 8 bytes.

    Returns:
      "jpeg", "png", "bmp", "gif", or None for anything else.
    """
    for name, starts in _MAGIC.items():
        if head.startswith(starts):
            return name
    return None


def is_image(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file's content, a string tensor [], begins as `sniff` asks for: bool tensor []."""
    starts = [start for of_format in _MAGIC.values() for start in of_format]
    return tf.reduce_any([tf.strings.substr(encoded, 0, len(s)) == s for s in starts])


def channels(head: bytes) -> int | None:
    """The channels of an image, read from its header.

    Args:
      head: the beginning of the file; 64 KiB suffice unless a JPEG has large annotations.

    Returns:
      1 for grey (with or without alpha) and 3 for colour (palettes too); None if `head` does
      not tell.
    """
    file_format = sniff(head)
    if file_format == "jpeg":
        return _jpeg_channels(head)
    if file_format == "png" and len(head) > 25:
        return 1 if head[25] in (0, 4) else 3
    if file_format == "bmp" and len(head) > 29:
        return 1 if int.from_bytes(head[28:30], "little") == 8 else 3
    return 3 if file_format == "gif" else None


def verify(source: str | bytes) -> str | None:
    """Decodes a whole image, to find out whether `decode` can.

    Args:
      source: a path; or, as bytes, a file's content.

    Returns:
      None if the image can be used, else what is wrong with it. Truncated files are found in
      every format (of a GIF, only the first frame counts).
    """
    if isinstance(source, bytes):
        content = source
    else:
        try:
            content = tf.io.read_file(source).numpy()
        except tf.errors.OpError as error:
            return f"cannot be read: {_text(error)}"
    file_format = sniff(content)
    if file_format is None:
        return "is no JPEG, PNG, BMP or GIF image" if content else "is empty"
    if file_format == "bmp" and not _is_plain_bmp(content):
        return "is a BMP image with a colour palette or compression"
    try:
        _native(tf.constant(content))
    except tf.errors.OpError as error:
        return f"is a truncated or damaged {file_format.upper()} image: {_text(error)}"
    return None


_native = tf.function(native, input_signature=[tf.TensorSpec([], tf.string)])  # faster, in threads


def _jpeg_channels(head):
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            return 1 if head[at + 9] == 1 else 3
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _is_plain_bmp(content):
    """TensorFlow shows the indices of a palette as grey levels: right for a ramp of greys alone."""
    bits = int.from_bytes(content[28:30], "little")
    if int.from_bytes(content[30:34], "little") not in (0, 3):  # run lengths and the like
        return False
    if bits != 8:
        return bits in (24, 32)
    start = 14 + int.from_bytes(content[14:18], "little")
    used = min(int.from_bytes(content[46:50], "little") or 256, 256)
    palette = content[start : start + 4 * used]  # blue, green, red, nothing
    greys = [bytes([level, level, level]) for level in range(len(palette) // 4)]
    return [palette[i : i + 3] for i in range(0, 4 * len(greys), 4)] == greys


def _text(error):
    """The message without TensorFlow's names of operations."""
    lines = re.sub(r"\{\{.*?\}\}", "", error.message).splitlines()
    # The last line that is about the image: others name operations and places in code.
    texts = [line.strip() for line in lines if line.strip() and "[[" not in line]
    if not texts:
        return "no reason given"
    return re.sub(r"\[Op:\w+\].*", "", texts[-1]).strip().rstrip(".")
