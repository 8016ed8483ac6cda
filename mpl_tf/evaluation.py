"""What a trained network gets right and wrong."""

import hashlib

import numpy as np
import tensorflow as tf


def probabilities(network, data):
    """Class probabilities of a network of logits.

    Args:
      network: keras.Model, images -> logits [N, K].
      data: tf.data.Dataset of (images, labels) batches.

    Returns:
      float32 numpy array [N, K].
    """
    logits = network.predict(data.map(lambda images, labels: images), verbose=0)
    return tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()


def accuracy(probs, labels):
    """Share of rows of `probs` [N, K] whose largest entry is at `labels` [N]; a float."""
    return float(np.mean(np.argmax(probs, axis=-1) == labels))


def confusion_matrix(probs, labels):
    """Counts [K, K]: row true class, column predicted class.

    Args:
      probs: array [N, K].
      labels: integer array [N].
    """
    classes = probs.shape[-1]
    flat = labels * classes + np.argmax(probs, axis=-1)
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def most_wrong(probs, labels, count):
    """Positions of wrongly classified rows, least probability of the truth first.

    Args:
      probs: array [N, K].
      labels: integer array [N].
      count: int, how many at most.

    Returns:
      integer array.
    """
    of_truth = probs[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(np.argmax(probs, axis=-1) != labels)
    return wrong[np.argsort(of_truth[wrong], kind="stable")][:count]


def weights_digest(networks):
    """SHA-256 over all weights of some networks, in a fixed order; equal for equal bits.

    Args:
      networks: dict of name -> keras.Model.

    Returns:
      str, hexadecimal.
    """
    digest = hashlib.sha256()
    for name in sorted(networks):
        digest.update(name.encode())
        for weight in networks[name].get_weights():
            digest.update(str((weight.dtype, weight.shape)).encode())
            digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
