"""Projective maps and colours of floating images against closed forms and Pillow."""

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from mpl_tf.augment import warps
from mpl_tf.formulas import transformations

SHAPES = [(8, 8, 1), (8, 8, 3), (7, 7, 3), (6, 10, 1)]


def pictures(shape, count=3, dtype="float32"):
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(dtype)


def moved(images, matrix):
    source = transformations.inverse(tf.constant(matrix, tf.float32))
    return warps.warp(tf.constant(images), source).numpy()


def affine(count, degrees=0.0, shift=(0.0, 0.0), scale=1.0, shear=0.0):
    whole = [tf.fill([count], float(v)) for v in (math.radians(degrees), scale, shear)]
    at = tf.broadcast_to(tf.constant(shift, tf.float32), [count, 2])
    return transformations.affine_matrix(whole[0], at, whole[1], whole[2]).numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_identity_gives_the_image(shape, dtype):
    images = pictures(shape, dtype=dtype)
    found = moved(images, np.eye(3)[None].repeat(3, 0))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, images, atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_those_of_tensorflow(shape, turns):
    images = pictures(shape)
    expected = tf.image.rot90(images, turns)
    np.testing.assert_allclose(moved(images, affine(3, 90 * turns)), expected, atol=1e-2)


def test_whole_pixels_to_the_right_and_down_and_the_mean_colour_behind():
    images = pictures((8, 8, 3))
    found = moved(images, affine(3, shift=(2 * 2 / 8, 3 * 2 / 8)))
    np.testing.assert_allclose(found[:, 3:, 2:], images[:, :-3, :-2], atol=1e-3)
    mean = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
    np.testing.assert_allclose(found[:, :3], mean[:, :3], rtol=1e-5)
    np.testing.assert_allclose(found[:, :, :2], mean[:, :, :2], rtol=1e-5)


def test_half_a_pixel_is_the_mean_of_two():
    images = pictures((6, 10, 1))
    found = moved(images, affine(3, shift=(0.5 * 2 / 10, 0.0)))
    between = (images[:, :, 1:] + images[:, :, :-1]) / 2
    np.testing.assert_allclose(found[:, :, 1:], between, atol=1e-3)


def test_pixels_are_where_the_map_says_bilinearly():
    """Every pixel by hand, of projective maps of images that are not square."""
    images = pictures((6, 9, 2), count=4, dtype="float64")
    draws = np.random.default_rng(1).random((4, 10)).astype("float32")
    matrix, _ = transformations.projective(tf.constant(draws), 9, 6)
    found = moved(images, matrix)
    inverse = np.linalg.inv(matrix.numpy().astype("float64"))
    for image, back, result in zip(images, inverse, found, strict=True):
        mean = image.mean(axis=(0, 1))

        def pixel(row, column, image=image, mean=mean):
            inside = 0 <= row < 6 and 0 <= column < 9
            return image[row, column] if inside else mean

        for i in range(6):
            for j in range(9):
                x, y, w = back @ [(2 * j - 8) / 9, (2 * i - 5) / 9, 1]
                column, row = (x / w * 9 + 8) / 2, (y / w * 9 + 5) / 2
                left, top = math.floor(column), math.floor(row)
                a, b = column - left, row - top
                expected = (1 - b) * ((1 - a) * pixel(top, left) + a * pixel(top, left + 1))
                expected += b * ((1 - a) * pixel(top + 1, left) + a * pixel(top + 1, left + 1))
                np.testing.assert_allclose(result[i, j], expected, atol=1e-2)


def test_factors_of_1_change_no_colour():
    for shape in ((8, 8, 3), (8, 8, 1), (2, 2, 3)):
        images = pictures(shape)
        found = warps.recolor(tf.constant(images), tf.ones([3, 4]))
        np.testing.assert_allclose(found, images, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("factor", [0.2, 0.7, 1.8])
def test_each_factor_is_that_of_pillow(place, factor, channels):
    """Up to its rounding, of pixels and of the mean luma."""
    images = pictures((9, 11, channels))
    enhance = (
        ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness, ImageEnhance.Sharpness
    )[place]  # fmt: skip
    factors = np.ones([3, 4], "float32")
    factors[:, place] = factor
    found = warps.recolor(tf.constant(images), tf.constant(factors)).numpy()
    for image, result in zip(images.astype("uint8"), found, strict=True):
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        expected = np.asarray(enhance(picture).enhance(factor)).reshape(image.shape)
        assert np.abs(result - expected).max() <= 2
    if not (place == 0 and channels == 1):
        assert np.abs(found - images).max() > 20


def test_an_image_has_its_own_parameters_alone():
    images = pictures((8, 8, 3))
    factors = np.random.default_rng(2).uniform(0.2, 1.8, (3, 4)).astype("float32")
    draws = tf.constant(np.random.default_rng(3).random((3, 10)), tf.float32)
    matrix = transformations.projective(draws, 8, 8)[0].numpy()
    for function, parameters in (
        (moved, matrix),
        (lambda x, f: warps.recolor(tf.constant(x), tf.constant(f)).numpy(), factors),
    ):
        together = function(images, parameters)
        for i in range(3):
            alone = function(images[i : i + 1], parameters[i : i + 1])
            np.testing.assert_allclose(together[i : i + 1], alone, atol=1e-4)


def test_xla_moves_and_colours_alike():
    images = tf.constant(pictures((8, 8, 3)))
    source = tf.constant(affine(3, 30.0, (0.1, -0.2), 1.1, 0.3))

    def both(images):
        return warps.recolor(warps.warp(images, source), tf.fill([3, 4], 1.5))

    compiled = tf.function(both, jit_compile=True)(images)
    np.testing.assert_allclose(compiled, both(images), atol=1e-2)
