"""Numbers about a network's answers, by hand."""

import json

import numpy as np
import tensorflow as tf

import mpl_tf
from mpl_tf import evaluation

PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.0, 0.9, 0.1]])
LABELS = np.array([0, 0, 2, 2])


def test_accuracy_and_confusion():
    assert evaluation.accuracy(PROBS, LABELS) == 0.5
    expected = [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    np.testing.assert_array_equal(evaluation.confusion_matrix(PROBS, LABELS), expected)


def test_most_wrong_puts_the_worst_first():
    assert list(evaluation.most_wrong(PROBS, np.array([1, 0, 0, 0]), 5)) == [3, 1, 0, 2]
    assert list(evaluation.most_wrong(PROBS, LABELS, 1)) in ([1], [3])
    assert len(evaluation.most_wrong(PROBS, np.array([0, 1, 2, 1]), 5)) == 0


def test_probabilities_do_not_depend_on_the_batch(rng):
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1))
    images = rng.integers(0, 256, (10, 4, 4, 1)).astype(np.uint8)
    pairs = tf.data.Dataset.from_tensor_slices((images, np.zeros(10, np.int64)))
    a, b = (evaluation.probabilities(network, pairs.batch(size)) for size in (3, 10))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(a.sum(axis=1), 1, rtol=1e-5)


def test_the_digest_sees_every_bit():
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=1)
    same = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=1)
    digest = evaluation.weights_digest({"a": network})
    assert digest == evaluation.weights_digest({"a": same})
    assert digest != evaluation.weights_digest({"b": network})
    weights = same.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], 1, dtype=np.float32)
    same.set_weights(weights)
    assert digest != evaluation.weights_digest({"a": same})


def test_top_k_counts_how_many_are_above_the_truth():
    labels = np.array([0, 0, 2, 0])  # none above, one, none, two
    found = [evaluation.top_k_accuracy(PROBS, labels, k) for k in (1, 2, 3)]
    assert found == [0.5, 0.75, 1.0]


def test_class_accuracy_knows_what_is_not_there():
    np.testing.assert_array_equal(evaluation.class_accuracy(PROBS, LABELS), [0.5, np.nan, 0.5])


def test_calibration_error_by_hand():
    # Confidences 0.7, 0.8, 0.4, 0.9; right are the first and the third.
    counts, confidence, hits = evaluation.reliability(PROBS, LABELS, bins=2)
    assert list(counts) == [1, 3]
    np.testing.assert_allclose(confidence, [0.4, 0.8])
    np.testing.assert_allclose(hits, [1, 1 / 3])
    expected = 1 / 4 * 0.6 + 3 / 4 * (0.8 - 1 / 3)
    assert abs(evaluation.calibration_error(PROBS, LABELS, bins=2) - expected) < 1e-12


def test_a_sure_and_right_classifier_is_calibrated():
    probs = np.eye(3)[[0, 1, 2, 0]]
    assert evaluation.calibration_error(probs, np.array([0, 1, 2, 0])) == 0
    assert evaluation.calibration_error(probs, np.array([1, 2, 0, 1])) == 1
    counts, _, _ = evaluation.reliability(probs, LABELS)
    assert counts[-1] == 4 and len(counts) == 15


def test_real_labels_by_hand():
    real = [[0, 1], [], [1], [2, 1]]  # right, left out, wrong, right
    assert evaluation.real_accuracy(PROBS, real) == (2 / 3, 3)
    accuracy, count = evaluation.real_accuracy(PROBS, [[]] * 4)
    assert np.isnan(accuracy) and count == 0


def test_measure_is_json():
    found = evaluation.measure(PROBS, LABELS, ["a", "b", "c"])
    assert json.loads(json.dumps(found)) == found
    assert found["class_accuracy"] == {"a": 0.5, "b": None, "c": 0.5}
    assert found["top_5_accuracy"] is None
    many = np.eye(6)
    assert evaluation.measure(many, np.arange(6), list("abcdef"))["top_5_accuracy"] == 1
