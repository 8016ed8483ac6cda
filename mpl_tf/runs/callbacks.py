"""What happens between the steps of Keras's `fit`: the guard, the log, the bar, the checkpoint."""

import math
import statistics
import time
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.engine.batch_statistics import STATISTICS_BATCHES
from mpl_tf.engine.trainer import Trainer
from mpl_tf.runs.checkpoint import Checkpoints
from mpl_tf.runs.metrics_log import MetricsLog
from mpl_tf.signals import Stop

Logs = Mapping[str, float] | None


class NonFiniteError(ArithmeticError):
    """A logged value or a weight became NaN or infinite; the message names the step and it."""


class StepCallback(keras.callbacks.Callback):
    """Abstract: a callback that knows how many steps of its phase are done.

    Keras may run several steps between two calls, and names the last one; so steps are never
    counted by calls. A subclass that overrides a method calls `super()` first.

    Args:
      offset: steps done before this `fit`.

    Attributes:
      step: steps done so far.
    """

    def __init__(self, offset: int = 0):
        super().__init__()
        self.step = self._epoch_start = offset

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch_start = self.step

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.step = self._epoch_start + batch + 1


class StopOnNonFinite(StepCallback):
    """Stops a run at the first step, or evaluation, whose logs hold NaN or infinity.

    Args:
      phase: for the message.
      offset: steps done before this `fit`.
    """

    def __init__(self, phase: str, offset: int = 0):
        super().__init__(offset)
        self.phase = phase

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, logs)
        check_finite(self.phase, self.step, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        check_finite(self.phase, self.step, logs or {})


def check_finite(phase: str, step: int, logs: Mapping[str, float]) -> None:
    """Raises NonFiniteError if a value of `logs` is NaN or infinite."""
    bad = [f"{name} = {value}" for name, value in logs.items() if not math.isfinite(value)]
    if bad:
        raise NonFiniteError(f"{phase} step {step}: {', '.join(bad)}")


class RenewStatistics(StepCallback):
    """Computes batch statistics of averaged weights anew after the last step of a phase.

    It comes before the evaluation and the checkpoint of that step.

    Args:
      data: gives batches of the phase that are a function of its last step alone, so that a resumed
        run has the same.
      total: steps of the whole phase.
      offset: steps done before this `fit`.
    """

    def __init__(self, data: Callable[[], tf.data.Dataset], total: int, offset: int = 0):
        super().__init__(offset)
        self.data, self.total = data, total

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.step == self.total and self.model.has_averaged_statistics:
            steps = min(self.total, STATISTICS_BATCHES)
            self.model.renew_statistics(self.data(), steps=steps)


class StepTimer(keras.callbacks.Callback):
    """Measures how long a training step takes, its data included.

    Attributes:
      seconds: of each call of Keras, divided by the steps that it ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._first_step, self._start_time = batch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        steps = batch + 1 - self._first_step
        self.seconds.append((time.perf_counter() - self._start_time) / steps)

    def median(self) -> float | None:
        """Seconds, in which tracing and other exceptions hardly count; None without a step."""
        return statistics.median(self.seconds) if self.seconds else None


class ContinueWindow(keras.callbacks.Callback):
    """Continues a log row that a checkpoint has cut in two.

    `fit` starts with metrics reset; this puts back, once, what they held when it was constructed.

    Args:
      trainer: just restored.
    """

    def __init__(self, trainer: Trainer):
        super().__init__()
        variables = [v for metric in trainer.window_metrics for v in metric.variables]
        self._values = [(v, keras.ops.convert_to_numpy(v)) for v in variables]

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        for variable, value in self._values:
            variable.assign(value)
        self._values = []


class LogMetrics(StepCallback):
    """Writes a row of training logs every `every` steps, and a row of every evaluation.

    Args:
      metrics: where to.
      phase: its name.
      every: steps that a row sums up.
      offset: steps done before this `fit`.
    """

    def __init__(self, metrics: MetricsLog, phase: str, every: int, offset: int = 0):
        super().__init__(offset)
        self.metrics, self.phase, self.every = metrics, phase, every
        self._row_written = False

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        if self._row_written:  # the next row, and the bar, sum up from here on
            for metric in self.model.window_metrics:
                metric.reset_state()
            self._row_written = False

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.step % self.every == 0:
            values = {k: v for k, v in (logs or {}).items() if k in self.model.logged}
            self.metrics.write(self.phase, self.step, values)
            if self.model.pseudo_label_shares is not None:
                shares = self.model.pseudo_label_shares.result().numpy()
                self.metrics.write_shares(self.phase, self.step, shares)
            self._row_written = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        values = {k: v for k, v in (logs or {}).items() if k.startswith("val_")}
        if values:
            self.metrics.write(self.phase, self.step, values)


class SaveCheckpoint(StepCallback):
    """Saves checkpoints: every so many steps, at the end of the phase, and when asked to stop.

    Weights are checked before they are saved: an update can break them in a step whose losses,
    computed before it, were still good.

    Must come after the callbacks that write the log row of this step. Where it ends the run, those
    after it are not called.

    Args:
      checkpoints: of this phase.
      phase: for messages.
      total: steps of the whole phase.
      every: steps from one checkpoint to the next; 0 saves after every evaluation.
      offset: steps done before this `fit`.
      stop: once it is asked to, the run is saved after the current step and ends by its error.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        phase: str,
        total: int,
        every: int = 0,
        offset: int = 0,
        stop: Stop | None = None,
    ):
        super().__init__(offset)
        self.checkpoints, self.phase, self.total = checkpoints, phase, total
        self.every, self.stop = every, stop

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, logs)
        # Where an evaluation follows, the checkpoint waits for it.
        if self._due() and batch + 1 < self.params["steps"]:
            self._save()
        self._stop_if_asked()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if not self.every or self._due() or self.step == self.total:
            self._save()
        self._stop_if_asked()

    def _due(self):
        return self.every and self.step % self.every == 0

    def _stop_if_asked(self):
        if self.stop and self.stop.error:
            self._save()
            log.info(f"\n{self.phase}: asked to stop, saved after step {self.step}")
            raise self.stop.error

    def _save(self):
        for weight in self.model.weights:
            value = tf.convert_to_tensor(weight)
            if value.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(value)):
                raise NonFiniteError(f"{self.phase} step {self.step}: weight {weight.path}")
        self.checkpoints.save(self.step)
