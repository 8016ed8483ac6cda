"""Numbers about a network's answers, by hand."""

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
