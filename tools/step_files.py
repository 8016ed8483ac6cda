"""The files of an exported training step: export_step.py makes it, run_step.py reads them."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # imported when it is needed: JAX takes seconds
    import jax

_RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_step.py")


def write(
    folder: str,
    program: jax.export.Exported,
    state: dict[str, np.ndarray],
    batch: dict[str, np.ndarray],
) -> None:
    """Writes an exported step.

    Args:
      folder: which is there.
      program, state: as `lower` returns them.
      batch: dict of name -> array.
    """
    import jax

    def save(name, content):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)

    save("step.stablehlo", program.mlir_module_serialized)
    save("step.jax", program.serialize())
    np.savez(os.path.join(folder, "state.npz"), **state)
    np.savez(os.path.join(folder, "batch.npz"), **batch)
    inputs, _ = jax.tree.unflatten(program.in_tree, program.in_avals)
    outputs = jax.tree.unflatten(program.out_tree, program.out_avals)
    signature = {
        "how": "Inputs and outputs of main in step.stablehlo, in order. Feed the new state of one "
        "step to the next. The initial state is state.npz, a batch is batch.npz; with JAX: "
        "python run.py",
        "inputs": _described(zip(("state", "batch"), inputs, strict=True)),
        "outputs": _described(zip(("state", "logs"), outputs, strict=True)),
    }
    save("signature.json", json.dumps(signature, indent=1).encode())
    shutil.copyfile(_RUNNER, os.path.join(folder, "run.py"))


def _described(parts):
    return [
        {"part": part, "name": name, "shape": list(a.shape), "dtype": a.dtype.name}
        for part, arrays in parts
        for name, a in sorted(arrays.items())
    ]
