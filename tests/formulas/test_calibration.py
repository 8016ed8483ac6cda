"""The temperature is the minimum, and changes no answer."""

import numpy as np
import pytest
from scipy import optimize

from mpl_tf.formulas import calibration, measures


def samples(rng, factor, count=4000, classes=5):
    """Logits of a calibrated classifier times a factor, and labels drawn by its probabilities."""
    logits = 2 * rng.normal(size=(count, classes))
    cumulative = np.cumsum(calibration.probabilities(logits, 1.0), axis=1)
    labels = np.sum(rng.random((count, 1)) > cumulative, axis=1).clip(max=classes - 1)
    return factor * logits, labels


@pytest.mark.parametrize("factor", [1e-3, 0.5, 1, 3, 1e4])
def test_the_factor_of_a_calibrated_classifier_is_found(rng, factor):
    logits, labels = samples(rng, factor)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(factor, rel=0.05)


def test_it_is_the_minimum(rng):
    logits, labels = samples(rng, 3, count=50)
    temperature = calibration.fit_temperature(logits, labels)
    least = optimize.minimize_scalar(
        lambda log: calibration.cross_entropy(logits, labels, np.exp(log)), (-3.0, 3.0), tol=1e-12
    )
    assert temperature == pytest.approx(np.exp(least.x), rel=1e-5)
    assert calibration.cross_entropy(logits, labels, temperature) <= least.fun + 1e-12


def test_the_calibration_error_falls_on_other_images(rng):
    logits, labels = samples(rng, 3)
    temperature = calibration.fit_temperature(logits[:2000], labels[:2000])
    before, after = (
        measures.calibration_error(calibration.probabilities(logits[2000:], t), labels[2000:])
        for t in (1.0, temperature)
    )
    assert before > 0.1 and after < 0.04


@pytest.mark.parametrize("temperature", [0.03, 0.7, 1.0, 4.0, 40.0])
def test_the_order_of_the_classes_is_the_same_at_every_temperature(rng, temperature):
    logits = rng.normal(size=(1000, 7)).astype(np.float32)
    probs = calibration.probabilities(logits, temperature)
    np.testing.assert_array_equal(np.argsort(probs, axis=1), np.argsort(logits, axis=1))
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        ([[2.0, 1.0], [0.0, 3.0]], [0, 1], 0.0),  # all right: the surer, the better
        ([[2.0, 1.0], [0.0, 3.0]], [1, 0], np.inf),  # all wrong
        ([[1.0, 1.0]], [0], np.inf),  # it says nothing
        ([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]], [0, 2], np.inf),  # no better than chance
        ([[0.0, 1e-9], [1.0, 0.0]], [0, 0], 1 / np.log(1e9)),  # nearly right; about
    ],
)
def test_where_there_is_no_minimum_the_limit_is_told(logits, labels, expected):
    temperature = calibration.fit_temperature(np.array(logits), np.array(labels))
    assert temperature == pytest.approx(expected, rel=0.1)


def test_constants_that_logits_share_do_not_matter(rng):
    logits, labels = samples(rng, 2, count=100)
    shifted = logits + 1e3 * rng.normal(size=(100, 1))
    expected = calibration.fit_temperature(logits, labels)
    assert calibration.fit_temperature(shifted, labels) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(value):
    with pytest.raises(ValueError, match="finite"):
        calibration.fit_temperature(np.array([[value, 0.0]]), np.array([0]))


@pytest.mark.parametrize(
    ("logits", "labels", "reason"),
    [
        (np.zeros((0, 3)), [], "there are no images"),
        ([[1.0, np.nan]], [0], "no finite numbers"),
        ([[1.0, 0.0]], [0], "all 1 images to fit it on are answered right"),
        ([[1.0, 0.0], [1.0, 0.0]], [0, 1], "no better than by chance"),
    ],
)
def test_images_that_determine_no_temperature_leave_it_at_1(logits, labels, reason):
    temperature, words = calibration.determined_temperature(np.array(logits), np.array(labels, int))
    assert temperature == 1 and reason in words
