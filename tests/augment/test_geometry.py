"""Geometric operations, pixel by pixel against Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from mpl_tf.augment import geometry

SIZES = [(32, 32), (96, 96), (33, 47), (1, 5)]
GREY = {"L": 128, "RGB": (128, 128, 128)}


def pictures(count, height, width, channels, rng):
    """uint8 [N, H, W, C]: noise, and numbered pixels."""
    noise = rng.integers(0, 256, (count, height, width, channels))
    numbered = np.arange(height * width * channels).reshape(height, width, channels) % 251
    noise[::3] = numbered
    return noise.astype(np.uint8)


def pillow(function, images, *parameters):
    """function(picture, *parameters) of every image, uint8 [N, H, W, C]."""
    results = []
    for image, *values in zip(images, *parameters, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        results.append(np.asarray(function(picture, *values)).reshape(image.shape))
    return np.stack(results)


def affine(matrix):
    def function(picture, value):
        affine = Image.Transform.AFFINE
        return picture.transform(
            picture.size, affine, matrix(float(value)), fillcolor=GREY[picture.mode]
        )

    return function


def rotated(picture, degrees):
    return picture.rotate(float(degrees), fillcolor=GREY[picture.mode])


CASES = {
    "rotate": (geometry.rotate, rotated, [0, 30, 48, -48, 51, -90, 90, 180], 180),
    "shear_x": (geometry.shear_x, affine(lambda v: (1, v, 0, 0, 1, 0)), [0, 0.48, -0.51], 1),
    "shear_y": (geometry.shear_y, affine(lambda v: (1, 0, 0, v, 1, 0)), [0, 0.48, -0.51], 1),
    "translate_x": (
        geometry.translate_x,
        affine(lambda v: (1, 0, v, 0, 1, 0)),
        [0, 6.4, -6.4, 0.5, -0.5, 1.5, 500, -500],
        40,
    ),
    "translate_y": (
        geometry.translate_y,
        affine(lambda v: (1, 0, 0, 0, 1, v)),
        [0, 6.4, -6.4, 0.5, -0.5, 1.5, 500, -500],
        40,
    ),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_equals_pillow_in_every_bit(name, channels, rng):
    ours, theirs, special, reach = CASES[name]
    for height, width in SIZES:
        values = np.concatenate([special, rng.uniform(-reach, reach, 25)]).astype(np.float32)
        images = pictures(len(values), height, width, channels, rng)
        result = ours(tf.constant(images), tf.constant(values))
        assert result.dtype == tf.uint8
        np.testing.assert_array_equal(result, pillow(theirs, images, values))


@pytest.mark.parametrize("channels", [1, 3])
def test_cutout_equals_a_pasted_square(channels, rng):
    half = rng.integers(0, 12, 40)
    x, y = rng.integers(0, 23, 40), rng.integers(0, 20, 40)
    images = pictures(40, 20, 23, channels, rng)

    def paste(picture, half, x, y):
        picture = picture.copy()
        box = (max(x - half, 0), max(y - half, 0), min(x + half, 23), min(y + half, 20))
        picture.paste(GREY[picture.mode], tuple(map(int, box)))
        return picture

    centre = np.stack([(x + 0.5) / 23, (y + 0.5) / 20], axis=1).astype(np.float32)
    result = geometry.cutout(tf.constant(images), tf.constant(2 * half, tf.float32), centre)
    np.testing.assert_array_equal(result, pillow(paste, images, half, x, y))


@pytest.mark.parametrize(("size", "first"), [(1, 2), (2, 1), (3, 1)])
def test_cutout_of_one_size_by_hand(size, first):
    x = np.zeros((2, 5, 4, 1), np.uint8)
    centre = tf.constant([[0.5, 0.4], [0.0, 0.99]])
    result = geometry.cutout(x, size, centre, fill=9).numpy()[..., 0]
    expected = np.zeros((2, 5, 4))
    expected[0, first : first + size, first : first + size] = 9
    # At the corner the border cuts it off.
    expected[1, 4 - size // 2 :, : size - size // 2] = 9
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_mirrors_the_chosen(channels, rng):
    images = pictures(6, 9, 14, channels, rng)
    chosen = np.array([True, False, False, True, True, False])
    result = geometry.flip(tf.constant(images), tf.constant(chosen))

    def mirror(picture, chosen):
        return ImageOps.mirror(picture) if chosen else picture

    np.testing.assert_array_equal(result, pillow(mirror, images, chosen))


@pytest.mark.parametrize("fill", [128, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_pads_and_cuts(channels, fill, rng):
    images = pictures(30, 16, 24, channels, rng)
    offset = rng.integers(0, 9, (30, 2))
    offset[:3] = [[0, 0], [8, 8], [4, 4]]

    def expand_and_crop(picture, offset):
        padded = ImageOps.expand(picture, 4, tuple([fill] * channels) if channels > 1 else fill)
        x, y = map(int, offset)
        return padded.crop((x, y, x + 24, y + 16))

    result = geometry.crop(tf.constant(images), tf.constant(offset, tf.int32), 4, fill)
    np.testing.assert_array_equal(result, pillow(expand_and_crop, images, offset))
    np.testing.assert_array_equal(result[2], images[2])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES[:3])
def test_resized_crops_are_pillows_up_to_its_roundings(size, channels, rng):
    height, width = size
    images = pictures(20, height, width, channels, rng)
    low = rng.uniform(0, 0.5, (20, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.2, 0.5, (20, 2))], axis=1)
    boxes[0] = [0, 0, 1, 1]
    boxes = boxes.astype(np.float32)

    def cut(picture, box):
        top, left, bottom, right = (float(side) for side in box)
        box = (left * width, top * height, right * width, bottom * height)
        return picture.resize(picture.size, Image.Resampling.BILINEAR, box)

    def cut_in_floats(picture, box):
        return np.stack([cut(part.convert("F"), box) for part in picture.split()], axis=-1)

    result = geometry.crop_and_resize(tf.constant(images), tf.constant(boxes)).numpy().astype(int)
    np.testing.assert_array_equal(result[0], images[0])
    # Floating-point pictures are not rounded at all.
    assert np.abs(result - pillow(cut_in_floats, images, boxes)).max() < 0.503
    # 8-bit pictures are rounded after each of two passes (measured: 20 to 22% differ).
    difference = np.abs(result - pillow(cut, images, boxes).astype(int))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.25


def test_a_box_shows_its_pixels_by_hand():
    image = tf.constant([[0, 80, 160, 240]], tf.uint8)[:, None, :, None]  # one row
    box = tf.constant([[0.0, 0.5, 1.0, 1.0]])
    # Two pixels become four: the middles lie 1/4 and 3/4 into a pixel; the edge is repeated.
    result = np.ravel(geometry.crop_and_resize(image, box))
    assert result.tolist() == [140, 180, 220, 240]


def every_operation():
    """name -> (function of images and parameters, parameters for 5 images)."""
    five = np.array([0.3, -0.2, 0.0, 0.9, 0.5], np.float32)
    boxes = np.array([[0, 0, 0.5, 0.5], [0.1, 0.2, 0.9, 0.6]] * 3, np.float32)[:5]
    return {
        **{name: (case[0], (five * case[3],)) for name, case in CASES.items()},
        "cutout": (geometry.cutout, (np.full(5, 3.0, np.float32), boxes[:, :2])),
        "flip": (geometry.flip, (five > 0,)),
        "crop": (lambda x, o: geometry.crop(x, o, 2), (np.array([[0, 4]] * 5, np.int32),)),
        "crop_and_resize": (geometry.crop_and_resize, (boxes,)),
    }


@pytest.mark.parametrize("name", every_operation())
def test_an_image_does_not_depend_on_the_others(name, rng):
    function, parameters = every_operation()[name]
    images = pictures(5, 12, 9, 3, rng)
    together = function(tf.constant(images), *map(tf.constant, parameters))
    for i in range(5):
        alone = function(
            tf.constant(images[i : i + 1]), *(tf.constant(p[i : i + 1]) for p in parameters)
        )
        np.testing.assert_array_equal(alone[0], together[i])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", every_operation())
def test_a_batch_may_be_empty_and_of_unknown_size(name, channels, rng):
    function, parameters = every_operation()[name]
    images = pictures(5, 8, 6, channels, rng)
    signature = [tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in (images, *parameters)]
    compiled = tf.function(function, input_signature=signature, autograph=False)
    assert compiled(images[:0], *(p[:0] for p in parameters)).shape == (0, 8, 6, channels)
    result = function(tf.constant(images), *map(tf.constant, parameters))
    np.testing.assert_array_equal(compiled(images, *parameters), result)


def test_geometry_by_hand():
    image = tf.reshape(tf.range(1, 10), [1, 3, 3, 1])
    image = tf.cast(image, tf.uint8)  # 1 2 3 / 4 5 6 / 7 8 9

    def pixels(result):
        return np.reshape(result, [3, 3]).tolist()

    g = 128
    one = tf.constant([1.0])
    assert pixels(geometry.translate_x(image, one)) == [[2, 3, g], [5, 6, g], [8, 9, g]]
    assert pixels(geometry.translate_y(image, -one)) == [[g, g, g], [1, 2, 3], [4, 5, 6]]
    # Rows are measured at their middles, 0.5, 1.5 and 2.5: they move by 1, 2 and 3 pixels.
    assert pixels(geometry.shear_x(image, one)) == [[2, 3, g], [6, g, g], [g, g, g]]
    assert pixels(geometry.rotate(image, 90 * one)) == [[3, 6, 9], [2, 5, 8], [1, 4, 7]]
