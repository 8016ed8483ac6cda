"""Runs and times a training step that tools/export_step.py wrote; needs JAX and NumPy alone.

    python run.py --steps=20

Prints the losses of the first and the last step, the median of the seconds of a step after the
first two, their middle half, and the memory that the compiler plans for. It runs on JAX's default
device; the environment variable JAX_PLATFORMS chooses another.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # imported when it is needed
    import jax

Arrays = dict[str, Any]  # by name, on JAX's device
FILES = ("step.jax", "state.npz", "batch.npz")


class StepError(Exception):
    """A written step cannot be run; the message says why."""


def load(folder: str | os.PathLike) -> tuple[jax.stages.Compiled, Arrays, Arrays]:
    """A written step, compiled for JAX's default device.

    Args:
      folder: what tools/export_step.py wrote.

    Returns:
      (step, state, batch): a jax.stages.Compiled of (state, batch) -> (new state, logs), which uses
      up the state it is given, and its first arguments: dicts of arrays on the device.

    Raises:
      StepError: the files are not there or damaged, or the step is for another kind of device.
    """
    import jax

    jax.config.update("jax_enable_x64", True)  # counters have 64 bits
    folder = pathlib.Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise StepError(
            f"{folder} must hold {', '.join(FILES)}, as tools/export_step.py writes them; "
            f"{', '.join(missing)} is missing."
        )
    try:
        exported = jax.export.deserialize(bytearray((folder / FILES[0]).read_bytes()))
        state, batch = (
            {name: jax.device_put(value) for name, value in np.load(folder / part).items()}
            for part in FILES[1:]
        )
        step = jax.jit(exported.call, donate_argnums=0)
        return step.lower(state, batch).compile(), state, batch
    except Exception as error:  # readers and JAX raise whatever they stumble over
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StepError(
            f"{folder} cannot be run on {jax.default_backend()}: {reason}. It is damaged, or "
            "written for another device: write it again with tools/export_step.py."
        ) from error


def run(
    step: jax.stages.Compiled, state: Arrays, batch: Arrays, steps: int
) -> tuple[Arrays, list[dict[str, float]], list[float]]:
    """Takes steps, all on one batch.

    Args:
      step, state, batch: as `load` returns them.
      steps: at least 1.

    Returns:
      (new state, logs of every step, seconds of every step): a dict and two lists.
    """
    import jax

    logs, seconds = [], []
    for _ in range(steps):
        start_time = time.perf_counter()
        state, step_logs = jax.block_until_ready(step(state, batch))
        seconds.append(time.perf_counter() - start_time)
        logs.append({name: float(value) for name, value in step_logs.items()})
    return state, logs, seconds


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("folder", nargs="?", default=here, help="the step [beside this file]")
    parser.add_argument("--steps", type=int, default=20, help="steps to take, at least 4 [20]")
    parser.add_argument("--save", help="an npz file to write the last state to")
    arguments = parser.parse_args(argv)
    if arguments.steps < 4:
        parser.error(f"--steps must be at least 4; received {arguments.steps}")
    if arguments.save and not os.path.isdir(os.path.dirname(arguments.save) or "."):
        parser.error(f"--save must be a file in a folder that is there; received {arguments.save}")

    try:
        import jax
    except ImportError as error:
        parser.error(f"{error.name} is missing: pip install jax, as jax.dev says for your device")

    start_time = time.perf_counter()
    try:
        step, state, batch = load(arguments.folder)
    except StepError as error:
        parser.error(str(error))
    loading, device = time.perf_counter() - start_time, jax.devices()[0]
    print(f"{device.platform} {device.device_kind}, compiled in {loading:.1f} s")
    state, logs, seconds = run(step, state, batch, arguments.steps)
    for name, value in logs[0].items():
        print(f"{name}: {value:.6g} at first, {logs[-1][name]:.6g} at last")
    low, middle, high = statistics.quantiles(seconds[2:], n=4)
    images = sum(len(batch[view]) for view in ("labeled", "strong") if view in batch)
    print(
        f"seconds a step: {middle:.5f} ({low:.5f} to {high:.5f}), {images / middle:,.0f} images/s"
    )
    memory = step.memory_analysis()
    if memory is not None:
        names = ("argument", "output", "temp")
        sizes = [getattr(memory, f"{name}_size_in_bytes") / 2**20 for name in names]
        parts = (f"{size:,.0f} MiB {name}" for name, size in zip(names, sizes, strict=True))
        print(f"memory: {', '.join(parts)}")
    if arguments.save:
        np.savez(arguments.save, **{name: np.asarray(value) for name, value in state.items()})


if __name__ == "__main__":
    main()
