"""The temperature of a network, fitted on images that it was not trained on."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.formulas import calibration

# Temperatures by which float32 can divide logits.
_LEAST, _GREATEST = 1e-6, 1e6


def logits(network: keras.Model, batches: Iterable[tf.Tensor]) -> np.ndarray:
    """Logits of a network, not in training mode, float32 [N, ..., K].

    Args:
      network: images -> logits.
      batches: of images.
    """
    # Not network.predict, in which all workers of a strategy would have to take part.
    run = tf.function(lambda images: network(images, training=False))
    return tf.concat([tf.cast(run(images), tf.float32) for images in batches], 0).numpy()


def fit(logits: np.ndarray, labels: np.ndarray) -> tuple[float, str]:
    """The temperature of logits; see `formulas.calibration.fit_temperature`.

    Args:
      logits: floating [N, K], of images that the network was not trained on.
      labels: integer [N].

    Returns:
      (temperature, reason): where the images determine none, 1 and why, in words that continue
      "the temperature stays 1:"; else the reason is "".
    """
    if not len(labels):
        return 1.0, "there are no images to fit it on"
    if not np.all(np.isfinite(logits)):
        return 1.0, "some logits are no finite numbers"
    value = calibration.fit_temperature(logits, labels)
    if value < _LEAST:
        return 1.0, f"all {len(labels)} images to fit it on are answered right"
    if value > _GREATEST:
        return 1.0, f"the {len(labels)} images to fit it on are answered no better than by chance"
    return value, ""
