"""metrics.csv, pseudo_labels.csv, and what TensorBoard shows."""

import csv
import io
import os
import shutil

import tensorflow as tf

from mpl_tf.files import whole


class _Table:
    """A CSV file that is written row by row, gains columns, and can lose its last rows again."""

    def __init__(self, path, columns):
        self._path, self._file = path, None
        rows = self.rows()
        self._columns = list(rows[0]) if rows else columns

    def rewind(self, phase, step):
        """Drops the rows of a phase after a step; call it before the first `write`."""
        self.close()
        rows = self.rows()
        self._rewrite([r for r in rows if r["phase"] != phase or int(r["step"]) <= step])

    def _rewrite(self, kept):
        with whole(self._path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, self._columns)
            rows.writeheader()
            rows.writerows(kept)
        # Line-buffered: a run that is killed leaves whole rows.
        self._file = open(self._path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._rows = csv.DictWriter(self._file, self._columns)

    def rows(self):
        """list of dict of column -> str, without a last row that a full disk has cut off."""
        if not os.path.exists(self._path):
            return []
        with open(self._path, newline="", encoding="utf-8") as file:
            text = file.read()
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))

    def write(self, phase, step, values):
        """One row; `values` is a dict of column -> float. A new name makes a new column."""
        new = [name for name in values if name not in self._columns]
        if new:
            self.close()
            self._columns = [*self._columns, *new]
            self._rewrite(self.rows())
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
    values of one evaluation on the validation images. A column is added when its first value comes;
    where a row has no value for it, it is empty.
    A row of pseudo_labels.csv holds the share of each class among the pseudo labels of the same
    steps. Call `rewind` before the first `write`.

    Args:
      workdir: str, the run folder.
      class_names: sequence of str, the columns of pseudo_labels.csv; None writes no such file.
    """

    def __init__(self, workdir, class_names=None):
        columns = ["phase", "step"]
        self._metrics = _Table(os.path.join(workdir, "metrics.csv"), columns)
        self._shares, self._class_names = None, class_names
        if class_names:
            path = os.path.join(workdir, "pseudo_labels.csv")
            self._shares = _Table(path, [*columns, *class_names])
        self._folder, self._writers = os.path.join(workdir, "tensorboard"), {}

    def rewind(self, phase, step):
        """Drops the rows of a phase after the step that it continues from."""
        for table in filter(None, (self._metrics, self._shares)):
            table.rewind(phase, step)

    def has_evaluation(self, phase, step):
        """Whether metrics.csv has a row of validation values after that step of a phase."""
        return any(
            (row["phase"], row["step"]) == (phase, str(step))
            and any(value for name, value in row.items() if name.startswith("val_"))
            for row in self._metrics.rows()
        )

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


def show_setup(workdir, config, picture):
    """Shows TensorBoard what is trained on what; replaces what it was shown before.

    Args:
      workdir: str, the run folder.
      config: dict of option name -> value.
      picture: str, a PNG of sample images.
    """
    folder = os.path.join(workdir, "tensorboard", "setup")
    shutil.rmtree(folder, ignore_errors=True)
    lines = ["| option | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in config.items())]
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=0):
        tf.summary.text("config", "\n".join(lines))
        tf.summary.image("views", tf.io.decode_png(tf.io.read_file(picture))[tf.newaxis])
    writer.close()
