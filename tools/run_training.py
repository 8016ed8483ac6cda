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
those of the steps alone, without compiling and evaluating.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Arrays = dict[str, Any]  # by name
RECIPE, STATE, SAVED = "training.json", "state.npz", "saved.npz"
PROGRAMS = {"step": "step.jax", "evaluation": "evaluation.jax"}
WEIGHT = " weight"  # ends the names of the weights that logged numbers have in means over steps


class TrainingError(Exception):
    """A written training cannot be run; the message says why."""


class Training:
    """The programs of a written training, compiled for JAX's default device, and its arrays.

    Args:
      folder: what tools/export_training.py wrote.

    Raises:
      TrainingError: files are not there or damaged, or the programs are for other devices.
    """

    def __init__(self, folder: str | os.PathLike):
        import jax

        jax.config.update("jax_enable_x64", True)  # counters have 64 bits
        self.folder = pathlib.Path(folder)
        names = (RECIPE, STATE, *PROGRAMS.values())
        if missing := [name for name in names if not (self.folder / name).is_file()]:
            raise TrainingError(
                f"{folder} must hold {', '.join(names)}, as tools/export_training.py writes them; "
                f"{', '.join(missing)} is missing."
            )
        try:
            self.recipe = json.loads((self.folder / RECIPE).read_text(encoding="utf-8"))
            self._compile()
        except Exception as error:  # readers and JAX raise whatever they stumble over
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrainingError(
                f"{folder} cannot be run on {jax.default_backend()}: {reason}. It is damaged, or "
                "written for another device: write it again with tools/export_training.py."
            ) from error

    def _compile(self):
        import jax
        import jax.numpy as jnp

        exported = {
            name: jax.export.deserialize(bytearray((self.folder / file).read_bytes()))
            for name, file in PROGRAMS.items()
        }
        (state, inputs), _ = jax.tree.unflatten(exported["step"].in_tree, exported["step"].in_avals)
        _, logs = jax.tree.unflatten(exported["step"].out_tree, exported["step"].out_avals)
        (measured, shown), _ = jax.tree.unflatten(
            exported["evaluation"].in_tree, exported["evaluation"].in_avals
        )
        _, sums = jax.tree.unflatten(
            exported["evaluation"].out_tree, exported["evaluation"].out_avals
        )
        self.sums, self.measures, counter = sorted(logs), sorted(sums), self.recipe["counter"]
        self.logs = [name for name in self.sums if not name.endswith(WEIGHT)]
        self.counter = counter
        of_step = (*self.recipe["turns"], "step")
        self._of_data = sorted(inputs.keys() - set(of_step))

        def advance(state, totals, data, turns):
            """The step whose number the state holds; its logs are added to `totals`."""
            step = state[counter]
            of_turn = {
                name: jax.lax.dynamic_index_in_dim(table, step, keepdims=False).astype(jnp.int32)
                for name, table in turns.items()
            }
            taken = {name: state[name] for name in state_names}
            new, logs = exported["step"].call(taken, data | of_turn | {"step": step})
            totals = {name: totals[name] + logs[name].astype(jnp.float32) for name in totals}
            return state | new, totals

        def evaluate(state, images, batch):
            taken = {name: state[name] for name in measured}
            return exported["evaluation"].call(taken, {"images": images, **batch})[1]

        state_names = list(state)
        whole = {**state, **measured}
        table = {
            name: jax.ShapeDtypeStruct((self.recipe["steps"], *inputs[name].shape), dtype)
            for name, dtype in self.recipe["turns"].items()
        }
        totals = {name: jax.ShapeDtypeStruct((), np.float32) for name in self.sums}
        data = {name: _spec(inputs[name]) for name in self._of_data}
        whole = {name: _spec(value) for name, value in whole.items()}
        batch = {name: _spec(value) for name, value in shown.items() if name != "images"}
        self.batch = shown["rows"].shape[0]
        self.step = (
            jax.jit(advance, donate_argnums=(0, 1)).lower(whole, totals, data, table).compile()
        )
        images = _spec(shown["images"])
        self.evaluation = jax.jit(evaluate).lower(whole, images, batch).compile()

    def load(self) -> None:
        """Reads images, labels and the order of the images, and puts them on the device.

        Raises:
          TrainingError: they are not there, or they are others.
        """
        import jax

        images = self.recipe["images"]
        folder = self.folder / images["folder"]
        parts = []
        for name, digest in images["digests"].items():
            if not (folder / name).is_file():
                raise TrainingError(f"{folder} must hold {name}, images of the training.")
            content = (folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                raise TrainingError(f"{folder / name} is damaged, or of other images.")
            del content
            parts.append(np.load(folder / name))
        small = dict(np.load(self.folder / "data.npz"))
        arrays = {"images": np.concatenate(parts), **small}
        self.data = {name: jax.device_put(arrays[name]) for name in self._of_data}
        self.turns = {
            name: jax.device_put(read_parts(self.folder, f"turns_{name}"))
            for name in self.recipe["turns"]
        }
        self.parts = {
            part: (small[f"{part}_rows"], small[f"{part}_labels"])
            for part in ("validation", "test")
            if f"{part}_rows" in small
        }

    def evaluate(self, state: Arrays) -> dict[str, float]:
        """Accuracy and cross entropy of each network on each part, by name."""
        return {
            f"{'val' if part == 'validation' else part}_{name}": value
            for part, (rows, labels) in self.parts.items()
            for name, value in self._measure(state, rows, labels).items()
        }

    def _measure(self, state, rows, labels):
        batches = [
            self.evaluation(state, self.data["images"], batch)
            for batch in _batches(rows, labels, self.batch)
        ]
        return {
            name: float(sum(np.asarray(sums[name], np.float64) for sums in batches)) / len(rows)
            for name in self.measures
        }


def _spec(value):
    import jax

    return jax.ShapeDtypeStruct(value.shape, value.dtype)


def _batches(rows: np.ndarray, labels: np.ndarray, size: int) -> Iterator[Arrays]:
    """All images once; the last batch is filled up with the first image, of weight 0."""
    for first in range(0, len(rows), size):
        missing = max(0, first + size - len(rows))
        weights = np.ones(size - missing, np.float32)
        yield {
            "rows": np.pad(rows[first : first + size], (0, missing)),
            "labels": np.pad(labels[first : first + size], (0, missing)),
            "weights": np.pad(weights, (0, missing)),
        }


def read_parts(folder: pathlib.Path, name: str) -> np.ndarray:
    """An array that lies in several files, name-000.npy, name-001.npy, ..., in one."""
    files = sorted(folder.glob(f"{name}-*.npy"))
    if not files:
        raise TrainingError(f"{folder} must hold {name}-000.npy; it is missing.")
    return np.concatenate([np.load(file) for file in files])


def save(path: str | os.PathLike, state: Arrays) -> None:
    """Writes a state to an npz file that appears whole, or not at all."""
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.savez(file, **{name: np.asarray(value) for name, value in state.items()})
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
        if os.path.exists(path):
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
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
        stops = [(step // every + 1) * every for every in (recipe["log_every"], recipe["eval_every"])]
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
            save(save_to, state)
        table.add(step, values)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("folder", nargs="?", default=here, help="the training [beside this file]")
    parser.add_argument("--steps", type=int, help="how many to take [all that are left]")
    parser.add_argument("--save", help=f"the npz file of the state [{SAVED} in the folder]")
    arguments = parser.parse_args(argv)
    if arguments.steps is not None and arguments.steps < 0:
        parser.error(f"--steps must be at least 0; received {arguments.steps}")
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
        training.load()
        start = save_to if os.path.exists(save_to) else training.folder / STATE
        state = dict(np.load(start))
        steps = training.recipe["steps"] if arguments.steps is None else arguments.steps
        run(training, state, steps, save_to)
    except TrainingError as error:
        sys.exit(f"{parser.prog}: error: {error}")


if __name__ == "__main__":
    main()
