"""How sure a candidate is beside how often it is right, on images that were held out."""

from typing import TypedDict

import numpy as np

from mpl_tf.features import folds as folding
from mpl_tf.formulas import calibration, measures

_DRAWS = 200  # of images, for the noise of a difference


class Sureness(TypedDict):
    """Expected calibration error and mean cross entropy, without and with a temperature.

    Attributes:
      images: held-out images.
      error_before, error_after, cross_entropy_before, cross_entropy_after: "after" is with each
        image's logits at the temperature that was fitted on images of other folds: what the
        temperature is worth for images that it has not seen.
      error_noise: the standard error of `error_after` less `error_before`, over draws of images.
      note: what is to be known of the temperature, in a sentence; "" if nothing is.
    """

    images: int
    error_before: float
    error_after: float
    error_noise: float
    cross_entropy_before: float
    cross_entropy_after: float
    note: str


def fit(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least cross entropy on all held-out images, or 1 without any."""
    return calibration.determined_temperature(logits, labels)[0]


def choose(
    logits: np.ndarray, labels: np.ndarray, folds: np.ndarray | None, seed: int
) -> tuple[float, Sureness | None]:
    """The temperature that is delivered, and what it is worth.

    It is that of `fit`, if temperatures that are fitted on other folds lower the cross entropy, and
    else 1. Where the expected calibration error rises by more than twice its noise, the note says
    so: both cannot always be had.

    Args:
      logits: floating [H, K], of held-out images.
      labels: integer [H].
      folds: integer [H], of the images; None draws some.
      seed: of folds that are drawn, and of the noise.

    Returns:
      (temperature, both measures before and after; None without images).
    """
    if not len(labels):
        return 1.0, None
    if folds is None:
        folds = folding.stratified(labels, seed)
    value, reason = calibration.determined_temperature(logits, labels)
    scaled = np.array(logits, np.float64)
    for number in np.unique(folds):
        inside = folds == number
        scaled[inside] /= fit(logits[~inside], labels[~inside])
    before, after = (calibration.probabilities(each, 1.0) for each in (logits, scaled))
    errors = [measures.calibration_error(each, labels) for each in (before, after)]
    entropies = [calibration.cross_entropy(each, labels) for each in (logits, scaled)]
    noise, note = _noise(before, after, labels, seed), ""
    if reason:
        note = f"The temperature stays 1: {reason}."
    elif entropies[1] >= entropies[0]:
        value = 1.0
        note = "The temperature stays 1: a fitted one does not help on images that it has not seen."
    elif errors[1] - errors[0] > 2 * noise:
        note = (
            "The temperature makes probabilities better by their cross entropy, and worse by the "
            "calibration error: do not take them for shares of right answers."
        )
    return value, {
        "images": len(labels),
        "error_before": errors[0],
        "error_after": errors[1],
        "error_noise": noise,
        "cross_entropy_before": entropies[0],
        "cross_entropy_after": entropies[1],
        "note": note,
    }


def _noise(before: np.ndarray, after: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """The standard deviation of the difference of both calibration errors, over draws of images."""
    rng, differences = np.random.default_rng(seed), []
    for _ in range(_DRAWS):
        drawn = rng.integers(0, len(labels), len(labels))
        errors = [
            measures.calibration_error(each[drawn], labels[drawn]) for each in (after, before)
        ]
        differences.append(errors[0] - errors[1])
    return float(np.std(differences))


def text(sureness: Sureness, value: float) -> str:
    """Both measures in a line, and the note.

    Args:
      sureness: of `choose`.
      value: the temperature that is delivered.
    """
    return (
        f"On {sureness['images']} held-out images: expected calibration error "
        f"{sureness['error_before']:.3f}, and {sureness['error_after']:.3f} with a temperature; "
        f"cross entropy {sureness['cross_entropy_before']:.3f} and "
        f"{sureness['cross_entropy_after']:.3f}. The export has temperature {value:.3g}. "
        f"{sureness['note']}"
    ).rstrip()
