"""Views of self-supervised learning: what is drawn, how often, and what it does to pixels."""

import colorsys
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from mpl_tf.augment import color, distortions, jigsaw, ops, policies, self_supervised
from mpl_tf.augment.distortions import Blurred, ColorJitter, Greyed, Solarized
from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

VIEWS = {
    f"{name} {number}": view
    for name in self_supervised.NAMES
    for number, view in enumerate(self_supervised.two_views(name, 64))
}


def pictures(count, height, width=None, channels=3):
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(
        rng.normal(size=(count, height, width or height, channels)), (0, 2, 2, 0)
    )
    return np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)


def draws(count, seed=0):
    return Draws(tf.constant([seed, 7], tf.int64), count)


def test_hue_is_that_of_colorsys_and_of_tensorflow():
    images = np.random.default_rng(1).integers(0, 256, (6, 9, 7, 3)).astype(np.uint8)
    turns = np.float32([0.0, 0.1, -0.1, 0.5, -0.37, 1.0])
    ours = color.hue(tf.constant(images), tf.constant(turns)).numpy().astype(int)
    for image, turn, result in zip(images, turns, ours, strict=True):
        expected = np.empty_like(result)
        for place in np.ndindex(image.shape[:2]):
            h, s, v = colorsys.rgb_to_hsv(*image[place] / 255)
            expected[place] = np.round(255 * np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)))
        assert np.abs(result - expected).max() <= 1 and (result != expected).mean() < 0.01
        theirs = tf.image.adjust_hue(image, turn if turn < 1 else 0.0).numpy()
        assert np.abs(result - theirs).max() <= 3
    np.testing.assert_array_equal(ours[[0, 5]], images[[0, 5]])  # no turn, and a whole one


def in_turn(image, amounts, order):
    """A jitter by Pillow; hue by its formula."""
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for operation in order:
        if operation == 3:
            turned = color.hue(tf.constant(image[None]), tf.constant([amounts[3]]))
            image = turned.numpy()[0]
        else:
            picture = enhancers[operation](Image.fromarray(image)).enhance(
                float(amounts[operation])
            )
            image = np.asarray(picture)
    return image


def test_jitter_is_pillows_in_the_order_that_was_drawn():
    images, of = pictures(12, 10), draws(12)
    jitter = ColorJitter(0.8, 0.6, 1.5, 0.3, probability=1.0)
    ours = jitter(tf.constant(images), of).numpy()
    bounds = ((0.2, 1.8), (0.4, 1.6), (0.0, 2.5), (-0.3, 0.3))  # no factor is under 0
    amounts = np.stack([of.uniform(i, *bound).numpy() for i, bound in enumerate(bounds)], axis=1)
    orders = np.array(list(itertools.permutations(range(4))))[of.integers(4, 0, 24).numpy()]
    expected = [in_turn(*row) for row in zip(images, amounts, orders, strict=True)]
    assert np.abs(ours.astype(int) - np.stack(expected)).max() <= 1
    assert len(np.unique(orders, axis=0)) > 6


def test_all_orders_are_equally_likely():
    assert set(distortions.ORDERS) == set(itertools.permutations(range(4)))
    assert len(distortions.ORDERS) == 24
    counts = np.bincount(draws(24_000).integers(4, 0, 24).numpy(), minlength=24)
    assert np.square(counts - 1000).sum() / 1000 < 49.7  # chi-squared of 23, 0.1% to exceed


def test_strengths_of_0_change_nothing():
    images = tf.constant(pictures(8, 24))
    np.testing.assert_array_equal(ColorJitter(0, 0, 0, 0, 1.0)(images, draws(8)), images)
    for policy in (ColorJitter(probability=0), Greyed(0), Blurred(0), Solarized(0)):
        np.testing.assert_array_equal(policy(images, draws(8)), images)


# A sigma below 0.269 moves less than half a level of 255, and changes nothing.
VISIBLE = {ColorJitter: 1, Greyed: 1, Blurred: (2 - 0.269) / 1.9, Solarized: 1}


@pytest.mark.parametrize("kind", VISIBLE)
def test_a_share_of_the_images_is_changed_and_the_others_keep_every_bit(kind):
    images = np.zeros((3000, 20, 20, 3), np.uint8)
    images[:, :, ::2] = (255, 100, 0)  # stripes
    views = kind(probability=0.3)(tf.constant(images), draws(3000)).numpy()
    share = (views != images).any(axis=(1, 2, 3)).mean()
    assert abs(share - 0.3 * VISIBLE[kind]) < 4 * np.sqrt(0.21 / 3000)


def test_grey_and_inverted_as_pillow_has_them():
    images = pictures(4, 12)
    greyed = Greyed(1.0)(tf.constant(images), draws(4)).numpy()
    inverted = Solarized(1.0)(tf.constant(images), draws(4)).numpy()
    for image, grey, solar in zip(images, greyed, inverted, strict=True):
        luma = np.asarray(Image.fromarray(image).convert("L"))
        np.testing.assert_array_equal(grey, np.repeat(luma[..., None], 3, axis=2))
        np.testing.assert_array_equal(solar, ImageOps.solarize(Image.fromarray(image), 128))


