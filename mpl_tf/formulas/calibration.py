"""Temperature scaling (Guo et al. 2017, section 4.2): pure functions of logits."""

import numpy as np
from scipy import optimize, special

# Temperatures by which float32 can divide logits.
_LEAST, _GREATEST = 1e-6, 1e6


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """`softmax(logits / temperature)`.

    >>> probabilities(np.log([[4.0, 1.0]]), 2.0).round(3).tolist()
    [[0.667, 0.333]]

    Args:
      logits: floating [N, K].
      temperature: greater than 0; the order of the classes does not depend on it.

    Returns:
      float64 [N, K].
    """
    return special.softmax(np.asarray(logits, np.float64) / temperature, axis=-1)


def uncalibrated(probs: np.ndarray, temperature: float) -> np.ndarray:
    """What `probabilities(logits, temperature)` would be at temperature 1.

    >>> uncalibrated(np.array([[2.0, 1.0]]) / 3, 2.0).round(3).tolist()
    [[0.8, 0.2]]

    Args:
      probs: floating [N, K], probabilities at `temperature`.
      temperature: greater than 0.

    Returns:
      float64 [N, K].
    """
    probs = np.asarray(probs, np.float64)
    return special.softmax(temperature * np.log(np.maximum(probs, 1e-300)), axis=-1)


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean of `-log probabilities(logits, temperature)` at the labels, in nats.

    >>> round(cross_entropy(np.array([[3.0, 3.0]]), np.array([1])), 4)
    0.6931

    Args:
      logits: floating [N, K].
      labels: integer [N], class ids.
      temperature: greater than 0.
    """
    log_probs = special.log_softmax(np.asarray(logits, np.float64) / temperature, axis=-1)
    return -float(np.mean(log_probs[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature at which `cross_entropy(logits, labels, temperature)` is least.

    The cross entropy is convex in b = 1 / temperature. Its minimum is where its derivative, which
    rises with b, is 0:

        mean_i ( sum_k softmax(b z_i)_k z_ik - z_i,label )

    >>> logits = np.log([[4.0, 1.0]] * 3)  # 80% sure of class 0, which is right two times of three
    >>> round(fit_temperature(logits, np.array([0, 0, 1])), 6)
    2.0

    Args:
      logits: floating [N, K], finite, of images that the network was not trained on; N at least 1.
      labels: integer [N], class ids.

    Returns:
      The temperature. 0 where no label has a smaller logit than another class: the cross entropy
      falls all the way. Infinity where logits are no greater at the labels than on average.

    Raises:
      ValueError: a logit is not finite.
    """
    logits = np.asarray(logits, np.float64)
    if not np.all(np.isfinite(logits)):
        raise ValueError("logits must be finite.")
    shifted = logits - logits[np.arange(len(labels)), labels][:, None]
    spread = float(np.max(np.abs(shifted)))
    if spread == 0 or np.mean(shifted) >= 0:
        return float("inf")
    if np.max(shifted) <= 0:
        return 0.0
    shifted /= spread

    def slope(inverse: float) -> float:
        weights = special.softmax(inverse * shifted, axis=-1)
        return float(np.mean(np.sum(weights * shifted, axis=-1)))

    high = 1.0
    while slope(high) < 0:
        high *= 2
    return spread / optimize.brentq(slope, 0.0, high, xtol=1e-12, rtol=1e-12)


def determined_temperature(logits: np.ndarray, labels: np.ndarray) -> tuple[float, str]:
    """`fit_temperature`, or 1 where float32 cannot divide logits by that.

    >>> determined_temperature(np.array([[1.0, 0.0]]), np.array([0]))
    (1.0, 'all 1 images to fit it on are answered right')

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
    value = fit_temperature(logits, labels)
    if value < _LEAST:
        return 1.0, f"all {len(labels)} images to fit it on are answered right"
    if value > _GREATEST:
        return 1.0, f"the {len(labels)} images to fit it on are answered no better than by chance"
    return value, ""
