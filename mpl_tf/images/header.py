"""What the first bytes of an image file say: format, channels, size, orientation."""

import tensorflow as tf

# Larger images are not decoded, here or by an export: a file of kilobytes may hold gigabytes.
MAX_PIXELS = 1 << 27

FORMATS = "JPEG, PNG, BMP, GIF or WebP"

_MAGIC = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "bmp": (b"BM",),
    "gif": (b"GIF87a", b"GIF89a"),
}
# What else lies under the names of images; (its beginning, the byte where that stands).
_OTHERS = {
    "a TIFF image": ((b"II*\0", 0), (b"MM\0*", 0), (b"II+\0", 0), (b"MM\0+", 0)),
    "an AVIF image": ((b"ftypavif", 4), (b"ftypavis", 4)),
    "a HEIC image": tuple((b"ftyp" + brand, 4) for brand in (b"hei", b"hev", b"mif1", b"msf1")),
    "a JPEG 2000 image": ((b"\0\0\0\x0cjP", 0),),
    "a JPEG XL image": ((b"\0\0\0\x0cJXL", 0), (b"\xff\x0a", 0)),
    "a Photoshop file": ((b"8BPS", 0),),
    "a PDF file": ((b"%PDF", 0),),
    "a pointer of Git LFS (git lfs pull fetches the image)": ((b"version https://git-lfs", 0),),
    "a text of HTML, XML or SVG": ((b"<", 0), (b"\xef\xbb\xbf<", 0)),
}
_HEAD = 70  # bytes that hold all that is read of a header here, but for JPEGs
_MASKS = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0]  # of red, green and blue: BGR in this order
_EXIF = list(b"Exif\0\0")
_ORIENTATION = 0x0112  # the tag
_LONG = 4  # a number of 32 bits, as the type of a tag; others write it in 16


def sniff(head: bytes) -> str | None:
    """The format by the first bytes of a file.

    Args:
      head: at least the first 12 bytes.

    Returns:
      "jpeg", "png", "bmp", "gif", "webp", or None for anything else.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for name, starts in _MAGIC.items():
        if head.startswith(starts):
            return name
    return None


def foreign(head: bytes) -> str:
    """What a file is, in words, that `sniff` does not know; "" if this does not know it either.

    Args:
      head: at least the first 32 bytes.
    """
    for name, marks in _OTHERS.items():
        if any(head[at : at + len(mark)] == mark for mark, at in marks):
            return name
    return ""


def channels(head: bytes) -> int | None:
    """The channels of an image.

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
    return 3 if file_format in ("gif", "webp") else None


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


