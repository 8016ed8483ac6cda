"""The logits of a network, on which a temperature is fitted."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf


def logits(network: keras.Model, batches: Iterable[tf.Tensor]) -> np.ndarray:
    """Logits of a network, not in training mode, float32 [N, ..., K].

    Args:
      network: images -> logits.
      batches: of images.
    """
    # Not network.predict, in which all workers of a strategy would have to take part.
    run = tf.function(lambda images: network(images, training=False))
    return tf.concat([tf.cast(run(images), tf.float32) for images in batches], 0).numpy()
