"""Whether an image file can be used: read whole, and decoded once."""

import os
import re

import tensorflow as tf

from mpl_tf import files
from mpl_tf.images import decode, header, memory

_HEAD = 1 << 16
_LARGEST_FILE = 1 << 30  # bytes; TensorFlow's strings end at twice that
# Bytes a pixel while an image is decoded: coefficients or frames, pixels, and a copy of them.
BYTES = 12
_LARGEST_IMAGE = 1 << 31  # bytes of memory


def read(path: str) -> bytes:
    """The content of an image file; of a file that is no image the beginning, which tells.

    Raises:
      OSError: it cannot be read, is no regular file (which might never end), or is too large.
    """
    files.check_regular(path)
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        if header.sniff(head) is None:
            return head
        if size > _LARGEST_FILE:
            raise OSError(None, f"it has {size:,} bytes, more than any image here")
        return head + file.read()


def verify(source: str | bytes) -> str | None:
    """Decodes a whole image, to find out whether `decode.decode` can.

    Args:
      source: a path; or, as bytes, a file's content.

    Returns:
      None if the image can be used, else what is wrong with it. Truncated files are found in every
      format (of a GIF, only the first frame counts).
    """
    return examine(source)[0]


def examine(source: str | bytes) -> tuple[str | None, int]:
    """As `verify`, and what it takes.

    Returns:
      (what is wrong, or None; bytes of memory that decoding the image takes, 0 if it was not).
    """
    if isinstance(source, bytes):
        content = source
    else:
        try:
            content = read(source)
        except OSError as error:
            return f"cannot be read: {error.strerror}", 0
    file_format = header.sniff(content)
    if file_format is None and (name := header.foreign(content)):
        return f"is {name}, and no {header.FORMATS} image", 0
    frames = _gif_pixels(content) if file_format == "gif" else 0
    limit = largest()
    try:
        graph = _look.get_concrete_function()  # its call takes half the time of the other's
        results = graph(tf.constant(content), tf.constant(limit - frames, tf.int64))
        fault, pixels = (tensor.numpy() for tensor in results)
    except tf.errors.OpError as error:
        return f"is a truncated or damaged {str(file_format).upper()} image: {_text(error)}", 0
    if fault:
        return fault.decode(), 0
    taken = int(pixels) * BYTES + frames
    if taken > limit:
        return f"has {max(int(pixels), frames):,} pixels, more than fit into memory here", 0
    return None, taken


def largest() -> int:
    """Bytes of memory that decoding an image may take here, at this moment."""
    return min(memory.available(), _LARGEST_IMAGE)


def look(encoded: tf.Tensor, limit: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What `header.inspect` gives; decodes the image if that is no fault and it is small enough.

    Args:
      encoded: string tensor [], a file's content.
      limit: int64 tensor [], bytes of memory that decoding may take, at `BYTES` a pixel.

    Raises:
      tf.errors.OpError: it cannot be decoded (when the graph runs).
    """
    fault, pixels = header.inspect(encoded)
    fits = tf.logical_and(fault == "", pixels * BYTES <= limit)
    values = tf.cond(fits, lambda: tf.size(decode.native(encoded)), lambda: 0)
    with tf.control_dependencies([values]):
        return tf.identity(fault), tf.identity(pixels)


# One graph, because its call costs more than what it does with a small image; a graph at all,
# because it is faster than without, in threads.
_look = tf.function(
    look,
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)],
    autograph=False,
)


def trace() -> None:
    """Makes the graph of `verify`: TensorFlow warns threads that come meanwhile of a retracing."""
    _look.get_concrete_function()


def _gif_pixels(content):
    """Pixels of all frames: TensorFlow unpacks them all, though the first one alone is used."""
    at, pixels = 13, 0
    if len(content) > 10 and content[10] & 0x80:
        at += 6 << (content[10] & 7)  # the palette
    while at + 10 < len(content) and content[at] in (0x21, 0x2C):
        if content[at] == 0x2C:
            width, height = content[at + 5 : at + 7], content[at + 7 : at + 9]
            pixels += int.from_bytes(width, "little") * int.from_bytes(height, "little")
            at += 11 + (6 << (content[at + 9] & 7) if content[at + 9] & 0x80 else 0)
        else:
            at += 2
        while at < len(content) and content[at]:  # blocks of up to 255 bytes
            at += content[at] + 1
        at += 1
    return pixels


def _text(error):
    """The message without TensorFlow's names of operations."""
    lines = re.sub(r"\{\{.*?\}\}", "", error.message).splitlines()
    # The last line that is about the image: others name operations and places in code.
    texts = [line.strip() for line in lines if line.strip() and "[[" not in line]
    if not texts:
        return "no reason given"
    return re.sub(r"\[Op:\w+\].*", "", texts[-1]).strip().rstrip(".")