def inspect(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether a file can be decoded, as far as its header tells, and its size; in a graph, too.

    Args:
      encoded: string tensor [], a file's content.

    Returns:
      (fault, pixels): string tensor [], "" or what is wrong with the file: "is no JPEG, ...", "has
      40000 x 40000 pixels, ..."; int64 tensor [].

    Raises:
      tf.errors.InvalidArgumentError: the header of a JPEG is damaged (when the graph runs).
    """
    head = _head(encoded)
    magic = [*(starts[0][:4] for starts in _MAGIC.values()), b"RIFF"]
    matches = [tf.reduce_all(head[: len(start)] == list(start)) for start in magic]
    index = tf.argmax(tf.cast([*matches, True], tf.int32), output_type=tf.int32)

    def jpeg():
        height, width, _ = tf.unstack(tf.image.extract_jpeg_shape(encoded))
        return "", width, height

    def png():
        return "", _number(head, 19, 4, -1), _number(head, 23, 4, -1)

    def bmp():
        width, height = _number(head, 18, 4), tf.abs(tf.bitcast(_number(head, 22, 4), tf.int32))
        reason = "is a BMP image with a colour palette, compression or unusual channel masks"
        return tf.where(_is_plain_bmp(encoded, head), "", reason), width, height

    def gif():
        reason = "is a GIF whose first frame does not fill it; save that frame as an image"
        width, height = _number(head, 6, 2), _number(head, 8, 2)
        is_large = tf.cast(width, tf.int64) * tf.cast(height, tf.int64) > MAX_PIXELS
        return tf.where(is_large | _is_full_gif(encoded), "", reason), width, height

    def webp():
        extended = tf.reduce_all(head[12:16] == list(b"VP8X"))
        lossless = tf.reduce_all(head[12:16] == list(b"VP8L"))
        bits = _number(head, 21, 4)
        width, height = _number(head, 26, 2) & 0x3FFF, _number(head, 28, 2) & 0x3FFF
        width = tf.where(lossless, (bits & 0x3FFF) + 1, width)
        height = tf.where(lossless, (tf.bitwise.right_shift(bits, 14) & 0x3FFF) + 1, height)
        width = tf.where(extended, _number(head, 24, 3) + 1, width)
        height = tf.where(extended, _number(head, 27, 3) + 1, height)
        return tf.where(is_moving(encoded), "is a WebP image that moves", ""), width, height

    def other():
        return tf.where(encoded == "", "is empty", f"is no {FORMATS} image"), 0, 0

    def typed(read):
        def branch():
            reason, width, height = read()
            return tf.convert_to_tensor(reason), tf.cast(width, tf.int64), tf.cast(height, tf.int64)

        return branch

    readers = [jpeg, png, bmp, gif, webp, other]
    reason, width, height = tf.switch_case(index, [typed(read) for read in readers])
    size = tf.strings.join([tf.as_string(width), tf.as_string(height)], " x ")
    too_large = tf.strings.join(
        ["has ", size, f" pixels; images of more than {MAX_PIXELS:,} are not decoded"]
    )
    pixels = width * height
    return tf.where((reason == "") & (pixels > MAX_PIXELS), too_large, reason), pixels


def is_moving(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file, a string tensor [], is a WebP image of several frames: bool tensor []."""
    head = _head(encoded)
    extended = tf.reduce_all(head[:4] == list(b"RIFF")) & tf.reduce_all(
        head[12:16] == list(b"VP8X")
    )
    return extended & (head[20] & 2 != 0)


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """How a JPEG is to be turned, by the EXIF tag that cameras write.

    Args:
      encoded: string tensor [], a JPEG file's content.

    Returns:
      int32 tensor [], from 1 (as it is stored) to 8; 1 without such a tag.
    """
    head = _head(encoded)
    # Segments of an application come first if there are any: those of JFIF before those of EXIF.
    at = tf.where(head[3] == 0xE0, 4 + _number(head, 5, 2, -1), 2)
    marker = tf.where(at < _HEAD - 1, head[tf.minimum(at, _HEAD - 2) + 1], 0xE1)
    return tf.cond(_is_annotation(marker), lambda: _exif_orientation(encoded), lambda: 1)


def _exif_orientation(encoded):
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, 1 << 17), tf.uint8), tf.int32)
    data = tf.pad(data, [[0, 16]])

    def is_exif(at):
        return (data[at + 1] == 0xE1) & tf.reduce_all(data[at + 4 : at + 10] == _EXIF)

    def has_more(at):
        return (
            (at < tf.size(data) - 16)
            & (data[at] == 0xFF)
            & _is_annotation(data[at + 1])
            & ~is_exif(at)
        )

    def following(at):
        return (tf.minimum(at + 2 + _number(data, at + 3, 2, -1), tf.size(data) - 16),)

    (at,) = tf.while_loop(has_more, following, [tf.constant(2)])
    return tf.cond(is_exif(at), lambda: _orientation_entry(data[at + 10 :]), lambda: 1)


