"""Numbers about a network's answers, by hand."""

import json

import numpy as np

from mpl_tf.formulas import measures

PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.0, 0.9, 0.1]])
LABELS = np.array([0, 0, 2, 2])


def test_accuracy_and_confusion():
    assert measures.accuracy(PROBS, LABELS) == 0.5
    expected = [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    np.testing.assert_array_equal(measures.confusion_matrix(PROBS, LABELS), expected)


def test_most_wrong_puts_the_worst_first():
    assert list(measures.most_wrong(PROBS, np.array([1, 0, 0, 0]), 5)) == [3, 1, 0, 2]
    assert list(measures.most_wrong(PROBS, LABELS, 1)) in ([1], [3])
    assert len(measures.most_wrong(PROBS, np.array([0, 1, 2, 1]), 5)) == 0


def test_top_k_counts_how_many_are_above_the_truth():
    labels = np.array([0, 0, 2, 0])  # none above, one, none, two
    shares = [measures.top_k_accuracy(PROBS, labels, k) for k in (1, 2, 3)]
    assert shares == [0.5, 0.75, 1.0]


def test_an_answer_without_an_order_has_the_truth_nowhere_in_its_top():
    constant, labels = np.full((6, 6), 1 / 6), np.arange(6)
    assert measures.top_k_accuracy(constant, labels, 5) == 5 / 6
    assert measures.top_k_accuracy(constant, labels, 1) == measures.accuracy(constant, labels)
    nan = np.full((6, 6), np.nan)
    assert measures.top_k_accuracy(nan, labels, 5) == measures.accuracy(nan, labels) == 0
    saturated = np.eye(6)[[0, 0, 0]]  # the truth, if another class, has 0 as all the others
    assert measures.top_k_accuracy(saturated, np.array([0, 1, 5]), 3) == 2 / 3


def test_class_accuracy_knows_what_is_not_there():
    np.testing.assert_array_equal(measures.class_accuracy(PROBS, LABELS), [0.5, np.nan, 0.5])


def test_calibration_error_by_hand():
    # Confidences 0.7, 0.8, 0.4, 0.9; right are the first and the third.
    counts, confidence, hits = measures.reliability(PROBS, LABELS, bins=2)
    assert list(counts) == [1, 3]
    np.testing.assert_allclose(confidence, [0.4, 0.8])
    np.testing.assert_allclose(hits, [1, 1 / 3])
    expected = 1 / 4 * 0.6 + 3 / 4 * (0.8 - 1 / 3)
    assert abs(measures.calibration_error(PROBS, LABELS, bins=2) - expected) < 1e-12


def test_a_sure_and_right_classifier_is_calibrated():
    probs = np.eye(3)[[0, 1, 2, 0]]
    assert measures.calibration_error(probs, np.array([0, 1, 2, 0])) == 0
    assert measures.calibration_error(probs, np.array([1, 2, 0, 1])) == 1
    counts, _, _ = measures.reliability(probs, LABELS)
    assert counts[-1] == 4 and len(counts) == 15


def test_real_labels_by_hand():
    real = [[0, 1], [], [1], [2, 1]]  # right, left out, wrong, right
    assert measures.real_accuracy(PROBS, real) == (2 / 3, 3)
    assert measures.real_accuracy(PROBS, [[]] * 4) == (None, 0)  # JSON has no NaN


def test_measure_is_json():
    result = measures.measure(PROBS, LABELS, ["a", "b", "c"])
    assert json.loads(json.dumps(result)) == result
    assert result["class_accuracy"] == {"a": 0.5, "b": None, "c": 0.5}
    assert result["top_5_accuracy"] is None
    many = np.eye(6)
    assert measures.measure(many, np.arange(6), list("abcdef"))["top_5_accuracy"] == 1
