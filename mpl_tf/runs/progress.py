"""How far a run is, and how long it will take."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from mpl_tf import console
from mpl_tf.console import log
from mpl_tf.runs.callbacks import Logs, StepCallback

# A forecast is made as soon as so many steps, or steps of so many seconds, are timed.
_STEPS, _SECONDS = 20, 20.0
_DAY = 24 * 60 * 60.0


class Forecast(StepCallback):
    """Says once how long the steps of a phase will take, and warns where that is more than a day.

    The first call of Keras is not timed: the step is traced in it. Evaluations and checkpoints are
    no steps.

    Args:
      phase: its name.
      total: its steps.
      offset: steps done before this `fit`.
    """

    def __init__(self, phase: str, total: int, offset: int = 0):
        super().__init__(offset)
        self.phase, self.total = phase, total
        self._timed_steps, self._seconds = 0, 0.0
        self._traced = self._said = False

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._first_step, self._start_time = batch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self._traced:
            self._seconds += time.perf_counter() - self._start_time
            self._timed_steps += batch + 1 - self._first_step
        self._traced = True
        if not self._said and (self._timed_steps >= _STEPS or self._seconds >= _SECONDS):
            self._say()

    def seconds_left(self) -> float | None:
        """For the steps of the phase that are left; None before any is timed."""
        if not self._timed_steps:
            return None
        return (self.total - self.step) * self._seconds / self._timed_steps

    def _say(self) -> None:
        self._said = True
        left = self.seconds_left()
        if not left or not self.params.get("verbose"):
            return
        steps, each = self.total - self.step, self._seconds / self._timed_steps
        text = (
            f"{self.phase}: {console.duration(left)} for the next {steps:,} steps, at {each:.3g} "
            "seconds a step"
        )
        if left > _DAY:
            log.warning(
                f"{text}. Fewer --steps, smaller batches or images, or a smaller --network take "
                "less; a run that is stopped continues later."
            )
        else:
            log.info(text)


def headline(logs: Mapping[str, float], networks: Iterable[str]) -> dict[str, float]:
    """What has room in one line of a terminal: loss and validation accuracy of each network."""
    losses = {f"{name}_loss" for name in networks}
    values = {name: value for name, value in logs.items() if name in losses}
    for name, value in logs.items():
        if name.startswith("val_") and name.endswith("_accuracy"):
            values[name] = value
    return values


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's bar with a headline in steps, showing the few values that tell how it goes.

    Args:
      forecast: of the same phase; stands before it among the callbacks.
    """

    def __init__(self, forecast: Forecast):
        super().__init__()
        self.forecast = forecast

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self.epochs = 1  # no "Epoch 1/4": steps are the unit here

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self.verbose:
            steps, left = self.forecast.step, self.forecast.seconds_left()
            text = f"{self.forecast.phase}: steps {steps + 1} to {steps + self.target} of "
            text += f"{self.forecast.total}"
            if left is None:  # the time left in Keras's bar counts it in
                text += "; the first takes longest, it is compiled"
            else:
                text += f", {console.duration(left)} left"
            log.info(text)
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, self._headline(logs))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_end(epoch, self._headline(logs))

    def _headline(self, logs):
        return headline(logs or {}, self.model.networks)