@pytest.mark.parametrize(("height", "width", "channels"), [(9, 14, 3), (8, 5, 1)])
def test_blur_is_a_convolution_of_the_mirrored_image(height, width, channels):
    images, radius = pictures(5, height, width, channels), 4
    sigmas = np.float32([0.1, 0.5, 1.0, 2.0, 30.0])
    ours = ops.gaussian_blur(tf.constant(images), tf.constant(sigmas), radius).numpy()
    for image, sigma, result in zip(images, sigmas, ours, strict=True):
        line = np.exp(-np.square(np.arange(-radius, radius + 1)) / (2.0 * sigma**2))
        kernel = np.outer(line, line)[..., None] / line.sum() ** 2
        blurred = ndimage.convolve(image.astype(float), kernel, mode="reflect")  # d c b a | a b c d
        assert np.abs(result - blurred).max() < 0.501
    np.testing.assert_array_equal(ours[0], images[0])
    lines = np.array([255, 0, 0, 0], np.uint8).reshape(1, 4, 1, 1) * np.ones((1, 1, 4, 1), np.uint8)
    # Weights 1, 0.6065, 0.1353 over their sum of 2.4836; of the mirrored line 0 255 | 255 0 0 0.
    by_hand = ops.gaussian_blur(tf.constant(lines), tf.constant([1.0]), 2)
    np.testing.assert_array_equal(by_hand[0, :, 0, 0], [165, 76, 14, 0])
    flat = tf.fill([1, 9, 9, 3], tf.constant(137, tf.uint8))
    np.testing.assert_array_equal(ops.gaussian_blur(flat, tf.constant([2.0]), 4), flat)


@pytest.mark.parametrize(("side", "kernel"), [(16, 1), (20, 3), (64, 7), (224, 23)])
def test_the_kernel_is_a_tenth_of_the_side_made_odd(side, kernel, monkeypatch):
    line = np.zeros((1, side, side, 1), np.uint8)
    line[:, side // 2] = 255
    monkeypatch.setattr(distortions, "SIGMAS", (50.0, 60.0))  # all weights are nearly the same
    blurred = Blurred(1.0)(tf.constant(line), draws(1)).numpy()
    assert (blurred[0, :, 0, 0] > 0).sum() == kernel


@pytest.mark.parametrize("flip", [False, True])
def test_a_resized_crop_has_a_share_of_the_area(flip):
    ramp = np.tile(np.arange(0, 240, 2.5)[:, None, None], (1, 96, 1)).astype(np.uint8)
    images = tf.constant(np.stack([ramp, ramp.transpose(1, 0, 2)] * 200))
    rows = Draws(draws(200).seed, 200)
    heights, widths = (
        np.ptp(policies.ResizedCrop(flip, (0.5, 0.7))(images[i::2], rows).numpy(), axis=(1, 2, 3))
        for i in (0, 1)
    )
    areas = (heights / 237.0) * (widths / 237.0)
    assert 0.47 < areas.min() < 0.54 and 0.66 < areas.max() < 0.73
    assert policies.ResizedCrop(True) == policies.ResizedCrop(True, (0.08, 1.0))


def test_patches_are_slices():
    images = np.random.default_rng(0).normal(size=(2, 10, 14, 3)).astype(np.float32)
    cells = jigsaw.patches(tf.constant(images)).numpy()
    assert cells.shape == (2, 9, 3, 4, 3)
    for i, j in np.ndindex(3, 3):
        part = images[:, 3 * i : 3 * i + 3, 4 * j : 4 * j + 4]
        np.testing.assert_array_equal(cells[:, 3 * i + j], part)


def test_a_puzzle_has_a_patch_of_each_cell_inside_it():
    """Cells have a colour each, and a frame of another, of which a patch cannot show both sides."""
    height, width = 31, 38  # cells of 10 and 12; patches of 8 and 9
    shades = 20 + 25 * np.arange(9)
    image = np.full((height, width, 1), 250, np.uint8)
    for i, j in np.ndindex(3, 3):
        image[10 * i : 10 * i + 10, 12 * j : 12 * j + 12] = shades[3 * i + j]
    count = 600
    views = jigsaw.puzzle(tf.constant(np.repeat(image[None], count, axis=0)), draws(count)).numpy()
    assert (views[:, 30:] == 0).all() and (views[:, :, 36:] == 0).all()
    cells = jigsaw.patches(tf.constant(views)).numpy()[..., 0]
    assert (cells == cells[:, :, :1, :1]).all()  # nothing of another cell, nor of the rest
    order = (cells[:, :, 0, 0].astype(int) - 20) // 25
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(9), (count, 1)))
    counts = np.stack([np.bincount(order[:, place], minlength=9) for place in range(9)])
    assert np.square(counts - count / 9).sum() / (count / 9) < 106  # 64 degrees of freedom, 0.1%


