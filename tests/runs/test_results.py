"""What the end of a run computes of its networks."""

import numpy as np
import tensorflow as tf

import mpl_tf
from mpl_tf.runs import results


def test_probabilities_do_not_depend_on_the_batch(rng):
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1))
    images = rng.integers(0, 256, (10, 4, 4, 1)).astype(np.uint8)
    pairs = tf.data.Dataset.from_tensor_slices((images, np.zeros(10, np.int64)))
    a, b = (results.probabilities(network, pairs.batch(size)) for size in (3, 10))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(a.sum(axis=1), 1, rtol=1e-5)


def test_the_digest_sees_every_bit():
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=1)
    same = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=1)
    digest = results.weights_digest({"a": network})
    assert digest == results.weights_digest({"a": same})
    assert digest != results.weights_digest({"b": network})
    weights = same.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], 1, dtype=np.float32)
    same.set_weights(weights)
    assert digest != results.weights_digest({"a": same})
