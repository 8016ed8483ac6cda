"""RandAugment against Pillow and its paper's numbers; then what holds for AutoAugment too."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from mpl_tf.augment import randaugment
from mpl_tf.augment.autoaugment import AutoAugment
from mpl_tf.augment.draws import Draws
from mpl_tf.augment.randaugment import RandAugment
from mpl_tf.options import ConfigError

SEED = tf.constant([5, 6], tf.int64)
POLICIES = [
    RandAugment(),
    RandAugment(layers=3, magnitude=4.5),
    *(AutoAugment(name) for name in ("cifar10", "imagenet")),
]


def pictures(count, size=16, channels=3):
    """uint8 [N, size, size, C], smooth with some noise, of less than full contrast."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(30, 200, (count, -(-size // 4), -(-size // 4), channels))
    smooth = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :size, :size]
    return (smooth + rng.integers(0, 30, (count, size, size, channels))).astype(np.uint8)


def pillow(channels):
    """The 14 operations without Cutout at magnitude 16 on 32 pixels, by hand: {name: functions}.

    Those with a sign have a function for each.
    """
    grey = 128 if channels == 1 else (128,) * 3
    affine = Image.Transform.AFFINE

    def moved(matrix):
        return [
            lambda x, s=s: x.transform(x.size, affine, matrix(float(s)), fillcolor=grey)
            for s in (-1, 1)
        ]

    enhancers = ("Color", "Contrast", "Brightness", "Sharpness")
    return {
        "AutoContrast": [ImageOps.autocontrast],
        "Equalize": [ImageOps.equalize],
        "Invert": [ImageOps.invert],
        "Rotate": [lambda x, d=d: x.rotate(d, fillcolor=grey) for d in (-48, 48)],
        "Posterize": [lambda x: ImageOps.posterize(x, 6)],
        "Solarize": [lambda x: ImageOps.solarize(x, 153)],
        **{e: [lambda x, e=e: getattr(ImageEnhance, e)(x).enhance(2.98)] for e in enhancers},
        "ShearX": moved(lambda s: (1, 0.48 * s, 0, 0, 1, 0)),
        "ShearY": moved(lambda s: (1, 0, 0, 0.48 * s, 1, 0)),
        "TranslateX": moved(lambda s: (1, 0, 6 * s, 0, 1, 0)),
        "TranslateY": moved(lambda s: (1, 0, 0, 0, 1, 6 * s)),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_one_layer_is_one_of_pillows_operations_as_often_as_it_should_be(channels):
    count = 3000
    image = pictures(1, 32, channels)[0]
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    shares = collections.Counter({image.tobytes(): 0.5})
    for functions in pillow(channels).values():
        for function in functions:
            shares[np.asarray(function(picture)).tobytes()] += 0.5 / 15 / len(functions)
    assert len(shares) == 19 + channels // 3  # Color does nothing to grey images

    policy = RandAugment(layers=1, magnitude=16)
    results = policy(tf.constant(np.repeat(image[None], count, 0)), Draws(SEED, count)).numpy()
    counts = collections.Counter(result.tobytes() for result in results)
    for outcome, share in shares.items():
        assert counts[outcome] == pytest.approx(count * share, abs=5 * (count * share) ** 0.5)

    cut = [result for result in results if result.tobytes() not in shares]
    assert len(cut) == pytest.approx(count / 30, abs=50)
    for result in cut:  # a square of 12 pixels, or what of it lies in the image
        rows, columns = np.nonzero((result != image).any(-1))
        for span in (rows, columns):
            length = span.max() - span.min() + 1
            assert length == 12 or (6 <= length < 12 and (span.min() == 0 or span.max() == 31))
        square = result[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (square == 128).all()


def test_levels_by_hand():
    # The recipe of CIFAR-10: L = 16, an eighth of 32 pixels.
    expected = {
        "AutoContrast": 0,
        "Equalize": 0,
        "Invert": 0,
        "Rotate": 48,
        "Posterize": 6,  # 6.4
        "Solarize": 153,  # 409.6, less 256
        "Color": 2.98,
        "Contrast": 2.98,
        "Brightness": 2.98,
        "Sharpness": 2.98,
        "ShearX": 0.48,
        "ShearY": 0.48,
        "TranslateX": 6.4,
        "TranslateY": 6.4,
        "Cutout": 6,  # 6.4
    }
    assert randaugment.levels(16, translate=4, cutout=4) == pytest.approx(expected)
    assert set(expected) == set(randaugment.NAMES)
    # ImageNet: L = 17, 100 and 40 pixels.
    imagenet = randaugment.levels(17, translate=100, cutout=40)
    picked = [imagenet[name] for name in ("Rotate", "Posterize", "Solarize", "Color", "ShearX")]
    assert picked == pytest.approx([51, 6, 179, 3.16, 0.51])
    assert (imagenet["TranslateX"], imagenet["Cutout"]) == (170, 68)
    ten = randaugment.levels(10, 4, 4)
    picked = [ten[name] for name in ("Rotate", "Posterize", "Solarize", "Color")]
    assert picked == pytest.approx([30, 4, 0, 1.9])
    # Whole bits, 1 to 8.
    bits = [randaugment.levels(m, 4, 4)["Posterize"] for m in (0, 2, 5, 7.5, 20, 30)]
    assert bits == [1, 1, 2, 3, 8, 8]
    assert randaugment.levels(5, 4, 4)["Solarize"] == 128


def test_the_layers_of_an_image_share_their_probability():
    count = 8000
    images = tf.constant(np.repeat(pictures(1, 17), count, 0))
    results = RandAugment()(images, Draws(SEED, count)).numpy()
    unchanged = (results == images[:1].numpy()).all((1, 2, 3)).mean()
    # E[(1 - p)**2] of p uniform in [0.2, 0.8] is 0.28; were p drawn for each layer, 0.25.
    assert unchanged == pytest.approx(0.28, abs=0.015)


def test_translation_and_cutout_can_be_set():
    images = tf.constant(pictures(600, 16))
    far = RandAugment(layers=1, magnitude=10, translate=16)(images, Draws(SEED, 600))
    assert 20 < np.all(far == 128, axis=(1, 2, 3)).sum() < 60  # 2 of 15 operations, half of 600
    wide = RandAugment(layers=1, magnitude=10, cutout=16)(images, Draws(SEED, 600))
    assert 8 < np.all(wide == 128, axis=(1, 2, 3)).sum() < 35  # 1 of 15


def test_a_greater_magnitude_changes_more():
    images = pictures(300)

    def change(magnitude):
        result = RandAugment(magnitude=magnitude)(tf.constant(images), Draws(SEED, 300)).numpy()
        return np.abs(result.astype(int) - images).mean()

    assert change(8) < change(16) < change(28)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers must be an integer of at least 1; received 0"),
        ({"layers": 1.5}, "layers must be an integer"),
        ({"magnitude": -1}, "magnitude must be a number of at least 0; received -1"),
        ({"magnitude": "16"}, "magnitude must be a number of at least 0; received '16'"),
        ({"magnitude": None}, "magnitude must be"),
        ({"translate": -0.5}, "translate must be"),
        ({"cutout": float("nan")}, "cutout must be a number of at least 0; received nan"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        RandAugment(**settings)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_policy_is_a_function_of_its_draws(policy):
    images = tf.constant(pictures(24))
    one = policy(images, Draws(SEED, 24))
    assert one.dtype == tf.uint8 and one.shape == images.shape
    np.testing.assert_array_equal(policy(images, Draws(SEED, 24)), one)
    assert not np.array_equal(policy(images, Draws(SEED + 1, 24)), one)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_halves_equal_the_whole(policy):
    images = tf.constant(pictures(24))
    whole = policy(images, Draws(SEED, 24))
    halves = [policy(images[i : i + 12], Draws(SEED, 24, i, 12)) for i in (0, 12)]
    np.testing.assert_array_equal(tf.concat(halves, 0), whole)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_an_image_does_not_depend_on_the_others(policy):
    images = pictures(24)
    others = 255 - images
    others[5] = images[5]
    results = [policy(tf.constant(x), Draws(SEED, 24)) for x in (images, others)]
    np.testing.assert_array_equal(results[0][5], results[1][5])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_batch_may_be_grey_or_empty(policy, channels):
    images = tf.constant(pictures(10, 9, channels))
    assert not np.array_equal(policy(images, Draws(SEED, 10)), images)
    assert policy(images[:0], Draws(SEED, 10, 3, 0)).shape == (0, 9, 9, channels)


@pytest.mark.parametrize(("policy", "channels"), [(POLICIES[0], 3), (POLICIES[2], 1)], ids=str)
def test_a_data_pipeline_with_batches_of_unknown_size_gives_the_same(policy, channels):
    images = pictures(10, 9, channels)

    def view(step, batch):
        return policy(batch, Draws(tf.stack([step, step]), 6, 0, tf.shape(batch)[0]))

    data = tf.data.Dataset.from_tensor_slices(images).batch(6)  # 6 and 4: unknown statically
    data = tf.data.Dataset.zip(tf.data.Dataset.range(9), data).map(view, num_parallel_calls=2)
    assert data.element_spec.shape.as_list() == [None, 9, 9, channels]
    for step, result in enumerate(data):
        batch = tf.constant(images[6 * step : 6 * step + 6])
        np.testing.assert_array_equal(result, view(tf.constant(step, tf.int64), batch))
