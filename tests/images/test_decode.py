"""Every format and depth to pixels, against Pillow and by hand; damaged files are found."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mpl_tf.images import check, decode, header


def smooth(height, width, channels=3, seed=0):
    """A picture with structure, uint8 [height, width, channels]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, channels), np.uint8)
    bands = [PIL.Image.fromarray(coarse[..., c]).resize((width, height)) for c in range(channels)]
    return np.stack(list(map(np.array, bands)), axis=2)


RGB = smooth(24, 24)
PICTURE = PIL.Image.fromarray(RGB)
GREY = PICTURE.convert("L")
ALPHA = PIL.Image.fromarray(smooth(24, 24, 1, seed=1)[..., 0])
RAMP = np.linspace(0, 65535, 24 * 24).astype(np.uint16).reshape(24, 24)


def encoded(picture, format, **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def bmp_with_masks(*masks):
    """A BMP of 32 bits a pixel whose header says where in them red, green and blue lie."""
    content = bytearray(encoded(with_alpha(PICTURE), "bmp"))
    content[30:34] = (3).to_bytes(4, "little")
    content[54:66] = b"".join(mask.to_bytes(4, "little") for mask in masks)
    return bytes(content)


def with_alpha(picture):
    both = picture.copy()
    both.putalpha(ALPHA)
    return both


def pillow(content):
    return PIL.Image.open(io.BytesIO(content))


JPEG = encoded(PICTURE, "jpeg", quality=90)
GIF = encoded(PICTURE, "gif")
MASKED = bmp_with_masks(0xFF, 0xFF00, 0xFF0000)
# The header of OS/2: 12 bytes, in which width, height, planes and bits have two each.
CORE = b"BM" + bytes(8) + b"\x1a\0\0\0\x0c\0\0\0\x02\0\x02\0\x01\0\x18\0" + bytes(16)
MOVING = encoded(PICTURE, "webp", save_all=True, append_images=[PICTURE.rotate(90)])
# content -> what its pixels are, in RGB
FILES = {
    "jpeg": (JPEG, pillow(JPEG)),
    "progressive jpeg": (c := encoded(PICTURE, "jpeg", progressive=True), pillow(c)),
    "grey jpeg": (c := encoded(GREY, "jpeg"), pillow(c)),
    "png": (encoded(PICTURE, "png"), PICTURE),
    "png with alpha": (encoded(with_alpha(PICTURE), "png"), PICTURE),
    "grey png": (encoded(GREY, "png"), GREY),
    "grey png with alpha": (encoded(with_alpha(GREY), "png"), GREY),
    "png with a palette": (encoded(pillow(GIF), "png"), pillow(GIF)),
    "png with transparent palette": (encoded(pillow(GIF), "png", transparency=3), pillow(GIF)),
    "black and white png": (encoded(GREY.convert("1"), "png"), GREY.convert("1")),
    "16 bit grey png": (
        encoded(PIL.Image.fromarray(RAMP), "png"),
        PIL.Image.fromarray((RAMP >> 8).astype(np.uint8)),
    ),
    "16 bit png": (tf.io.encode_png(RGB.astype(np.uint16) * 256 + 200).numpy(), PICTURE),
    "bmp": (encoded(PICTURE, "bmp"), PICTURE),
    "bmp with alpha": (encoded(with_alpha(PICTURE), "bmp"), PICTURE),
    "grey bmp": (encoded(GREY, "bmp"), GREY),
    "gif": (GIF, pillow(GIF)),
    "webp": (c := encoded(PICTURE, "webp", quality=80), pillow(c)),
    "webp without loss": (encoded(PICTURE, "webp", lossless=True), PICTURE),
    "webp with alpha": (c := encoded(with_alpha(PICTURE), "webp", exact=True), pillow(c)),
    "moving gif": (
        c := encoded(PICTURE, "gif", save_all=True, append_images=[PICTURE.rotate(90)]),
        pillow(c),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_images_of_the_right_size_come_out_exactly(name):
    content, picture = FILES[name]
    image = decode.decode(content, 24, 3)
    assert image.dtype == tf.uint8
    np.testing.assert_array_equal(image, picture.convert("RGB"))


@pytest.mark.parametrize("name", FILES)
def test_grey_is_as_in_pillow(name):
    content, picture = FILES[name]
    grey = picture.convert("RGB").convert("L")
    np.testing.assert_array_equal(decode.decode(content, 24, 1)[..., 0], grey)


@pytest.mark.parametrize("name", FILES)
def test_formats_and_channels_are_told_by_the_header(name):
    content, _ = FILES[name]
    assert header.sniff(content[:12]) in name.split()
    assert header.channels(content[:1000]) == decode.native(content).shape[2]
    fault, pixels = header.inspect(content)
    assert (fault, pixels) == (b"", 24 * 24)


def test_channels_are_found_behind_annotations():
    exif = PIL.Image.Exif()
    exif[0x010E] = "a long description " * 100
    assert header.channels(encoded(GREY, "jpeg", exif=exif)) == 1
    assert header.channels(encoded(PICTURE, "jpeg", exif=exif)) == 3
    assert header.channels(encoded(PICTURE, "jpeg", exif=exif)[:500]) is None
    # Tables, whose marker is among those of frames, may come before the frame.
    tables, frame = b"\xff\xc4\x00\x0c" + bytes(10), b"\xff\xc0\x00\x0b\x08\0\x18\0\x18\x01"
    assert header.channels(b"\xff\xd8" + tables + frame + bytes(3)) == 1


def test_cmyk_becomes_rgb():
    image = decode.decode(encoded(PICTURE.convert("CMYK"), "jpeg", quality=95), 24, 3)
    assert np.abs(np.array(image, int) - RGB).mean() < 5


@pytest.mark.parametrize(("height", "width"), [(24, 37), (40, 24), (24, 25)])
def test_longer_sides_are_cut_and_not_resized(height, width):
    wide = smooth(height, width)
    top, left = (height - 24) // 2, (width - 24) // 2
    image = decode.decode(encoded(PIL.Image.fromarray(wide), "png"), 24, 3)
    np.testing.assert_array_equal(image, wide[top : top + 24, left : left + 24])


@pytest.mark.parametrize(("height", "width", "size"), [(60, 80, 24), (81, 50, 32), (10, 12, 24)])
def test_resizing_is_pillows_bilinear_of_the_middle_square(height, width, size):
    picture, side = PIL.Image.fromarray(smooth(height, width)), min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    image = decode.decode(encoded(picture, "png"), size, 3)
    expected = np.array(square.resize((size, size), PIL.Image.Resampling.BILINEAR), int)
    difference = np.array(image, int) - expected
    assert np.abs(difference).max() <= 1
    assert np.abs(difference.mean()) < 0.1  # rounded, not cut off


def test_fine_stripes_turn_grey_instead_of_aliasing():
    stripes = np.zeros([96, 96, 3], np.uint8)
    stripes[:, ::2] = 255
    image = decode.decode(encoded(PIL.Image.fromarray(stripes), "png"), 24, 3)
    assert np.abs(np.array(image, int)[:, 1:-1] - 128).max() <= 1


def test_shapes_are_known_in_a_graph():
    data = tf.data.Dataset.from_tensors(JPEG).map(lambda content: decode.decode(content, 24, 1))
    assert data.element_spec == tf.TensorSpec([24, 24, 1], tf.uint8)
    np.testing.assert_array_equal(next(iter(data)), decode.decode(JPEG, 24, 1))


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="channels must be 1 or 3; received 4"):
        decode.decode(JPEG, 24, 4)


@pytest.mark.parametrize("name", FILES)
def test_good_files_are_verified(name, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(FILES[name][0])
    assert check.verify(str(path)) is None
    assert check.verify(FILES[name][0]) is None


@pytest.mark.parametrize("name", [name for name in FILES if name != "moving gif"])
def test_truncated_files_are_found(name):
    content = FILES[name][0]
    # A GIF's very last byte only says that no frame follows.
    for kept in (20, 60, len(content) // 2, len(content) - 12, len(content) - 2):
        assert check.verify(content[:kept]) is not None, kept
    assert "truncated or damaged" in check.verify(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"some text", "is no JPEG, PNG, BMP, GIF or WebP image"),
        (b"<html>", "is a text of HTML, XML or SVG, and no JPEG, PNG"),
        (b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS (git lfs pull"),
        (encoded(PICTURE, "tiff"), "is a TIFF image, and no JPEG, PNG, BMP, GIF or WebP image"),
        (encoded(PICTURE, "avif"), "is an AVIF image, and no JPEG"),
        (MOVING, "is a WebP image that moves"),
        (encoded(PICTURE.quantize(16), "bmp"), "BMP image with a colour palette"),
        (encoded(GREY.convert("1"), "bmp"), "BMP image with a colour palette"),
        (MASKED, "BMP image with a colour palette, compression or unusual channel masks"),
        (CORE, "BMP image with a colour palette"),
    ],
)
def test_what_is_not_decoded_is_said(content, reason):
    assert reason in check.verify(content)


def test_a_missing_file_is_said(tmp_path):
    assert "cannot be read" in check.verify(str(tmp_path / "nothing.png"))


def test_moving_webp_never_reaches_the_decoder():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode.decode(MOVING, 24, 3)


@pytest.mark.parametrize(
    ("stored", "size", "expected"),
    [
        ((8, 12), (4, 4), (0, 8, 2, 10)),  # a square of the height
        ((12, 8), (4, 4), (2, 10, 0, 8)),
        ((8, 12), (4, 2), (0, 8, 4, 8)),  # as tall as it is, half as wide as high
        ((8, 12), (2, 6), (2, 6, 0, 12)),
    ],
)
def test_fit_takes_the_largest_middle_of_the_wanted_shape(stored, size, expected, rng):
    image = rng.integers(0, 256, (*stored, 3)).astype(np.uint8)
    top, bottom, left, right = expected
    middle = tf.image.resize(image[top:bottom, left:right], size, antialias=True)
    np.testing.assert_array_equal(decode.fit(tf.constant(image), size), np.round(middle))


@pytest.mark.parametrize("stored", [(1, 1), (1, 500), (500, 1)])
def test_fit_finds_a_pixel_in_the_narrowest_images(stored):
    image = np.full((*stored, 1), 7, np.uint8)
    np.testing.assert_array_equal(decode.fit(tf.constant(image), (2, 9)), np.full((2, 9, 1), 7))
