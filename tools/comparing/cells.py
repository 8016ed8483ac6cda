"""Cells of a comparison: one run of `python -m mpl_tf.train` each, kept when finished."""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import run_flags
from mpl_tf import data, files
from mpl_tf.config import applies, flags
from mpl_tf.data import splits
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder as run_folder
from mpl_tf.runs import results as run_results

# Flags on which it depends what the recipe is.
_OF_RECIPE = ("--data_dir=", "--network=", "--network_weights=", "--train=")


# What a cell is, and by which it differs from others.
_OF_CELL = ("dataset", "method", "num_labeled", "seed")


def _steps(options: argparse.Namespace) -> list[str]:
    return [f"--steps={options.steps}"] if options.steps else []


def _check_once(method: str, own: Sequence[str], of_every_run: Sequence[str]) -> None:
    """Raises ConfigError if every run has a flag that a method is defined by: which one counts?"""
    every = {flag.partition("=")[0].removeprefix("--"): flag for flag in of_every_run}
    for flag in own:
        if (name := flag.partition("=")[0].removeprefix("--")) in every:
            raise ConfigError(
                f"{method} has {flag.removeprefix('--')}, and every run has "
                f"{every[name].removeprefix('--')}: leave one of them out."
            )


class CellError(RuntimeError):
    """A run ended with a status other than 0, or is there with other settings."""


def parts(method: str) -> tuple[str, str]:
    """(name of a method in tables and pictures, its definition).

    >>> parts("uda:uda_weight=1")
    ('uda:uda_weight=1', 'uda:uda_weight=1')
    >>> parts("my own=uda:uda_weight=1")
    ('my own', 'uda:uda_weight=1')

    Args:
      method: as in `--methods`: a method's name, then `:flag=value` any number of times: its
        definition. Another name without a colon and `=` may stand before it.
    """
    name, equals, rest = method.partition("=")
    return (name, rest) if equals and ":" not in name else (method, method)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
      method: as `parts` takes it.
      num_labeled, seed: flags of the run.
    """

    method: str
    num_labeled: int
    seed: int

    def name(self) -> str:
        """A folder name."""
        method = parts(self.method)[1]
        method = "".join(c if c.isalnum() or c in "._-" else "-" for c in method)
        return f"{method}-{self.num_labeled}-{self.seed}"

    def flags(self, options: argparse.Namespace) -> list[str]:
        """The flags of this run.

        Students of several rounds share the steps of one. Unlabeled images a step and steps of
        finetuning are those of the dataset's recipe, or that of a head alone, for Meta Pseudo
        Labels, whatever the method's paper has: every method ends in the same way.

        Args:
          options: has `dataset`, `steps` and `flags`.

        Raises:
          options.ConfigError: they are no flags of mpl_tf.train, or of no use to the method, or a
            flag is both the method's own and one of every run.
        """
        method, _, changes = parts(self.method)[1].partition(":")
        dataset = f"--dataset={options.dataset}"
        of_method = run_flags.arguments(changes.replace(":", ","), _OF_CELL, "--methods")
        of_every_run = run_flags.arguments(options.flags, _OF_CELL)
        _check_once(self.method, of_method, [*of_every_run, *_steps(options)])
        arguments = [dataset, f"--method={method}"]
        of_recipe = [flag for flag in of_method + of_every_run if flag.startswith(_OF_RECIPE)]
        recipe = flags.parse([dataset, *of_recipe]).config.run
        for name in ("unlabeled_ratio", "finetune_steps"):
            if applies(name, method):
                arguments.append(f"--{name}={getattr(recipe, name)}")
        arguments += of_method
        arguments += [f"--num_labeled={self.num_labeled}", f"--seed={self.seed}"]
        arguments += _steps(options)
        arguments += of_every_run
        config = flags.parse(arguments).config
        students = METHODS[config.run.method].students(config.method)
        if students > 1:
            arguments.append(f"--steps={config.run.steps // students}")
            flags.parse(arguments)
        return arguments

    def command(self, options: argparse.Namespace, folder: pathlib.Path) -> list[str]:
        """The command line of this run."""
        return [
            *(sys.executable, "-m", "mpl_tf.train"),
            *self.flags(options),
            f"--workdir={folder}",
        ]

    def check(self, options: argparse.Namespace) -> None:
        """Refuses a run that cannot be, or whose accuracy could not be measured.

        Args:
          options: has `dataset`, `steps`, `flags` and `on`.

        Raises:
          options.ConfigError: as of `flags`; it would have no validation images to measure on, or
            choose what it delivers on them.
        """
        settings = flags.parse(self.flags(options)).config
        if options.on == "validation" and settings.run.deliver == "best":
            raise ConfigError(
                "--on=validation would measure on the images by which deliver=best chooses what is "
                "delivered: leave deliver=best out, or measure on test images."
            )
        if options.on == "test" and settings.run.deliver != "best":
            return
        if options.on == "validation" and settings.data.num_validation:
            return
        source = data.find(settings.run.dataset, settings.data.data_dir).load(settings.data)
        if options.on == "test" and source.test is None:
            raise ConfigError(
                f"{options.dataset} has no test images, and deliver=best chooses on the validation "
                "images, which accuracies would be of: leave deliver=best out."
            )
        if options.on == "validation" and source.validation is None:
            raise ConfigError(
                f"--on=validation measures on validation images, and {options.dataset} has none: "
                "set num_validation in --flags."
            )


def all_cells(
    methods: Sequence[str], num_labeled: Sequence[int], seeds: int, first_seed: int = 0
) -> list[Cell]:
    """Every cell of a table.

    Seeds come outermost: a comparison that is stopped early has every method at the same seeds.
    """
    of_cells = range(first_seed, first_seed + seeds)
    return [Cell(m, n, seed) for seed in of_cells for n in num_labeled for m in methods]


def is_finished(cell: Cell, out: pathlib.Path) -> bool:
    """Whether a cell has results, of whatever settings."""
    return (out / "cells" / cell.name() / run_folder.RESULTS).exists()


def num_classes(cells: Iterable[Cell], out: pathlib.Path) -> int:
    """How many classes the images of finished cells have; 0 if none of them says so."""
    for cell in cells:
        with contextlib.suppress(ConfigError):
            split = splits.read_ids(str(out / "cells" / cell.name() / run_folder.SPLIT))
            if "class_names" in split:
                return len(split["class_names"])
    return 0


def results_of(cell: Cell, options: argparse.Namespace, out: pathlib.Path) -> dict[str, Any] | None:
    """The results.json of a cell; None if it has not finished.

    Raises:
      CellError: it has finished, but with other settings than these.
    """
    folder = out / "cells" / cell.name()
    if not is_finished(cell, out):
        return None
    try:
        flat = flags.parse(cell.flags(options)).config.flat()
        run_folder.check_same(str(folder), files.read_json(folder / run_folder.CONFIG), flat)
    except ConfigError as error:
        raise CellError(f"{error}\nOf this comparison: choose another --out.") from error
    try:
        results = run_results.read(str(folder))
    except ConfigError as error:
        raise CellError(str(error)) from error
    if options.on == "validation":
        results |= {"test_accuracy": None}
    if not (results.get("test_accuracy") or results.get("validation_accuracy")):
        part = "validation" if options.on == "validation" else "test or validation"
        raise CellError(f"{folder} has no accuracy: there are no {part} images.")
    return results


class Processes:
    """The runs that are under way. Once stopped, no other begins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: list[subprocess.Popen] = []
        self._stopped = False

    def begin(self, command: Sequence[str], **options: Any) -> subprocess.Popen:
        """Begins one; arguments as for `subprocess.Popen`.

        Raises:
          CellError: they were stopped.
        """
        with self._lock:
            if self._stopped:
                raise CellError("the comparison is stopped")
            process = subprocess.Popen(command, **options)
            self._begun.append(process)
        return process

    def stop(self) -> None:
        """Sends SIGTERM to all of them."""
        with self._lock:
            self._stopped = True
            for process in self._begun:
                process.terminate()


