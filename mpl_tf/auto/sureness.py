"""How sure a candidate is beside how often it is right, on images that were held out."""

from typing import TypedDict

import numpy as np

from mpl_tf.features import folds as folding
from mpl_tf.formulas import calibration, measures


class Sureness(TypedDict):
    """Expected calibration error and mean cross entropy in nats, without and with a temperature.

    Attributes:
      images: held-out images.
      error_before, error_after, cross_entropy_before, cross_entropy_after: each image's at the
        temperature that was fitted on images of other folds: what the temperature is worth for
        images that it has not seen.
    """

    images: int
    error_before: float
    error_after: float
    cross_entropy_before: float
    cross_entropy_after: float


def fit(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that is delivered: the one of all held-out images, or 1 without any."""
    return calibration.determined_temperature(logits, labels)[0]


def measure(
    logits: np.ndarray, labels: np.ndarray, folds: np.ndarray | None, seed: int
) -> Sureness | None:
    """Both measures before and after; None without images.

    Args:
      logits: floating [H, K], of held-out images.
      labels: integer [H].
      folds: integer [H], of the images; None draws some.
      seed: of folds that are drawn.
    """
    if not len(labels):
        return None
    if folds is None:
        folds = folding.stratified(labels, seed)
    scaled = np.array(logits, np.float64)
    for number in np.unique(folds):
        inside = folds == number
        scaled[inside] /= fit(logits[~inside], labels[~inside])
    return {
        "images": len(labels),
        "error_before": measures.calibration_error(calibration.probabilities(logits, 1.0), labels),
        "error_after": measures.calibration_error(calibration.probabilities(scaled, 1.0), labels),
        "cross_entropy_before": calibration.cross_entropy(logits, labels),
        "cross_entropy_after": calibration.cross_entropy(scaled, labels),
    }


def text(sureness: Sureness, value: float) -> str:
    """Both measures in a line.

    Args:
      sureness: of `measure`.
      value: the temperature that is delivered.
    """
    return (
        f"Expected calibration error {sureness['error_before']:.3f}, and "
        f"{sureness['error_after']:.3f} with a temperature ({value:.3g} in the export); cross "
        f"entropy {sureness['cross_entropy_before']:.3f} and {sureness['cross_entropy_after']:.3f} "
        f"nats, on {sureness['images']} held-out images"
    )
