"""How sure a run's networks are beside how often they are right, and the temperature for it."""

import os
from collections.abc import Mapping
from typing import NotRequired, TypedDict

import keras
import numpy as np

from mpl_tf.console import log
from mpl_tf.data import pipeline
from mpl_tf.data.dataset import Images
from mpl_tf.engine import calibration
from mpl_tf.formulas import calibration as formulas
from mpl_tf.formulas import measures
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder, results_file


class Calibration(TypedDict):
    """What results.json says of it.

    Attributes:
      temperatures: role -> what an export of the network divides logits by.
      images: validation images that it was fitted on.
      error_before, error_after: role -> expected calibration error without and with it, on the
        images of the accuracy.
      held_out: whether these are others than those that it was fitted on.
    """

    temperatures: dict[str, float]
    images: int
    error_before: NotRequired[dict[str, float]]
    error_after: NotRequired[dict[str, float]]
    held_out: NotRequired[bool]


class _Results(TypedDict):
    calibration: NotRequired[Calibration]


def logits(networks: Mapping[str, keras.Model], images: Images | None) -> dict[str, np.ndarray]:
    """Logits of networks, not in training mode.

    Args:
      networks: role -> network of logits [N, K].
      images: N of them; None is none.

    Returns:
      Role -> float32 [N, K].
    """
    if images is None:
        return {role: np.zeros([0, net.output_shape[-1]]) for role, net in networks.items()}
    batches = pipeline.evaluation_batches(images)
    return {
        role: calibration.logits(network, (pixels for pixels, _ in batches))
        for role, network in networks.items()
    }


def fit(logits: Mapping[str, np.ndarray], validation: Images | None) -> Calibration:
    """The temperature of each network, fitted on validation images.

    Args:
      logits: role -> floating [N, K], on the validation images.
      validation: N images, or None: all temperatures are 1.
    """
    temperature = {}
    for role, values in logits.items():
        temperature[role], reason = 1.0, "there are no validation images"
        if validation is not None:
            temperature[role], reason = formulas.determined_temperature(values, validation.labels)
        if reason:
            log.info(f"The temperature of {role} stays 1: {reason}")
    return {"temperatures": temperature, "images": 0 if validation is None else len(validation)}


def measure(
    result: Calibration, logits: Mapping[str, np.ndarray], labels: np.ndarray, held_out: bool
) -> Calibration:
    """`result`, and the expected calibration error before and after it.

    Args:
      result: of `fit`.
      logits: role -> floating [N, K].
      labels: integer [N].
      held_out: whether the images are others than those of `fit`.
    """

    def errors(temperature: Mapping[str, float]) -> dict[str, float]:
        return {
            role: measures.calibration_error(
                formulas.probabilities(values, temperature[role]), labels
            )
            for role, values in logits.items()
        }

    return {
        **result,
        "error_before": errors(dict.fromkeys(logits, 1.0)),
        "error_after": errors(result["temperatures"]),
        "held_out": held_out,
    }


def text(result: Calibration, role: str) -> str:
    """What a run says at its end of the network `role`, in a line."""
    error = f"Expected calibration error of {role}: {result['error_before'][role]:.4f}"
    if result["temperatures"][role] == 1:
        return f"{error} (temperature 1)"
    return (
        f"{error}, and {result['error_after'][role]:.4f} at temperature "
        f"{result['temperatures'][role]:.3g}, fitted on {result['images']} validation images"
        f"{'' if result['held_out'] else ': these, so that it is not held out'}"
    )


def of_run(path: str, role: str) -> float:
    """The temperature of a network of a run; 1 of a run that has not ended, or says nothing of it.

    Args:
      path: the run folder.
      role: one of `roles.ROLES`.

    Raises:
      ConfigError: results.json is damaged.
    """
    file = os.path.join(path, folder.RESULTS)
    if not os.path.lexists(file):
        log.info(f"{path} has no {folder.RESULTS} yet: the temperature of {role} is 1")
        return 1.0

    def temperature(results: _Results) -> float:
        there = results["calibration"]["temperatures"] if "calibration" in results else {}
        return there.get(role, 1.0)

    def check(file: str, results: _Results) -> None:
        if not 0 < temperature(results) < float("inf"):
            raise ConfigError(f"{file} is damaged: a temperature of {temperature(results)}.")

    return temperature(results_file.read(path, _Results, check))
