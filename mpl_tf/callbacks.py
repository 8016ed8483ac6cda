"""What happens between the steps of Keras's `fit`: the bar, the log, the guard, the checkpoint."""

import csv
import math
import os

import keras
import tensorflow as tf

from mpl_tf import console
from mpl_tf.workdir import whole


class NonFiniteError(ArithmeticError):
    """A logged value became NaN or infinite; the message names the step and the value."""


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops a run at the first step, or evaluation, whose logs hold NaN or infinity.

    Goes before `SaveCheckpoint`: an update can break weights that no training loss has seen yet,
    and the evaluation sees them before they are saved.

    Args:
      phase: str, for the message.
      start: int, steps taken before this `fit`.
    """

    def __init__(self, phase, start=0):
        super().__init__()
        self.phase, self.taken = phase, start

    def on_train_batch_end(self, batch, logs=None):
        self.taken += 1
        self._check(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs)

    def _check(self, logs):
        bad = [f"{name} = {value}" for name, value in logs.items() if not math.isfinite(value)]
        if bad:
            raise NonFiniteError(f"{self.phase} step {self.taken}: {', '.join(bad)}")


class _Table:
    """A CSV file that is written row by row and can lose its last rows again."""

    def __init__(self, path, columns):
        self._path, self._columns, self._file = path, columns, None

    def rewind(self, phase, step):
        """Drops the rows of a phase after a step; call it before the first `write`."""
        self.close()
        kept = []
        if os.path.exists(self._path):
            with open(self._path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            kept = [r for r in rows if r["phase"] != phase or int(r["step"]) <= step]
        with whole(self._path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, self._columns)
            rows.writeheader()
            rows.writerows(kept)
        # Line-buffered: a run that is killed leaves whole rows.
        self._file = open(self._path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._rows = csv.DictWriter(self._file, self._columns)

    def write(self, phase, step, values):
        """One row; `values` is a dict of column -> float."""
        rounded = {name: f"{value:.9g}" for name, value in values.items()}  # all of a float32
        self._rows.writerow({"phase": phase, "step": step, **rounded})

    def close(self):
        """Closes the file; the table can be rewound and written again."""
        if self._file:
            self._file.close()
            self._file = None


class MetricsLog:
    """metrics.csv, pseudo_labels.csv, and their twins for TensorBoard.

    One row of metrics.csv holds the training logs since the row or the evaluation before, or the
    values of one evaluation on the validation images; columns that have no value there are empty.
    A row of pseudo_labels.csv holds the share of each class among the pseudo labels of the same
    steps. Call `rewind` before the first `write`.

    Args:
      workdir: str, the run folder.
      names: sequence of str, the columns of metrics.csv after `phase` and `step`.
      class_names: sequence of str, the columns of pseudo_labels.csv; None writes no such file.
    """

    def __init__(self, workdir, names, class_names=None):
        columns = ["phase", "step"]
        self._metrics = _Table(os.path.join(workdir, "metrics.csv"), [*columns, *names])
        self._shares, self._class_names = None, class_names
        if class_names:
            path = os.path.join(workdir, "pseudo_labels.csv")
            self._shares = _Table(path, [*columns, *class_names])
        self._folder, self._writers = os.path.join(workdir, "tensorboard"), {}

    def rewind(self, phase, step):
        """Drops the rows of a phase after the step that it continues from."""
        for table in filter(None, (self._metrics, self._shares)):
            table.rewind(phase, step)

    def write(self, phase, step, values):
        """One row of metrics.csv; `values` is a dict of column -> float."""
        self._metrics.write(phase, step, values)
        with self._events(phase):
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)

    def write_shares(self, phase, step, shares):
        """One row of pseudo_labels.csv; `shares` is float [K]."""
        self._shares.write(phase, step, dict(zip(self._class_names, shares, strict=True)))
        with self._events(phase):
            tf.summary.histogram("pseudo_labels", shares, step=step)

    def _events(self, phase):
        """Events of a phase go to a folder of their own: its steps count from 1 again."""
        if phase not in self._writers:
            folder = os.path.join(self._folder, phase)
            self._writers[phase] = tf.summary.create_file_writer(folder)
        return self._writers[phase].as_default()

    def close(self):
        """Writes what is buffered."""
        for table in filter(None, (self._metrics, self._shares)):
            table.close()
        for writer in self._writers.values():
            writer.close()


class LogMetrics(keras.callbacks.Callback):
    """Writes a row of training logs every `every` steps, and a row of every evaluation.

    Args:
      log: MetricsLog.
      phase: str.
      every: int, steps a row sums up.
      start: int, steps taken before this `fit`.
    """

    def __init__(self, log, phase, every, start=0):
        super().__init__()
        self.log, self.phase, self.every, self.taken = log, phase, every, start
        self._row_written = False

    def on_train_batch_begin(self, batch, logs=None):
        if self._row_written:  # the next row, and the bar, sum up from here on
            for metric in self.model.window_metrics:
                metric.reset_state()
            self._row_written = False

    def on_train_batch_end(self, batch, logs=None):
        self.taken += 1
        if self.taken % self.every == 0:
            values = {k: v for k, v in logs.items() if k in self.model.train_metrics}
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
        self.taken += 1
        super().on_train_batch_end(batch, self._few(logs))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, self._few(logs))

    @staticmethod
    def _few(logs):
        """What has room in one line of a terminal: losses and validation accuracies."""
        losses = ("student_loss", "teacher_loss", "finetuned_loss")
        shown = {k: v for k, v in logs.items() if k in losses}
        accuracies = {k: v for k, v in logs.items() if k.endswith("accuracy") and k[:4] == "val_"}
        return shown | {k.removeprefix("val_"): v for k, v in accuracies.items()}


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves a checkpoint whenever `fit` has run its steps between two evaluations.

    Args:
      checkpoints: checkpoint.Checkpoints.
      start: int, steps taken before this `fit`.
    """

    def __init__(self, checkpoints, start=0):
        super().__init__()
        self.checkpoints, self.taken = checkpoints, start

    def on_train_batch_end(self, batch, logs=None):
        self.taken += 1

    def on_epoch_end(self, epoch, logs=None):
        self.checkpoints.save(self.taken)
