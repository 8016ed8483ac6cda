"""AutoAugment's tables and levels; tests/augment/test_randaugment.py tests it as a policy."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from mpl_tf.augment import autoaugment, operations
from mpl_tf.augment.autoaugment import AutoAugment
from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

GREY = (128, 128, 128)
GEOMETRIC = {
    "ShearX": lambda v: (1, v, 0, 0, 1, 0),
    "ShearY": lambda v: (1, 0, 0, v, 1, 0),
    "TranslateX": lambda v: (1, 0, v, 0, 1, 0),
    "TranslateY": lambda v: (1, 0, 0, 0, 1, v),
}


def applied(name, picture, magnitude):
    """What Pillow makes of a 32-pixel picture: one result, or one for each sign."""
    value = float(np.float32(autoaugment.level(name, magnitude, 150 / 331 * 32)))
    if name == "Rotate":
        return [picture.rotate(v, fillcolor=GREY) for v in (-value, value)]
    if name in GEOMETRIC:
        affine = Image.Transform.AFFINE
        return [
            picture.transform(picture.size, affine, GEOMETRIC[name](v), fillcolor=GREY)
            for v in (-value, value)
        ]
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return [getattr(ImageEnhance, name)(picture).enhance(value)]
    function = getattr(ImageOps, name.lower())
    return [
        function(picture, int(value)) if name in ("Posterize", "Solarize") else function(picture)
    ]


def outcomes(policy, picture):
    """Probability of every result of a policy, by enumeration: Counter of bytes."""
    shares = collections.Counter()
    for first, second in autoaugment.sub_policies(policy):
        middle = [(picture, (1 - first[1]) / 25)]
        results = applied(first[0], picture, first[2])
        middle += [(result, first[1] / 25 / len(results)) for result in results]
        for step, share in middle:
            shares[np.asarray(step).tobytes()] += share * (1 - second[1])
            results = applied(second[0], step, second[2])
            for result in results:
                shares[np.asarray(result).tobytes()] += share * second[1] / len(results)
    return shares


@pytest.mark.parametrize("policy", ["cifar10", "svhn", "imagenet"])
def test_a_policys_results_are_pillows_as_often_as_its_table_says(policy):
    count = 4000
    rng = np.random.default_rng(7)
    image = rng.integers(30, 200, (8, 8, 3)).repeat(4, axis=0).repeat(4, axis=1)
    image = (image + rng.integers(0, 30, image.shape)).astype(np.uint8)
    shares = outcomes(policy, Image.fromarray(image))
    assert sum(shares.values()) == pytest.approx(1)
    images = tf.constant(np.repeat(image[None], count, 0))
    results = AutoAugment(policy)(images, Draws(tf.constant([1, 2], tf.int64), count)).numpy()
    counts = collections.Counter(result.tobytes() for result in results)
    assert set(counts) <= {result for result, share in shares.items() if share > 0}
    for result, share in shares.items():
        expected = count * share
        assert counts[result] == pytest.approx(expected, abs=5 * expected**0.5 + 3)


def test_the_tables_are_the_papers():
    names = set(operations.OPERATIONS) - {"Cutout"}
    for policy in autoaugment.POLICIES:
        table = autoaugment.sub_policies(policy)
        assert len(table) == 25
        for name, probability, magnitude in (op for pair in table for op in pair):
            assert name in names and 0 <= probability <= 1 and 0 <= magnitude <= 9
    cifar, svhn, imagenet = map(autoaugment.sub_policies, ("cifar10", "svhn", "imagenet"))
    assert cifar[0] == (("Invert", 0.1, 7), ("Contrast", 0.2, 6))
    assert cifar[21] == (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9))
    assert svhn[18] == (("ShearY", 0.3, 7), ("TranslateX", 0.9, 3))
    assert svhn[24] == (("ShearX", 0.7, 2), ("Invert", 0.1, 5))
    assert imagenet[0] == (("Posterize", 0.4, 8), ("Rotate", 0.6, 9))
    assert imagenet[18] == (("ShearX", 0.6, 5), ("Equalize", 1.0, 9))
    # Counted and added up by hand, magnitudes without those that mean nothing.
    idle = ("AutoContrast", "Equalize", "Invert")
    for table, counts, probabilities, magnitudes in (
        (cifar, (9, 3, 1), (13.4, 13.1), (90, 97)),
        (svhn, (6, 12, 4), (18.1, 14.8), (85, 58)),
        (imagenet, (17, 3, 6), (13.8, 17.2), (89, 70)),
    ):
        names = [name for pair in table for name, _, _ in pair]
        assert tuple(map(names.count, ("Equalize", "Invert", "Rotate"))) == counts
        for stage in range(2):
            column = [pair[stage] for pair in table]
            assert sum(p for _, p, _ in column) == pytest.approx(probabilities[stage])
            assert sum(m for name, _, m in column if name not in idle) == magnitudes[stage]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Rotate", [0, 20, 30]),
        ("ShearX", [0, 0.2, 0.3]),
        ("ShearY", [0, 0.2, 0.3]),
        ("TranslateX", [0, 30, 45]),
        ("TranslateY", [0, 30, 45]),
        ("Posterize", [8, 5, 4]),  # 8 - 2.67 at magnitude 6
        ("Solarize", [256, 86, 0]),  # 85.3
        ("Color", [0.1, 1.3, 1.9]),
        ("Contrast", [0.1, 1.3, 1.9]),
        ("Brightness", [0.1, 1.3, 1.9]),
        ("Sharpness", [0.1, 1.3, 1.9]),
        ("Equalize", [0, 0, 0]),
    ],
)
def test_levels_by_hand(name, values):
    levels = [autoaugment.level(name, magnitude, translate=45) for magnitude in (0, 6, 9)]
    assert levels == pytest.approx(values)


def test_translations_are_a_share_of_the_side_unless_given(monkeypatch):
    row = "TranslateX 1.0 9  Invert 0.0 0\n"
    monkeypatch.setitem(autoaugment.POLICIES, "svhn", row)
    images = tf.fill([20, 10, 10, 1], tf.constant(9, tf.uint8))

    def grey(policy):
        result = policy(images, Draws(tf.constant([1, 2], tf.int64), 20))
        return (np.asarray(result) == 128).mean()

    assert grey(AutoAugment("svhn")) == pytest.approx(0.5)  # 150 / 331 of 10 is 4.5
    assert grey(AutoAugment("svhn", translate=2)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "cifar"}, "one of cifar10, svhn, imagenet; received 'cifar'"),
        ({"translate": -1}, "translate must be a number of at least 0; received -1"),
        ({"translate": float("nan")}, "translate must be"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        AutoAugment(**settings)