def run(
    cell: Cell,
    options: argparse.Namespace,
    out: pathlib.Path,
    processes: Processes,
) -> dict[str, Any] | None:
    """Runs a cell, or what is left of it, unless it has finished.

    Args:
      cell: which.
      options: has `dataset`, `steps`, `flags` and `jobs`.
      out: folder of the comparison.
      processes: begins the run, so that it can be stopped.

    Returns:
      Its results.json.

    Raises:
      CellError: the run ended with another status than 0, is there with other settings, or did not
        begin, because all are stopped.
    """
    results = results_of(cell, options, out)
    if results:
        return results
    log = out / "logs" / f"{cell.name()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # Runs beside each other share the cores instead of each wanting all of them.
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads)}
    with open(log, "a", encoding="utf-8") as file:
        process = processes.begin(
            cell.command(options, out / "cells" / cell.name()),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment if options.jobs > 1 else None,
        )
        status = process.wait()
    if status:
        words = "\n".join(log.read_text(encoding="utf-8").strip().splitlines()[-3:])
        raise CellError(f"{cell.name()} ended with status {status}:\n{words}\nLog: {log}")
    return results_of(cell, options, out)


def run_all(
    cells: Sequence[Cell], options: argparse.Namespace, out: pathlib.Path
) -> Iterator[tuple[Cell, dict[str, Any] | None, CellError | None]]:
    """Runs all cells, `options.jobs` at a time.

    If it is left early, runs under way are sent SIGTERM: they save their step and end.

    Args:
      cells: in the order of their start.
      options, out: as for `run`.

    Yields:
      (cell, its results, None) or (cell, None, what went wrong), as they finish.
    """
    processes = Processes()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = {pool.submit(run, cell, options, out, processes): cell for cell in cells}
        try:
            for future in concurrent.futures.as_completed(futures):
                error = future.exception()
                if error is None:
                    yield futures[future], future.result(), None
                elif isinstance(error, CellError):
                    yield futures[future], None, error
                else:
                    raise error
        finally:
            for future in futures:
                future.cancel()
            processes.stop()
