"""metrics.csv, pseudo_labels.csv, and what TensorBoard shows."""

import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np
import tensorflow as tf

from mpl_tf.files import read_text, reason, whole
from mpl_tf.options import ConfigError
from mpl_tf.runs.folder import METRICS, SHARES, TENSORBOARD, TRAIN

_KEYS = ["phase", "step"]  # the first columns of every table; a class may be called like them, too


def read_table(path: str) -> tuple[list[str], list[list[str]]]:
    """The columns and the rows of a table of a run; no columns if there is no file.

    A last row that a full disk has cut off is left out.

    Raises:
      ConfigError: the file is no such table: no readable text, without the columns "phase" and
        "step" at first, or with a row that is not numbers after its phase, one a column.
    """
    if not os.path.lexists(path):
        return [], []
    try:
        text = read_text(path)
        rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}.") from error
    columns, *rows = rows or [[]]
    fault = ""
    if columns and columns[:2] != _KEYS:
        fault = f"its first columns must be {' and '.join(_KEYS)}; received {columns[:2]}"
    for number, row in enumerate(rows, 1):
        if not fault and (len(row) != len(columns) or not _are_numbers(*row[1:])):
            fault = f"row {number} must be a phase, a step and numbers; received {row[:3]}"
    if fault:
        raise ConfigError(f"{path} is damaged or no table of a run: {fault}.")
    return columns, rows


def _are_numbers(step: str, *values: str) -> bool:
    try:
        [float(value) for value in values if value]
        return int(step) >= 0
    except ValueError:
        return False


def read_curves(path: str, phase: str = TRAIN) -> dict[str, np.ndarray]:
    """The columns of a metrics.csv that have a value in a phase.

    Returns:
      Logged name -> float64 [2, n], the steps and the values.

    Raises:
      ConfigError: as `read_table`.
    """
    columns, rows = read_table(path)
    curves = {}
    for i, name in list(enumerate(columns))[2:]:
        points = [(float(row[1]), float(row[i])) for row in rows if row[0] == phase and row[i]]
        if points:
            curves[name] = np.array(points).T
    return curves


def read_shares(path: str) -> np.ndarray | None:
    """float64 [K], the last row of a pseudo_labels.csv; None if there is no such file or row.

    Raises:
      ConfigError: as `read_table`.
    """
    _, rows = read_table(path)
    return np.array(rows[-1][2:], float) if rows else None


class _Table:
    """A CSV file that is written row by row, gains columns, and can lose its last rows again."""

    def __init__(self, path: str, names: Sequence[str] = ()):
        self._path = path
        self._file: TextIO | None = None
        self._columns = read_table(path)[0] or [*_KEYS, *names]

    def rewind(self, phase, step):
        """Drops the rows of a phase after a step; call it before the first `write`."""
        self.close()
        _, rows = read_table(self._path)
        self._rewrite([row for row in rows if row[0] != phase or int(row[1]) <= step])

    def _rewrite(self, rows):
        with whole(self._path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self._columns)
            writer.writerows(rows)
        # Line-buffered: a run that is killed leaves whole rows.
        file = open(self._path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._file, self._writer = file, csv.writer(file)

    def write(self, phase, step, values):
        """One row; `values` is a dict of column -> float. A new name makes a new column."""
        new = [name for name in values if name not in self._columns[2:]]
        if new:
            self.close()
            self._columns = [*self._columns, *new]
            self._rewrite([[*row, *([""] * len(new))] for row in read_table(self._path)[1]])
        # 9 digits: all of a float32.
        row = [f"{values[n]:.9g}" if n in values else "" for n in self._columns[2:]]
        self._writer.writerow([phase, step, *row])

    def close(self):
        """Closes the file; the table can be rewound and written again."""
        if self._file:
            self._file.close()
            self._file = None


class MetricsLog:
    """metrics.csv, pseudo_labels.csv, and their twins for TensorBoard.

    One row of metrics.csv holds the training logs since the row or the evaluation before, or the
    values of one evaluation on the validation images. A column is added when its first value comes;
    where a row has no value for it, it is empty.
    A row of pseudo_labels.csv holds the share of each class among the pseudo labels of the same
    steps. Call `rewind` before the first `write`.

    Args:
      workdir: the run folder.
      class_names: the columns of pseudo_labels.csv; none write no such file.
    """

    def __init__(self, workdir: str, class_names: Sequence[str] | None = None):
        self._path = os.path.join(workdir, METRICS)
        self._metrics = _Table(self._path)
        self._class_names = class_names or ()
        self._shares = None
        if class_names:
            self._shares = _Table(os.path.join(workdir, SHARES), class_names)
        self._folder = os.path.join(workdir, TENSORBOARD)
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def rewind(self, phase: str, step: int) -> None:
        """Drops the rows of a phase after the step that it continues from."""
        for table in filter(None, (self._metrics, self._shares)):
            table.rewind(phase, step)

    def has_evaluation(self, phase: str, step: int) -> bool:
        """Whether metrics.csv has a row of validation values after that step of a phase."""
        columns, rows = read_table(self._path)
        of_evaluation = [i for i, name in enumerate(columns) if name.startswith("val_")]
        return any(
            row[:2] == [phase, str(step)] and any(row[i] for i in of_evaluation) for row in rows
        )

    def write(self, phase: str, step: int, values: Mapping[str, float]) -> None:
        """One row of metrics.csv; `values` are column -> value."""
        self._metrics.write(phase, step, values)
        with self._events(phase):
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)

    def write_shares(self, phase: str, step: int, shares: np.ndarray) -> None:
        """One row of pseudo_labels.csv, where there is one; `shares` is float [K]."""
        if self._shares is None:
            return
        self._shares.write(phase, step, dict(zip(self._class_names, shares, strict=True)))
        with self._events(phase):
            tf.summary.histogram("pseudo_labels", shares, step=step)

    def _events(self, phase):
        """Events of a phase go to a folder of their own: its steps count from 1 again."""
        if phase not in self._writers:
            folder = os.path.join(self._folder, phase)
            self._writers[phase] = tf.summary.create_file_writer(folder)
        return self._writers[phase].as_default()

    def close(self) -> None:
        """Writes what is buffered."""
        for table in filter(None, (self._metrics, self._shares)):
            table.close()
        for writer in self._writers.values():
            writer.close()


def show_setup(workdir: str, config: Mapping[str, Any], picture: str | None) -> None:
    """Shows TensorBoard what is trained on what; replaces what it showed before.

    Args:
      workdir: the run folder.
      config: option name -> value.
      picture: a PNG of sample images, or None.
    """
    folder = os.path.join(workdir, TENSORBOARD, "setup")
    shutil.rmtree(folder, ignore_errors=True)
    lines = ["| option | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in config.items())]
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=0):
        tf.summary.text("config", "\n".join(lines))
        if picture:
            tf.summary.image("views", tf.io.decode_png(tf.io.read_file(picture))[tf.newaxis])
    writer.close()
