"""What happens between the steps of Keras's `fit`: the guard, the log, the bar, the checkpoint."""

import math
import statistics
import time

import keras
import tensorflow as tf

from mpl_tf import console
from mpl_tf.console import Terminated


class NonFiniteError(ArithmeticError):
    """A logged value or a weight became NaN or infinite; the message names the step and it."""


class StepCallback(keras.callbacks.Callback):
    """Abstract: a callback that knows how many steps of its phase were taken.

    Keras may run several steps between two calls, and names the last one; so steps are never
    counted by calls. Who overrides a method here calls it first.

    Args:
      start: int, steps taken before this `fit`.

    Attributes:
      taken: int, steps taken so far.
    """

    def __init__(self, start=0):
        super().__init__()
        self.taken = self._epoch_start = start

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = self.taken

    def on_train_batch_end(self, batch, logs=None):
        self.taken = self._epoch_start + batch + 1


class StopOnNonFinite(StepCallback):
    """Stops a run at the first step, or evaluation, whose logs hold NaN or infinity.

    Args:
      phase: str, for the message.
      start: int, steps taken before this `fit`.
    """

    def __init__(self, phase, start=0):
        super().__init__(start)
        self.phase = phase

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        check_finite(self.phase, self.taken, logs)

    def on_epoch_end(self, epoch, logs=None):
        check_finite(self.phase, self.taken, logs)


def check_finite(phase, step, logs):
    """Raises NonFiniteError if a value of `logs` (dict of str -> float) is NaN or infinite."""
    bad = [f"{name} = {value}" for name, value in logs.items() if not math.isfinite(value)]
    if bad:
        raise NonFiniteError(f"{phase} step {step}: {', '.join(bad)}")


class StepTimer(keras.callbacks.Callback):
    """Measures how long a training step takes, its data included.

    Attributes:
      seconds: list of float, each of a call of Keras, divided by the steps that it ran.
    """

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        self._first, self._began = batch, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        steps = batch + 1 - self._first
        self.seconds.append((time.perf_counter() - self._began) / steps)

    def median(self):
        """float, in which tracing and other exceptions hardly count; None without a step."""
        return statistics.median(self.seconds) if self.seconds else None


class ContinueWindow(keras.callbacks.Callback):
    """Lets a log row go on that a checkpoint has cut in two.

    `fit` starts with metrics reset; this puts back, once, what they held when it was constructed.

    Args:
      engine: engine.trainer.Trainer, just restored.
    """

    def __init__(self, engine):
        super().__init__()
        variables = [v for metric in engine.window_metrics for v in metric.variables]
        self._held = [(v, keras.ops.convert_to_numpy(v)) for v in variables]

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in self._held:
            variable.assign(value)
        self._held = []


class LogMetrics(StepCallback):
    """Writes a row of training logs every `every` steps, and a row of every evaluation.

    Args:
      log: metrics_log.MetricsLog.
      phase: str.
      every: int, steps a row sums up.
      start: int, steps taken before this `fit`.
    """

    def __init__(self, log, phase, every, start=0):
        super().__init__(start)
        self.log, self.phase, self.every = log, phase, every
        self._row_written = False

    def on_train_batch_begin(self, batch, logs=None):
        if self._row_written:  # the next row, and the bar, sum up from here on
            for metric in self.model.window_metrics:
                metric.reset_state()
            self._row_written = False

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self.taken % self.every == 0:
            values = {k: v for k, v in logs.items() if k in self.model.logged}
            self.log.write(self.phase, self.taken, values)
            if self.model.pseudo_label_shares is not None:
                shares = self.model.pseudo_label_shares.result().numpy()
                self.log.write_shares(self.phase, self.taken, shares)
            self._row_written = True

    def on_epoch_end(self, epoch, logs=None):
        values = {k: v for k, v in (logs or {}).items() if k.startswith("val_")}
        if values:
            self.log.write(self.phase, self.taken, values)


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's bar with a headline in steps, showing the few values that tell how it goes.

    Args:
      phase: str, the headline's first word.
      total: int, steps of the whole phase.
      start: int, steps taken before this `fit`.
    """

    def __init__(self, phase, total, start=0):
        super().__init__()
        self.phase, self.total, self.taken = phase, total, start

    def set_params(self, params):
        super().set_params(params)
        self.epochs = 1  # no "Epoch 1/4": steps are the unit here

    def on_epoch_begin(self, epoch, logs=None):
        if self.verbose:
            first, last = self.taken + 1, self.taken + self.target
            console.say(f"{self.phase}: steps {first} to {last} of {self.total}")
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, self._few(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.taken += self.target
        super().on_epoch_end(epoch, self._few(logs))

    @staticmethod
    def _few(logs):
        """What has room in one line of a terminal: losses and validation accuracies."""
        losses = ("student_loss", "teacher_loss", "finetuned_loss")
        shown = {k: v for k, v in logs.items() if k in losses}
        accuracies = {k: v for k, v in logs.items() if k.endswith("accuracy") and k[:4] == "val_"}
        return shown | {k.removeprefix("val_"): v for k, v in accuracies.items()}


class SaveCheckpoint(StepCallback):
    """Saves checkpoints: every so many steps, at the end of the phase, and when asked to stop.

    Weights are looked at before they are saved: an update can break them in a step whose losses,
    taken before it, were still good. Goes last, after the log has the row that may end here.

    Args:
      checkpoints: checkpoint.Checkpoints.
      phase: str, for messages.
      total: int, steps of the whole phase.
      every: int, steps from one checkpoint to the next; 0 saves after every evaluation.
      start: int, steps taken before this `fit`.
      stop: callable without arguments -> bool; once it is true, the run is saved after the step
        under way, and ends by Terminated.
    """

    def __init__(self, checkpoints, phase, total, every=0, start=0, stop=lambda: False):
        super().__init__(start)
        self.checkpoints, self.phase, self.total = checkpoints, phase, total
        self.every, self.stop = every, stop

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        # Where an evaluation follows, the checkpoint waits for it.
        if self._due() and batch + 1 < self.params["steps"]:
            self._save()
        self._stop_if_asked()

    def on_test_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        if not self.every or self._due() or self.taken == self.total:
            self._save()
        self._stop_if_asked()

    def _due(self):
        return self.every and self.taken % self.every == 0

    def _stop_if_asked(self):
        if self.stop():
            self._save()
            console.say(f"\n{self.phase}: asked to stop, saved after step {self.taken}")
            raise Terminated

    def _save(self):
        for weight in self.model.weights:
            value = tf.convert_to_tensor(weight)
            if value.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(value)):
                raise NonFiniteError(f"{self.phase} step {self.taken}: weight {weight.path}")
        self.checkpoints.save(self.taken)
