"""metrics.csv, pseudo_labels.csv, and what TensorBoard shows."""

import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np
import tensorflow as tf

from mpl_tf.files import whole
from mpl_tf.runs.folder import METRICS, SHARES, TENSORBOARD


def read_rows(path: str) -> list[dict[str, str]]:
    """The rows of a CSV file, column -> text; none if there is no file.

    A last row that a full disk has cut off is left out.
    """
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        text = file.read()
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))


def read_curves(path: str, phase: str = "train") -> dict[str, np.ndarray]:
    """The columns of a metrics.csv that have a value in a phase.

    Returns:
      Logged name -> float64 [2, n], the steps and the values.
    """
    rows = [row for row in read_rows(path) if row["phase"] == phase]
    curves = {}
    for name in list(rows[0])[2:] if rows else ():
        points = [(float(row["step"]), float(row[name])) for row in rows if row[name]]
        if points:
            curves[name] = np.array(points).T
    return curves


def read_shares(path: str) -> np.ndarray | None:
    """float64 [K], the last row of a pseudo_labels.csv; None if there is no such file or row."""
    rows = read_rows(path)
    return np.array(list(rows[-1].values())[2:], float) if rows else None


class _Table:
    """A CSV file that is written row by row, gains columns, and can lose its last rows again."""

    def __init__(self, path: str, columns: Sequence[str]):
        self._path = path
        self._file: TextIO | None = None
        rows = read_rows(path)
        self._columns = list(rows[0]) if rows else list(columns)

    def rewind(self, phase, step):
        """Drops the rows of a phase after a step; call it before the first `write`."""
        self.close()
        rows = read_rows(self._path)
        self._rewrite([r for r in rows if r["phase"] != phase or int(r["step"]) <= step])

    def _rewrite(self, rows):
        with whole(self._path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        # Line-buffered: a run that is killed leaves whole rows.
        file = open(self._path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._file, self._writer = file, csv.DictWriter(file, self._columns)

    def write(self, phase, step, values):
        """One row; `values` is a dict of column -> float. A new name makes a new column."""
        new = [name for name in values if name not in self._columns]
        if new:
            self.close()
            self._columns = [*self._columns, *new]
            self._rewrite(read_rows(self._path))
        rounded = {name: f"{value:.9g}" for name, value in values.items()}  # all of a float32
        self._writer.writerow({"phase": phase, "step": step, **rounded})

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
        columns = ["phase", "step"]
        self._path = os.path.join(workdir, METRICS)
        self._metrics = _Table(self._path, columns)
        self._class_names = class_names or ()
        self._shares = None
        if class_names:
            self._shares = _Table(os.path.join(workdir, SHARES), [*columns, *class_names])
        self._folder = os.path.join(workdir, TENSORBOARD)
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def rewind(self, phase: str, step: int) -> None:
        """Drops the rows of a phase after the step that it continues from."""
        for table in filter(None, (self._metrics, self._shares)):
            table.rewind(phase, step)

    def has_evaluation(self, phase: str, step: int) -> bool:
        """Whether metrics.csv has a row of validation values after that step of a phase."""
        return any(
            (row["phase"], row["step"]) == (phase, str(step))
            and any(value for name, value in row.items() if name.startswith("val_"))
            for row in read_rows(self._path)
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


def show_setup(workdir: str, config: Mapping[str, Any], picture: str) -> None:
    """Shows TensorBoard what is trained on what; replaces what it showed before.

    Args:
      workdir: the run folder.
      config: option name -> value.
      picture: a PNG of sample images.
    """
    folder = os.path.join(workdir, TENSORBOARD, "setup")
    shutil.rmtree(folder, ignore_errors=True)
    lines = ["| option | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in config.items())]
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=0):
        tf.summary.text("config", "\n".join(lines))
        tf.summary.image("views", tf.io.decode_png(tf.io.read_file(picture))[tf.newaxis])
    writer.close()
