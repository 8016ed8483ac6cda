"""What losses on labels add to logits, by how frequent classes are among the labels."""

from typing import Any, final

import numpy as np
import tensorflow as tf

from mpl_tf.engine.class_weights import class_counts
from mpl_tf.options import ConfigError


@final
class LogitAdjustment:
    """Offsets of logits, of one method (Menon et al. 2021, section 4.2, equation 10).

        offset_k = strength * log(n_k / sum_j n_j),   n_k the labels of class k, at least 1

    A network that learns with `logits + offsets` gives logits of classes that are equally frequent:
    rare ones are predicted as if they were not rare.

    Args:
      strength: at least 0, the paper's tau; 0 adds nothing.
    """

    def __init__(self, strength: float = 0.0):
        self._strength = strength
        self._offsets: np.ndarray | None = None

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        """Logits [B, K] with the offsets.

        Raises:
          ConfigError: `follow` has not seen the labels yet.
        """
        if not self._strength:
            return logits
        if self._offsets is None:
            raise ConfigError("logit_adjustment is known in `fit` alone, of its data.")
        return logits + tf.cast(self._offsets, logits.dtype)

    def follow(self, data: Any, num_classes: int) -> bool:
        """Takes the shares of classes from training data, if something is to be added.

        Args:
          data: with an attribute `class_counts`, integers, labels of each class; `mpl_tf.data.pair`
            makes it of arrays and folders.
          num_classes: K.

        Returns:
          Whether the offsets are others now.

        Raises:
          ConfigError: the data does not say how many labels its classes have.
        """
        if not self._strength:
            return False
        counts = np.maximum(class_counts(data, "logit_adjustment", num_classes), 1)
        offsets = self._strength * np.log(counts / counts.sum())
        changed = self._offsets is None or not np.array_equal(offsets, self._offsets)
        self._offsets = offsets
        return changed
