"""EXIF's orientation against Pillow, in the forms that cameras write; sizes that are refused."""

import io
import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from mpl_tf.images import check, decode, header

PICTURE = PIL.Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8).repeat(4, 0).repeat(4, 1)
)


def encoded(format="jpeg", **options):
    file = io.BytesIO()
    PICTURE.save(file, format, **options)
    return file.getvalue()


def exif(orientation, order="<", before=(), form="HHIHH"):
    """What EXIF says of a picture, in one order of bytes; `before` are tags that come first.

    `form` is that of a tag: a number of 16 bits, or of 32 ("HHII").
    """
    tags, kind = [*before, 0x0112], {"HHIHH": (3, 0), "HHII": (4,)}[form]
    entries = b"".join(
        struct.pack(order + form, tag, kind[0], 1, orientation if tag == 0x0112 else 7, *kind[1:])
        for tag in tags
    )
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", len(tags))
    return b"Exif\0\0" + mark + start + entries + bytes(4)


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(*segments):
    """A JPEG with these segments first, and no other of an application."""
    content = encoded()
    tables = content.index(b"\xff\xdb")
    return content[:2] + b"".join(segments) + content[tables:]


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
PROFILE = segment(0xE2, b"ICC_PROFILE\0" + bytes(50_000))
COMMENT = segment(0xFE, b"a comment")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_are_turned_as_in_pillow(orientation, order):
    content = with_segments(segment(0xE1, exif(orientation, order)))
    expected = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decode.native(content), expected)
    data = tf.data.Dataset.from_tensors(content).map(lambda c: decode.decode(c, 24, 3))
    np.testing.assert_array_equal(next(iter(data)), decode.decode(content, 24, 3))


@pytest.mark.parametrize("order", "<>")
def test_an_orientation_of_32_bits_is_read_as_pillow_reads_it(order):
    tag = exif(6, order, before=(0x010F,), form="HHII")
    content = with_segments(segment(0xE1, tag))
    assert PIL.Image.open(io.BytesIO(content)).getexif()[0x0112] == 6
    assert header.orientation(content) == 6


@pytest.mark.parametrize(
    "before", [[JFIF], [JFIF, COMMENT], [PROFILE], [JFIF, PROFILE, segment(0xE1, b"http://ns")]]
)
def test_the_tag_is_found_behind_other_annotations(before):
    tag = exif(6, ">", before=(0x010F, 0x0110))
    assert header.orientation(with_segments(*before, segment(0xE1, tag))) == 6


@pytest.mark.parametrize(
    "content",
    [
        encoded(),
        with_segments(),
        with_segments(segment(0xE1, exif(0))),
        with_segments(segment(0xE1, exif(9))),
        with_segments(segment(0xE1, exif(6).replace(b"\x12\x01", b"\x13\x01"))),
        with_segments(segment(0xE1, b"Exif\0\0")),
        with_segments(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
        with_segments(segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")),
        with_segments(b"\xff\xe1\xff\xffEx"),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1",
        b"\xff\xd8\xff\xe0\xff\xff",
    ],
)
def test_without_a_tag_that_makes_sense_nothing_is_turned(content):
    graph = tf.function(header.orientation)
    assert header.orientation(content) == graph(tf.constant(content)) == 1


def test_no_damage_of_the_tag_stops_the_search(rng):
    content = with_segments(JFIF, segment(0xE1, exif(6, before=(0x010F,))))
    graph = tf.function(header.orientation, input_signature=[tf.TensorSpec([], tf.string)])
    for _ in range(300):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(2, 80, 3)] = rng.integers(0, 256, 3)
        assert 1 <= graph(tf.constant(damaged.tobytes())) <= 8


def png(width, height):
    """The beginning of a PNG of that size."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0"


def jpeg(width, height):
    frame = segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes(range(9)))
    content = encoded()
    at = content.index(b"\xff\xc0")
    return content[:at] + frame[:9] + content[at + 9 :]


def gif(width, height, frames=((1, 1),)):
    content = b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"
    for size in frames:
        content += b"!\xf9\4\0\0\0\0\0,\0\0\0\0" + struct.pack("<HHB", *size, 0) + b"\2\2D\1\0"
    return content + b";"


def bmp(width, height):
    return b"BM" + bytes(8) + struct.pack("<IIiiHH", 54, 40, width, height, 1, 24) + bytes(24)


def webp(chunk, content):
    return b"RIFF\0\1\0\0WEBP" + chunk + struct.pack("<I", len(content)) + content + bytes(40)


BOMBS = {
    "png": png(40_000, 40_000),
    "jpeg": jpeg(40_000, 40_000),
    "gif": gif(40_000, 40_000),
    "bmp": bmp(40_000, 40_000),
    "bmp from above": bmp(40_000, -40_000),
    "webp": webp(b"VP8X", b"\0\0\0\0" + 2 * (39_999).to_bytes(3, "little")),
    "lossy webp": webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + 2 * struct.pack("<H", 16_383)),
    "webp without loss": webp(b"VP8L", b"\x2f" + struct.pack("<I", (1 << 28) - 1)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_sizes_are_refused_before_anything_is_allocated(name):
    side = {"lossy webp": 16_383, "webp without loss": 16_384}.get(name, 40_000)
    reason = f"has {side} x {side} pixels; images of more than 134,217,728 are not decoded"
    assert check.verify(BOMBS[name]) == reason
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s)image.*3.*has {side} x {side}"):
        decode.checked(BOMBS[name], ["image", 3])


@pytest.mark.parametrize(
    ("content", "is_refused"),
    [
        (gif(2, 3, [(2, 3)]), False),
        (gif(2, 3, [(2, 3), (1, 1)]), False),
        (gif(2, 3, [(300, 300)]), False),
        (gif(2, 3, [(1, 3)]), True),
        (gif(2, 3, [(2, 2)]), True),
        (gif(2, 3, [(2, 3)]).replace(b",\0\0", b",\1\0"), True),
        (gif(2, 3, [(1, 3)]).replace(b"!\xf9", b"!\xfe\3abc\2de\0!\xf9"), True),  # a comment
        (gif(2, 3, [(1, 3)])[:13], False),  # what is cut off is said elsewhere
        (b"GIF89a", False),
    ],
)
def test_a_first_frame_that_does_not_fill_a_gif_is_refused(content, is_refused):
    """TensorFlow gives another image than Pillow, and no error."""
    fault, _ = header.inspect(tf.constant(content))
    assert (b"first frame does not fill it" in fault.numpy()) == is_refused


def test_large_images_need_memory(monkeypatch):
    content = encoded("png")
    monkeypatch.setattr(check.memory, "available", lambda: 12 * 480)
    assert check.verify(content) is None
    monkeypatch.setattr(check.memory, "available", lambda: 12 * 480 - 1)
    assert check.verify(content) == "has 480 pixels, more than fit into memory here"


def test_all_frames_of_a_gif_need_memory(monkeypatch):
    monkeypatch.setattr(check.memory, "available", lambda: 100_000)
    assert "truncated" in check.verify(gif(1, 1, [(300, 300)]))  # small enough to be looked at
    reason = "has 180,000 pixels, more than fit into memory here"
    assert check.verify(gif(1, 1, [(300, 300), (300, 300)])) == reason
