"""The formula that a refusal of images names makes images of them."""

import re

import numpy as np
import pytest

from mpl_tf.data.arrays import checked_images
from mpl_tf.options import ConfigError

# What the images were before somebody changed them: every level once.
LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


def changed():
    x = LEVELS.astype(np.float32)
    return {
        "0 to 1": x / 255,
        "-1 to 1": x / 127.5 - 1,
        "-0.5 to 0.5": x / 255 - 0.5,
        "floats": x,
        "floats between": np.minimum(x + 0.25, 255),
        "ints": LEVELS.astype(np.int64),
        "int8": (LEVELS.astype(np.int16) - 128).astype(np.int8),
        "uint16": LEVELS.astype(np.uint16) * 257,
        "12 bits in uint16": np.round(x * 4095 / 255).astype(np.uint16),
        "standardised": (x - x.mean()) / x.std(),
        "minus a mean": x - 113.5,
    }


@pytest.mark.parametrize("name", changed())
def test_the_formula_of_the_refusal_brings_the_levels_back(name):
    images = changed()[name]
    with pytest.raises(ConfigError, match=f"received {images.dtype} from ") as error:
        checked_images(images, "labeled")
    formula = re.search(r"alike, with (\S.*?'uint8'\)(?: \* 255)?)\.", str(error.value))[1]
    converted = eval(formula, {"images": images})
    assert converted.dtype == np.uint8
    assert np.abs(converted.astype(int) - LEVELS).max() <= 1
    assert ("if you know" in str(error.value)) == ("clip" in formula)


def test_a_mask_becomes_black_and_white():
    with pytest.raises(ConfigError, match=r"images\.astype\('uint8'\) \* 255"):
        checked_images(LEVELS > 100, "labeled")


def test_a_constant_image_is_refused_too():
    with pytest.raises(ConfigError, match="from 300 to 300"):
        checked_images(np.full([1, 4, 4, 1], 300), "labeled")