def _orientation_entry(data):
    """The tag's value in the first directory of a TIFF structure, int32 [n] bytes of it."""
    little = data[0] == 0x49
    length = tf.size(data)

    def word(at):
        first, second = data[at], data[at + 1]
        return tf.where(little, first + 256 * second, 256 * first + second)

    offset = tf.where(little, _number(data, 4, 4), _number(data, 7, 4, -1))
    offset = tf.where((offset >= 8) & (offset < length - 2), offset, length - 2)
    count = tf.minimum(word(offset), (length - offset - 2) // 12)
    entries = tf.reshape(data[offset + 2 : offset + 2 + 12 * count], [-1, 12])
    first, second = entries[:, ::2], entries[:, 1::2]  # bytes of each word, in one order or another
    words = tf.where(little, first + 256 * second, 256 * first + second)
    # A value of 16 bits stands in the first half of its 32, which of a number of 32 is the greater
    # one in files whose first byte is the greatest.
    value = tf.where((words[:, 1] == _LONG) & ~little, words[:, 5], words[:, 4])
    values = tf.boolean_mask(value, words[:, 0] == _ORIENTATION)
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _is_annotation(marker):
    """Whether a JPEG's segment is an application's or a comment."""
    return (marker >= 0xE0) & (marker <= 0xEF) | (marker == 0xFE)


def _is_plain_bmp(encoded, head):
    """TensorFlow takes all channels for BGR(A), and shows the indices of a palette as grey levels.

    That is right without masks or with the usual ones, and for a palette that is a ramp of greys.
    """
    bits, compression = _number(head, 28, 2), _number(head, 30, 4)
    direct = ((bits == 24) | (bits == 32)) & (compression == 0)
    masked = (bits == 32) & (compression == 3) & tf.reduce_all(head[54:66] == _MASKS)

    def is_ramp():
        used = _number(head, 46, 4)
        used = tf.where((used > 0) & (used < 256), used, 256)
        start = tf.minimum(14 + _number(head, 14, 4), tf.strings.length(encoded))
        palette = tf.io.decode_raw(tf.strings.substr(encoded, start, 4 * used), tf.uint8)
        entries = tf.reshape(palette[: tf.size(palette) // 4 * 4], [-1, 4])  # blue, green, red, 0
        levels = tf.cast(tf.range(tf.shape(entries)[0]), tf.uint8)
        return tf.reduce_all(entries[:, :3] == levels[:, tf.newaxis])

    is_core = _number(head, 14, 4) < 40  # an older header, of which TensorFlow knows nothing
    grey = tf.cond((bits == 8) & (compression == 0), is_ramp, lambda: False)
    return ~is_core & (direct | masked | grey)


def _is_full_gif(encoded):
    """Whether the first frame is as large as the GIF: TensorFlow cuts others, in wrong places."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, 1 << 17), tf.uint8), tf.int32)
    data, end = tf.pad(data, [[0, 16]]), tf.size(data)
    palette = tf.where(data[10] & 0x80 != 0, tf.bitwise.left_shift(6, data[10] & 7), 0)

    def is_extension(at, is_inside):
        return (at < end) & (is_inside | (data[at] == 0x21))

    def following(at, is_inside):  # two bytes, then blocks behind their lengths up to an empty one
        length = tf.where(is_inside, data[at] + 1, 2)
        return tf.minimum(at + length, end), ~is_inside | (data[at] != 0)

    start = tf.minimum(13 + palette, end)
    at, _ = tf.while_loop(is_extension, following, [start, tf.constant(False)])
    width, height = _number(data, at + 5, 2), _number(data, at + 7, 2)
    is_at_corner = tf.reduce_all(data[at + 1 : at + 5] == 0)
    is_large = (width >= _number(data, 6, 2)) & (height >= _number(data, 8, 2))
    return (data[at] != 0x2C) | (is_at_corner & is_large)


def _head(encoded):
    """int32 [_HEAD], the first bytes; zeros behind a shorter file."""
    return tf.cast(tf.io.decode_raw(encoded, tf.uint8, fixed_length=_HEAD), tf.int32)


def _number(data, lowest, size, step=1):
    """int32 tensor [], made of `size` bytes: `lowest`, the next in direction `step`, and so on."""
    return tf.add_n([data[lowest + step * i] * (1 << 8 * i) for i in range(size)])
