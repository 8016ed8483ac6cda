"""How much labeled images count in a loss, by their class."""

import math
import numbers
from collections.abc import Mapping
from typing import Any, final

import numpy as np

from mpl_tf.options import ConfigError

_BALANCED = "balanced"


def as_text(class_weight: Any) -> str:
    """The text by which an option holds weights of classes.

    >>> as_text({0: 1, 3: 2.5}), as_text(" 3:2.5,0:1"), as_text("balanced"), as_text(None)
    ('0:1.0,3:2.5', '0:1.0,3:2.5', 'balanced', '')

    Args:
      class_weight: dict of class id -> weight, as Keras takes it; the same as text; "balanced";
        or None or "" for no weights.

    Raises:
      ConfigError: it is none of these, or a weight is negative or not finite, or none is above 0.
    """
    if class_weight is None:
        return ""
    if isinstance(class_weight, str):
        if class_weight in ("", _BALANCED):
            return class_weight
        pairs = [pair.split(":") for pair in class_weight.split(",")]
        try:
            weights: Mapping[Any, Any] = {int(label): float(weight) for label, weight in pairs}
        except ValueError as error:
            raise _refusal(class_weight) from error
        if len(weights) < len(pairs):
            raise _refusal(class_weight)
    elif isinstance(class_weight, Mapping):
        weights = class_weight
    else:
        raise _refusal(class_weight)
    if not weights or not all(_is_id(k) and _is_weight(v) for k, v in weights.items()):
        raise _refusal(class_weight)
    return ",".join(f"{int(k)}:{float(v)!r}" for k, v in sorted(weights.items()))


def _is_id(label):
    return isinstance(label, numbers.Integral) and int(label) >= 0


def _is_weight(weight):
    return isinstance(weight, numbers.Real) and 0 <= float(weight) < math.inf


def _refusal(class_weight):
    return ConfigError(
        "class_weight must be 'balanced', or ids of classes with weights of at least 0: a dict "
        "such as {0: 1.0, 3: 2.5} in Python, 0:1,3:2.5 as a flag; classes that it leaves out have "
        f"weight 1. Received {class_weight!r}."
    )


def class_counts(data: Any, option: str, num_classes: int, remedy: str = "") -> np.ndarray:
    """How many labels of each class training data has.

    Args:
      data: with an attribute `class_counts`, integers, labels of each class; `mpl_tf.data.pair`
        makes it of arrays and folders.
      option: that needs them, for the message.
      num_classes: K.
      remedy: what to do instead, for the message.

    Returns:
      float64 [K].

    Raises:
      ConfigError: the data does not say so.
    """
    labels = getattr(data, "class_counts", None)
    if labels is None:
        raise ConfigError(
            f"{option} needs data that knows its labels, as mpl_tf.data.pair makes it of arrays "
            f"and folders.{remedy}"
        )
    counts = np.zeros(num_classes)
    counts[: len(labels)] = labels
    return counts


@final
class ClassWeights:
    """The weights of the classes of one method.

    Args:
      text: as `as_text` gives it.
      num_classes: K.

    Raises:
      ConfigError: a class does not exist, or all weights are 0.
    """

    def __init__(self, text: str = "", num_classes: int = 0):
        self._array: np.ndarray | None = None
        self._balanced = text == _BALANCED
        if text and not self._balanced:
            self._array = np.ones(num_classes)
            for pair in text.split(","):
                label, weight = pair.split(":")
                if int(label) >= num_classes:
                    raise ConfigError(
                        f"class_weight must name classes from 0 to {num_classes - 1}; received "
                        f"{label}."
                    )
                self._array[int(label)] = float(weight)
            if not self._array.any():
                raise ConfigError("class_weight must be above 0 for some class; all are 0.")

    @property
    def array(self) -> np.ndarray | None:
        """float64 [K]; None if all labels count alike.

        Raises:
          ConfigError: weights are balanced by labels that `follow` has not seen yet.
        """
        if self._balanced and self._array is None:
            raise ConfigError("class_weight=balanced is known in `fit` alone, of its data.")
        return self._array

    def follow(self, data: Any, num_classes: int) -> bool:
        """Balances the weights by the labels of training data, where that is asked for.

        A class of n labels has the weight labels / (classes with labels * n): each counts alike in
        the mean over all labels, which stays as large as without weights.

        Args:
          data: with an attribute `class_counts`, integers, labels of each class; `mpl_tf.data.pair`
            makes it of arrays and folders.
          num_classes: K.

        Returns:
          Whether the weights are others now.

        Raises:
          ConfigError: the data does not say how many labels its classes have.
        """
        if not self._balanced:
            return False
        remedy = " For other data give the weights themselves: class_weight={class id: weight}."
        counts = class_counts(data, "class_weight=balanced", num_classes, remedy)
        weights = np.ones(num_classes)
        present = np.flatnonzero(counts)
        weights[present] = counts.sum() / (len(present) * counts[present])
        changed = self._array is None or not np.array_equal(weights, self._array)
        self._array = weights
        return changed
