"""Encoders that self-supervised methods have taught: handed over, kept in a file, and looked at."""

import os

from mpl_tf import files
from mpl_tf.engine import devices, projections
from mpl_tf.engine.method import Method
from mpl_tf.runs import folder
from mpl_tf.runs.experiment import Experiment


def hand_over(taught: Method, method: Method) -> None:
    """Gives all networks of a method that begins the encoder of a student; heads stay as they are.

    A restored method takes its own weights from its checkpoint afterwards.

    Args:
      taught: whose student has the encoder.
      method: whose networks are of the same layers.
    """
    weights = projections.parts(taught.student)[0].get_weights()
    for _, network in method.starting_networks():
        projections.parts(network)[0].set_weights(weights)


def keep(experiment: Experiment) -> None:
    """Writes the encoder of a run's student as a file that `--network=file:` takes.

    Args:
      experiment: of a self-supervised method that has come to its end.
    """
    if not devices.is_chief(experiment.method.distribute_strategy):
        return
    encoder, _ = projections.parts(experiment.whole(experiment.method.network("ema")))
    path = experiment.file(folder.ENCODER)
    if not os.path.exists(path):
        # Keras writes to names with this ending alone.
        with files.whole(path, f"{path.removesuffix('.keras')}.partial.keras") as partial:
            encoder.save(partial)