def test_a_patch_is_cut_at_every_place_and_enlarged():
    """Of a ramp over a cell of 10 pixels, 8 are seen, from the first, the second or the third."""
    ramp = np.tile(10 * np.arange(10, dtype=np.uint8), 3)
    images = np.broadcast_to(ramp[None, :, None, None], (400, 30, 30, 1))
    cells = jigsaw.patches(jigsaw.puzzle(tf.constant(images), draws(400))).numpy()[..., 0]
    assert jigsaw.side_of_patch(10) == 8 and jigsaw.side_of_patch(85) == 64
    assert [jigsaw.side_of_patch(cell) for cell in (2, 3)] == [1, 2]
    first = np.clip(10 * (0.8 * (np.arange(10) + 0.5) - 0.5), 0, None)
    seen = cells[:, :, :, 0].reshape(-1, 10)
    starts = np.round((seen[:, 5] - first[5]) / 10).astype(int)
    assert np.abs(seen[:, 1:-1] - (first + 10 * starts[:, None])[:, 1:-1]).max() <= 1
    shares = np.bincount(starts, minlength=3) / len(starts)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.04)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", VIEWS)
def test_views_are_functions_of_an_image_and_its_row(name, channels):
    view, images = VIEWS[name], tf.constant(pictures(8, 64, channels=channels))
    whole = view(images, draws(8))
    assert whole.dtype == tf.uint8 and whole.shape == images.shape
    np.testing.assert_array_equal(view(images, draws(8)), whole)
    assert not np.array_equal(view(images, draws(8, seed=1)), whole)
    rows = Draws(draws(8).seed, 8, 3, 2)
    np.testing.assert_array_equal(view(images[3:5], rows), whole[3:5])
    assert view(images[:0], Draws(draws(8).seed, 8, 3, 0)).shape == (0, 64, 64, channels)


def test_grey_images_have_neither_saturation_nor_hue():
    images = tf.constant(pictures(16, 12, channels=1))
    plain = ColorJitter(0.4, 0.4, 0.0, 0.0)(images, draws(16))
    np.testing.assert_array_equal(ColorJitter(0.4, 0.4, 0.9, 0.5)(images, draws(16)), plain)
    np.testing.assert_array_equal(Greyed(1.0)(images, draws(16)), images)


def parts(view):
    """The policies of a view, in their order."""
    if isinstance(view, policies.InTurn):
        return [*parts(view.first), *parts(view.second)]
    return [view]


def crop(least, flip=True):
    return policies.ResizedCrop(flip, (least, 1.0))


MOCO = ColorJitter(0.4, 0.4, 0.4, 0.1, 0.8)
BYOL = ColorJitter(0.4, 0.4, 0.2, 0.1, 0.8)
EXPECTED = {  # name, image size -> the parts of both views
    ("simclr_pair", 224): [
        [crop(0.08), ColorJitter(0.8, 0.8, 0.8, 0.2, 0.8), Greyed(0.2), Blurred(0.5)]
    ]
    * 2,
    ("simclr_pair", 32): [[crop(0.08), ColorJitter(0.4, 0.4, 0.4, 0.1, 0.8), Greyed(0.2)]] * 2,
    ("moco_v2_pair", 64): [[crop(0.2), MOCO, Greyed(0.2), Blurred(0.5)]] * 2,
    ("moco_v2_pair", 63): [[crop(0.2), MOCO, Greyed(0.2)]] * 2,
    ("byol_pair", 224): [
        [crop(0.08), BYOL, Greyed(0.2), Blurred(1.0)],
        [crop(0.08), BYOL, Greyed(0.2), Blurred(0.1), Solarized(0.2)],
    ],
    ("byol_pair", 32): [
        [crop(0.08), BYOL, Greyed(0.2)],
        [crop(0.08), BYOL, Greyed(0.2), Solarized(0.2)],
    ],
    ("jigsaw", 32): [
        [crop(0.2), MOCO, Greyed(0.2)],
        [crop(0.6), MOCO, Greyed(0.2), jigsaw.puzzle],
    ],
}


@pytest.mark.parametrize("key", EXPECTED, ids=str)
def test_views_are_those_of_the_papers(key):
    assert list(map(parts, self_supervised.two_views(*key))) == EXPECTED[key]
    unflipped = self_supervised.two_views(*key, flip=False)
    assert [parts(view)[0].flip for view in unflipped] == [False, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: self_supervised.two_views("swav", 32),
            "simclr_pair, moco_v2_pair, byol_pair, jigsaw.*'swav'",
        ),
        (lambda: self_supervised.two_views("jigsaw", 5), "at least 6 pixels a side; received 5"),
        (lambda: jigsaw.puzzle(tf.zeros([1, 9, 5, 3], tf.uint8), draws(1)), "6x6.*9x5"),
        (lambda: ColorJitter(hue=0.6), "hue must be a number from 0 to 0.5; received 0.6"),
        (lambda: ColorJitter(contrast=-1), "contrast must be a number at least 0; received -1"),
        (lambda: Blurred(1.5), "probability must be a number from 0 to 1; received 1.5"),
        (lambda: Greyed(None), "probability.*received None"),
        (lambda: Solarized(float("nan")), "probability.*received nan"),
        (lambda: policies.ResizedCrop(area=(0.5, 0.2)), r"rising shares.*\(0.5, 0.2\)"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
