"""Trainings in memory, many with one traced method: they write no files and have no checkpoints."""

from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from mpl_tf.engine.trainer import Trainer
from mpl_tf.runs import callbacks
from mpl_tf.runs.experiment import Experiment


class Start:
    """What variables hold, so that a training can begin there again.

    >>> steps = keras.Variable(0, dtype="int64")
    >>> start = Start([steps])
    >>> _ = steps.assign_add(5)
    >>> start.restore()
    >>> int(steps)
    0

    Args:
      variables: weights, momenta, counters, states of dropout: all that training changes.
    """

    def __init__(self, variables: Iterable[keras.Variable | tf.Variable]):
        self._values = [(v, keras.ops.convert_to_numpy(v)) for v in variables]

    def restore(self) -> None:
        """Gives each variable the value that it had when this was made."""
        for variable, value in self._values:
            variable.assign(value)


def fit(
    experiment: Experiment,
    trainer: Trainer,
    phase: str,
    steps: int,
    more: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, float]:
    """All steps of a phase, on the images of a run and with the batch statistics of one.

    Args:
      experiment: whose images are trained on.
      trainer: compiled.
      phase: `folder.TRAIN`, `folder.FINETUNE` or the name of a phase before training.
      steps: of the phase; at least 1.
      more: further callbacks.

    Returns:
      Name of a logged number -> its mean over the steps.

    Raises:
      callbacks.NonFiniteError: a logged number became NaN or infinite.
    """

    # Batch statistics are those of the batches after the last step, as in `phases.run_phase`.
    def later() -> tf.data.Dataset:
        return experiment.batches(phase, steps, trainer.unlabeled_views)

    history = trainer.fit(
        experiment.batches(phase, 0, trainer.unlabeled_views),
        steps_per_epoch=steps,
        renew_statistics=False,  # but by the callback
        verbose=0,
        callbacks=[
            callbacks.StopOnNonFinite(phase),
            callbacks.RenewStatistics(later, steps),
            *more,
        ],
    )
    return {name: float(values[-1]) for name, values in history.history.items()}
