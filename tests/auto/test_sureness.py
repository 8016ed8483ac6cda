"""Calibration on held-out images, by temperatures that have not seen them."""

import numpy as np
import pytest

from mpl_tf.auto import sureness
from mpl_tf.formulas import calibration, measures


def test_each_fold_has_the_temperature_of_the_others(rng):
    labels = np.arange(300) % 3
    logits = 6 * (np.eye(3)[labels] + 0.8 * rng.normal(size=(300, 3)))
    folds = np.arange(300) % 5
    measured = sureness.measure(logits, labels, folds, 0)
    assert measured["images"] == 300
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
    assert sureness.fit(logits, labels) == own
    assert measured["cross_entropy_after"] > calibration.cross_entropy(logits, labels, own)
    line = sureness.text(measured, own)
    assert f"({own:.3g} in the export)" in line and "300 held-out images" in line


@pytest.mark.parametrize("folds", [None, np.array([0, 1] * 10)])
def test_images_that_determine_no_temperature_are_left_as_they_are(folds):
    labels = np.arange(20) % 2
    measured = sureness.measure(4.0 * np.eye(2)[labels], labels, folds, 0)
    assert measured["error_after"] == measured["error_before"]
    assert sureness.measure(np.zeros([0, 2]), labels[:0], None, 0) is None
