"""Takes the steps of a training that tools/export_training.py wrote; needs JAX and NumPy alone.

    python run.py                   all steps that are left
    python run.py --steps=1000      1,000 more
    python run.py --steps=0         none: compiles only, and needs no images for it

It runs on JAX's default device; the environment variable JAX_PLATFORMS chooses another, and
JAX_COMPILATION_CACHE_DIR names a folder in which what was compiled is kept for another process.
The state is saved, whole or not at all, at each evaluation and at the end, to --save; where that
file is there, training continues from it. Beside it lies a table, --save with the ending .csv: at
each step that the recipe logs, the mean of what the steps since the last row logged and, where it
evaluates, accuracy and cross entropy of each network on validation and test images; `seconds` are
those of the steps alone, without compiling and evaluating. Networks are tested with the moving
batch statistics that they have: those of the averaged network are renewed after the last step only
where the run goes on, by tools/import_training.py.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np

from jax_training import (
    OF_RECIPE,
    SAVED,
    STATE,
    WEIGHT,
    Arrays,
    Training,
    TrainingError,
    check_folder,
)


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Keeps other processes from a state and its table, where the system has locks of files.

    Raises:
      TrainingError: another process has it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(f"{path}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"another run.py is busy with {path}; name another --save."
            ) from error
        yield


def save(path: str | os.PathLike, state: Arrays, recipe: str) -> None:
    """Writes a state to an npz file that appears whole, or not at all.

    Args:
      path: the file.
      state: dict of name -> array.
      recipe: the digest of the recipe that it is of.

    Raises:
      TrainingError: an array has a NaN or an infinite number; what was there before stays.
    """
    arrays = {name: np.asarray(value) for name, value in state.items()}
    if bad := [name for name, value in arrays.items() if not np.isfinite(value).all()]:
        raise TrainingError(f"{bad[0]} is NaN or infinite: training has diverged.")
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.savez(file, **arrays, **{OF_RECIPE: np.array(recipe)})
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


class Table:
    """The csv of a training: `step`, `seconds`, and a column for each number.

    Args:
      path: the file; rows of later steps than `step` are removed.
      names: of the numbers.
      step: where the training stands.
    """

    def __init__(self, path: str | os.PathLike, names: Sequence[str], step: int):
        self._path, self._names, rows = path, ["step", "seconds", *names], []
        self.seconds = 0.0
        if os.path.exists(path):
            try:
                with open(path, newline="", encoding="utf-8") as file:
                    rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
                self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
            except (KeyError, ValueError, TypeError, OSError) as error:
                raise TrainingError(f"{path} is no table of a training: {error}.") from error
        partial = f"{path}.partial"
        with open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(partial, path)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Adds a row; what `values` lacks is empty."""
        values = {"step": step, "seconds": f"{self.seconds:.3f}", **values}
        with open(self._path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._names).writerow(values)


def run(training: Training, state: Arrays, steps: int, save_to: str | os.PathLike) -> Arrays:
    """Takes steps from where a state stands, saves, logs and prints.

    Args:
      training: whose `load` was called.
      state: dict of name -> array.
      steps: how many; not more are taken than the recipe has.
      save_to: the npz file of the state; the table lies beside it.

    Returns:
      The new state, on the device.

    Raises:
      TrainingError: a number that was logged is NaN or infinite; what was saved before is there.
    """
    import jax

    recipe = training.recipe
    step = int(state[training.counter])
    last = min(step + steps, recipe["steps"])
    state = {name: jax.device_put(value) for name, value in state.items()}
    parts = ("val" if part == "validation" else part for part in training.parts)
    names = [*training.logs, *(f"{part}_{name}" for part in parts for name in training.measures)]
    table = Table(pathlib.Path(save_to).with_suffix(".csv"), names, step)
    images = recipe["labeled_batch"] + recipe["unlabeled_batch"]
    while step < last:
        stops = [
            (step // every + 1) * every for every in (recipe["log_every"], recipe["eval_every"])
        ]
        stop = min(last, *stops)
        start_time = time.perf_counter()
        totals = {name: np.float32(0) for name in training.sums}
        for _ in range(stop - step):
            state, totals = training.step(state, totals, training.data, training.turns)
        totals = {name: float(value) for name, value in jax.device_get(totals).items()}
        values = {
            name: totals[name] / totals[name + WEIGHT]
            for name in training.logs
            if totals[name + WEIGHT]
        }
        seconds = time.perf_counter() - start_time
        table.seconds += seconds
        rate = (stop - step) / seconds
        step = stop
        if bad := [name for name, value in values.items() if not math.isfinite(value)]:
            raise TrainingError(f"step {step}: {', '.join(bad)} is NaN or infinite.")
        shown = {name: value for name, value in values.items() if name.endswith("loss")}
        if step % recipe["eval_every"] == 0 or step == last:
            measured = training.evaluate(state)
            values |= measured
            shown |= {name: v for name, v in measured.items() if name.endswith("accuracy")}
        table.add(step, values)  # first: rows of later steps than the state's are removed
        if step % recipe["eval_every"] == 0 or step == last:
            save(save_to, state, training.digest)
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        print(
            f"step {step} of {recipe['steps']}: {numbers}; {rate * images:,.0f} images/s, "
            f"{(last - step) / rate / 60:.1f} min left",
            flush=True,
        )
    return state


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style, allow_abbrev=False)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("folder", nargs="?", default=here, help="the training [beside this file]")
    parser.add_argument("--steps", type=int, help="how many to take [all that are left]")
    parser.add_argument("--save", help=f"the npz file of the state [{SAVED} in the folder]")
    arguments = parser.parse_args(argv)
    if arguments.steps is not None and arguments.steps < 0:
        parser.error(f"--steps must be at least 0; received {arguments.steps}")
    try:
        check_folder(arguments.folder)
    except TrainingError as error:
        parser.error(str(error))
    save_to = arguments.save or os.path.join(arguments.folder, SAVED)
    if not save_to.endswith(".npz") or not os.path.isdir(os.path.dirname(save_to) or "."):
        parser.error(f"--save must be an .npz file in a folder that is there; received {save_to}")
    try:
        import jax
    except ImportError as error:
        parser.error(f"{error.name} is missing: pip install jax, as jax.dev says for your device")
    try:
        start_time = time.perf_counter()
        training = Training(arguments.folder)
        seconds, device = time.perf_counter() - start_time, jax.devices()[0]
        print(f"{device.platform} {device.device_kind}, compiled in {seconds:.1f} s", flush=True)
        if arguments.steps == 0:
            return
        with locked(save_to):
            training.load()
            start = save_to if os.path.exists(save_to) else training.folder / STATE
            state, total = training.read_state(start), training.recipe["steps"]
            if int(state[training.counter]) == total:
                print(f"all {total} steps are taken: {save_to}")
            run(training, state, total if arguments.steps is None else arguments.steps, save_to)
    except TrainingError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
