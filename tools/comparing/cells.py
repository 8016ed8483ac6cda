"""Cells of a comparison: one run of `python -m mpl_tf.train` each, kept when finished."""

import concurrent.futures
import dataclasses
import os
import subprocess
import sys

from mpl_tf import files
from mpl_tf.config import applies, flags
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder as run_folder


class CellError(RuntimeError):
    """A run ended with a status other than 0, or is there with other settings."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
      method: str, as in `--methods`: a method's name, then `:flag=value` any number of times.
      num_labeled: int.
      seed: int.
    """

    method: str
    num_labeled: int
    seed: int

    def name(self):
        """A folder name."""
        method = "".join(c if c.isalnum() or c in "._-" else "-" for c in self.method)
        return f"{method}-{self.num_labeled}-{self.seed}"

    def flags(self, options):
        """The flags of this run.

        Students of several rounds share the steps of one, and a step has as many unlabeled images
        as the dataset's recipe has for Meta Pseudo Labels, whatever the method's paper has.

        Args:
          options: namespace with `dataset`, `steps` and `flags`.

        Returns:
          list of str.

        Raises:
          options.ConfigError: they are no flags of mpl_tf.train, or of no use to the method.
        """
        method, *changes = self.method.split(":")
        shared = [f"--{change}" for change in options.flags.split(",") if change]
        given = [f"--dataset={options.dataset}", f"--method={method}"]
        if applies("unlabeled_ratio", method):
            place = [flag for flag in shared if flag.startswith("--data_dir=")]
            recipe = flags.parse([f"--dataset={options.dataset}", *place]).config.run
            given.append(f"--unlabeled_ratio={recipe.unlabeled_ratio}")
        given += [f"--{change}" for change in changes]
        given += [f"--num_labeled={self.num_labeled}", f"--seed={self.seed}"]
        given += [f"--steps={options.steps}"] if options.steps else []
        given += shared
        made = flags.parse(given).config
        students = METHODS[made.run.method].students(made.method)
        if students > 1:
            given.append(f"--steps={made.run.steps // students}")
            flags.parse(given)
        return given

    def command(self, options, folder):
        """The command line of this run."""
        return [
            *(sys.executable, "-m", "mpl_tf.train"),
            *self.flags(options),
            f"--workdir={folder}",
        ]


def all_cells(methods, num_labeled, seeds):
    """Every cell of a table.

    Seeds come outermost: a comparison that is stopped early has every method at the same seeds.

    Args:
      methods: sequence of str.
      num_labeled: sequence of int.
      seeds: int, how many.

    Returns:
      list of Cell.
    """
    return [Cell(m, n, seed) for seed in range(seeds) for n in num_labeled for m in methods]


def is_finished(cell, out):
    """Whether a cell has results, of whatever settings."""
    return (out / "cells" / cell.name() / "results.json").exists()


def results_of(cell, options, out):
    """The results.json of a cell as a dict; None if it has not finished.

    Raises:
      CellError: it has finished, but with other settings than these.
    """
    folder = out / "cells" / cell.name()
    if not is_finished(cell, out):
        return None
    try:
        wanted = flags.parse(cell.flags(options)).config.flat()
        run_folder.check_same(str(folder), files.read_json(folder / "config.json"), wanted)
    except ConfigError as error:
        raise CellError(f"{error}\nOf this comparison: choose another --out.") from error
    return files.read_json(folder / "results.json")


def run(cell, options, out):
    """Runs a cell, or what is left of it, unless it has finished.

    Args:
      cell: Cell.
      options: namespace with `dataset`, `steps`, `flags` and `jobs`.
      out: pathlib.Path of the comparison.

    Returns:
      dict, its results.json.

    Raises:
      CellError: the run ended with another status than 0, or is there with other settings.
    """
    found = results_of(cell, options, out)
    if found:
        return found
    log = out / "logs" / f"{cell.name()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # Runs beside each other share the cores instead of each wanting all of them.
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads)}
    with open(log, "a", encoding="utf-8") as file:
        status = subprocess.run(
            cell.command(options, out / "cells" / cell.name()),
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment if options.jobs > 1 else None,
        ).returncode
    if status:
        words = "\n".join(log.read_text(encoding="utf-8").strip().splitlines()[-3:])
        raise CellError(f"{cell.name()} ended with status {status}:\n{words}\nLog: {log}")
    return results_of(cell, options, out)


def run_all(cells, options, out):
    """Runs all cells, `options.jobs` at a time.

    Args:
      cells: list of Cell.
      options, out: as for `run`.

    Yields:
      (Cell, its results, None) or (Cell, None, CellError), as they finish.
    """
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(run, cell, options, out): cell for cell in cells}
        try:
            for future in concurrent.futures.as_completed(waiting):
                error = future.exception()
                if error is not None and not isinstance(error, CellError):
                    raise error
                yield waiting[future], None if error else future.result(), error
        finally:
            for future in waiting:
                future.cancel()
