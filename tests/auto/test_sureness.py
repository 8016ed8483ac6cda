"""Calibration on held-out images, by temperatures that have not seen them."""

import numpy as np
import pytest

from mpl_tf.auto import sureness
from mpl_tf.formulas import calibration, measures


def test_each_fold_has_the_temperature_of_the_others(rng):
    labels = np.arange(300) % 3
    logits = 6 * (np.eye(3)[labels] + 0.8 * rng.normal(size=(300, 3)))
    folds = np.arange(300) % 5
    value, measured = sureness.choose(logits, labels, folds, 0)
    assert measured["images"] == 300 and not measured["note"]
    assert measured["cross_entropy_after"] < measured["cross_entropy_before"]
    assert measured["error_after"] < measured["error_before"]
    by_hand = logits.copy()
    for fold in range(5):
        others = folds != fold
        by_hand[~others] /= calibration.fit_temperature(logits[others], labels[others])
    assert measured["cross_entropy_after"] == calibration.cross_entropy(by_hand, labels)
    probs = calibration.probabilities(logits, 1.0)
    assert measured["error_before"] == measures.calibration_error(probs, labels)
    own = calibration.fit_temperature(logits, labels)
    assert value == sureness.fit(logits, labels) == own
    assert measured["cross_entropy_after"] > calibration.cross_entropy(logits, labels, own)
    line = sureness.text(measured, own)
    assert line.endswith(f"The export has temperature {own:.3g}.") and "300 held-out" in line


@pytest.mark.parametrize("folds", [None, np.array([0, 1] * 10)])
def test_images_that_determine_no_temperature_are_left_as_they_are(folds):
    labels = np.arange(20) % 2
    value, measured = sureness.choose(4.0 * np.eye(2)[labels], labels, folds, 0)
    assert measured["error_after"] == measured["error_before"] and value == 1
    assert measured["note"].startswith("The temperature stays 1: all 20 images")
    assert sureness.choose(np.zeros([0, 2]), labels[:0], None, 0) == (1.0, None)


def test_a_temperature_that_does_not_help_others_is_not_delivered():
    """As sure as it is right, so that what is fitted is noise."""
    labels = np.arange(40) % 2
    logits = np.where(np.arange(40) % 5 < 4, 1.0, -1.0)[:, None] * (np.eye(2)[labels] - 0.5)
    logits *= np.log(4)
    value, measured = sureness.choose(logits, labels, np.arange(40) // 8, 0)
    assert measured["cross_entropy_after"] >= measured["cross_entropy_before"]
    assert value == 1 and "does not help on images that it has not seen" in measured["note"]
    assert sureness.text(measured, value).endswith(measured["note"])


def test_a_worse_calibration_error_is_said():
    """Of 300 images 270 are right with 90%; the others are surely wrong, which costs entropy."""
    labels = np.zeros(300, np.int64)
    margin = np.full(300, np.log(9))
    margin[::10] = -12.0
    logits = np.stack([margin, np.zeros(300)], axis=1)
    value, measured = sureness.choose(logits, labels, np.arange(300) // 60, 0)
    rise = measured["error_after"] - measured["error_before"]
    assert value > 1 and measured["cross_entropy_after"] < measured["cross_entropy_before"]
    assert rise > 2 * measured["error_noise"] > 0
    assert "worse by the calibration error" in measured["note"]
    assert measured["note"] in sureness.text(measured, value)
