"""Colour operations, pixel by pixel against Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from mpl_tf.augment import color

SIZES = [(32, 32), (96, 96), (33, 47), (8, 8), (2, 5)]


def pictures(height, width, channels, rng):
    """uint8 [10, H, W, C]: noise, gradients, blocks, little contrast, a single colour, extremes."""
    shape = (2, height, width, channels)
    noise = rng.integers(0, 256, shape)
    ramp = np.add.outer(np.arange(height), 3 * np.arange(width))[None, :, :, None]
    gradients = (ramp * rng.integers(1, 5, (2, 1, 1, channels))) % 256
    blocks = noise[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    faint = noise // 16 + rng.integers(0, 240, (2, 1, 1, channels))
    single = np.broadcast_to(noise[:1, :1, :1], (1, *shape[1:]))
    extremes = 255 * (noise[:1] > 128)
    return np.concatenate([noise, gradients, blocks, faint, single, extremes]).astype(np.uint8)


def pillow(function, images, parameters):
    """function(picture, parameter) of every image, uint8 [N, H, W, C]."""
    results = []
    for image, parameter in zip(images, parameters, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        results.append(np.asarray(function(picture, float(parameter))).reshape(image.shape))
    return np.stack(results)


def enhancer(enhancement):
    return lambda picture, factor: enhancement(picture).enhance(factor)


def factors(rng):
    return np.concatenate([[0.0, 1.0, 2.98, 3.16, 0.1], rng.uniform(0, 5.5, 5)])


def whole(low, high):
    return lambda rng: np.concatenate([[low, high], rng.integers(low, high + 1, 8)])


CASES = {
    "autocontrast": (lambda x, p: color.autocontrast(x), lambda i, p: ImageOps.autocontrast(i)),
    "equalize": (lambda x, p: color.equalize(x), lambda i, p: ImageOps.equalize(i)),
    "invert": (lambda x, p: color.invert(x), lambda i, p: ImageOps.invert(i)),
    "posterize": (color.posterize, lambda i, p: ImageOps.posterize(i, int(p))),
    "solarize": (color.solarize, lambda i, p: ImageOps.solarize(i, int(p))),
    "color": (color.color, enhancer(ImageEnhance.Color)),
    "contrast": (color.contrast, enhancer(ImageEnhance.Contrast)),
    "brightness": (color.brightness, enhancer(ImageEnhance.Brightness)),
    "sharpness": (color.sharpness, enhancer(ImageEnhance.Sharpness)),
}
PARAMETERS = {"posterize": whole(1, 8), "solarize": whole(0, 256)}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_equals_pillow_in_every_bit(name, channels, rng):
    ours, theirs = CASES[name]
    for height, width in SIZES:
        images = pictures(height, width, channels, rng)
        parameters = PARAMETERS.get(name, factors)(rng).astype(np.float32)
        result = ours(tf.constant(images), tf.constant(parameters))
        assert result.dtype == tf.uint8
        np.testing.assert_array_equal(result, pillow(theirs, images, parameters))


@pytest.mark.parametrize("name", CASES)
def test_an_image_does_not_depend_on_the_others(name, rng):
    images = pictures(12, 9, 3, rng)
    parameters = PARAMETERS.get(name, factors)(rng).astype(np.float32)
    together = CASES[name][0](tf.constant(images), tf.constant(parameters))
    for i in range(len(images)):
        alone = CASES[name][0](tf.constant(images[i : i + 1]), tf.constant(parameters[i : i + 1]))
        np.testing.assert_array_equal(alone[0], together[i])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_a_batch_may_be_empty_and_of_unknown_size(name, channels, rng):
    images = pictures(8, 6, channels, rng)
    parameters = PARAMETERS.get(name, factors)(rng).astype(np.float32)
    signature = [tf.TensorSpec([None, 8, 6, channels], tf.uint8), tf.TensorSpec([None])]
    compiled = tf.function(CASES[name][0], input_signature=signature, autograph=False)
    assert compiled(images[:0], parameters[:0]).shape == (0, 8, 6, channels)
    result = CASES[name][0](tf.constant(images), tf.constant(parameters))
    np.testing.assert_array_equal(compiled(images, parameters), result)


def test_autocontrast_truncates_as_pillow_does_for_every_range(rng):
    low, high = np.sort(rng.integers(0, 256, (2, 1500)), axis=0)
    values = np.arange(256).reshape(1, 16, 16, 1)
    images = np.clip(values, low[:, None, None, None], high[:, None, None, None]).astype(np.uint8)
    expected = pillow(lambda picture, _: ImageOps.autocontrast(picture), images, low)
    np.testing.assert_array_equal(color.autocontrast(tf.constant(images)), expected)
    # Ranges at which 255 / range is not exact, and the greatest value becomes 254.
    greatest = expected.max((1, 2, 3))[high > low]
    assert 0 < (greatest == 254).mean() < 0.5


def test_colour_operations_by_hand():
    image = tf.constant([0, 100, 200, 255], tf.uint8)[None, :, None, None]  # one column of 4
    parameter = tf.constant([2.0])
    assert np.ravel(color.invert(image)).tolist() == [255, 155, 55, 0]
    assert np.ravel(color.posterize(image, parameter)).tolist() == [0, 64, 192, 192]
    assert np.ravel(color.solarize(image, tf.constant([200.0]))).tolist() == [0, 100, 55, 0]
    assert np.ravel(color.brightness(image, parameter)).tolist() == [0, 200, 255, 255]
    # The mean is 138.75, so 139: 139 + 2 * (x - 139).
    assert np.ravel(color.contrast(image, parameter)).tolist() == [0, 61, 255, 255]
    # Luma of pure red: 255 * 19595 / 65536 = 76.2; at 0.5, 76 + 0.5 * (255 - 76), truncated.
    red = tf.constant([[[[255, 0, 0]]]], tf.uint8)
    assert np.ravel(color.color(red, tf.constant([0.5]))).tolist() == [165, 38, 38]
