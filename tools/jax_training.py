"""The programs of a training that tools/export_training.py wrote; needs JAX and NumPy alone."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

Arrays = dict[str, Any]  # by name
RECIPE, STATE, SAVED = "training.json", "state.npz", "saved.npz"
DATA = "data.npz"  # rows and labels
PROGRAMS = {"step": "step.jax", "evaluation": "evaluation.jax"}
OF_RECIPE = "recipe"  # name of an array of a saved state: the digest of the recipe
WEIGHT = " weight"  # ends the names of the weights that logged numbers have in means over steps


class TrainingError(Exception):
    """A written training cannot be run; the message says why."""


def check_folder(folder: str | os.PathLike) -> None:
    """Raises TrainingError if a folder is none that tools/export_training.py wrote."""
    names = (RECIPE, STATE, *PROGRAMS.values())
    if missing := [name for name in names if not (pathlib.Path(folder) / name).is_file()]:
        raise TrainingError(
            f"{folder} must hold {', '.join(names)}, as tools/export_training.py writes them; "
            f"{', '.join(missing)} is missing."
        )


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
        check_folder(folder)
        try:
            content = (self.folder / RECIPE).read_bytes()
            self.recipe, self.digest = json.loads(content), digest(content)
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
        self._specs = whole = {name: _spec(value) for name, value in whole.items()}
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
        for name, of_file in images["digests"].items():
            check_file(folder / name, of_file)
            parts.append(np.load(folder / name))
        for name, of_file in self.recipe["files"].items():
            check_file(self.folder / name, of_file)
        small = dict(np.load(self.folder / DATA))
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

    def read_state(self, path: str | os.PathLike) -> Arrays:
        """A state that was saved: dict of name -> array.

        Raises:
          TrainingError: it cannot be read, or is that of another training.
        """
        try:
            with np.load(path) as archive:
                state = {name: archive[name] for name in archive.files}
        except Exception as error:
            raise TrainingError(f"{path} cannot be read as a state: {error}") from error
        if str(state.pop(OF_RECIPE, self.digest)) != self.digest:
            raise TrainingError(f"{path} is the state of another recipe; name another --save.")
        there = {name: (value.shape, value.dtype) for name, value in state.items()}
        here = {name: (value.shape, value.dtype) for name, value in self._specs.items()}
        if there != here:
            other = sorted({name for name, _ in there.items() ^ here.items()})
            raise TrainingError(f"{path} is the state of another training: see {other[0]}.")
        if not 0 <= state[self.counter] <= self.recipe["steps"]:
            raise TrainingError(
                f"{path} stands at step {state[self.counter]}, of {self.recipe['steps']}."
            )
        return state

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


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def check_file(path: pathlib.Path, of_file: str) -> None:
    """Raises TrainingError if a file of a training is missing, or has another digest."""
    if not path.is_file():
        raise TrainingError(f"{path.parent} must hold {path.name}, of the training.")
    if digest(path.read_bytes()) != of_file:
        raise TrainingError(f"{path} is damaged, or of another training.")


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
