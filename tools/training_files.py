"""The files of an exported training: export_training.py writes, jax_training.py reads them."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

import jax_training
import step_program
from mpl_tf import files
from mpl_tf.options import ConfigError

if TYPE_CHECKING:  # imported when they are needed: TensorFlow and JAX take seconds
    import jax

    from mpl_tf.data.dataset import Images, Source
    from mpl_tf.runs.experiment import Experiment

_TOOLS = os.path.dirname(os.path.abspath(__file__))
# What runs where TensorFlow is not: name of a tool -> its name in the folder.
_RUNNERS = {"run_training.py": "run.py", "jax_training.py": "jax_training.py"}
_DIGESTS = "images.json"
_LARGEST = 50_000_000  # bytes of a file


def image_parts(source: Source) -> list[Images]:
    """The parts of a source that have positions, as they follow each other in the files."""
    from mpl_tf.data.dataset import Images

    parts = (source.train, source.unlabeled, source.validation, source.test)
    return [part for part in parts if isinstance(part, Images)]


def image_count(source: Source) -> int:
    """How many images the files of a source have."""
    return sum(map(len, image_parts(source)))


def rows(source: Source, images: Images) -> np.ndarray:
    """Where images lie in the files of their source: int32 [N].

    Args:
      source: all images.
      images: some of them, by store and position.
    """
    first, result = 0, np.full(len(images), -1, np.int32)
    for part in image_parts(source):
        if part.store is images.store:
            order = np.argsort(part.positions)
            at = np.searchsorted(part.positions, images.positions, sorter=order)
            row = order[np.minimum(at, len(order) - 1)]
            is_there = (part.positions[row] == images.positions) & (result < 0)
            result[is_there] = first + row[is_there]
        first += len(part)
    if (result < 0).any():
        raise ConfigError("an image of the split is none of the dataset's.")
    return result


def write(
    folder: str,
    images_folder: str,
    experiment: Experiment,
    step: jax.export.Exported,
    evaluation: jax.export.Exported,
    state: dict[str, np.ndarray],
) -> None:
    """Writes an exported training.

    Args:
      folder: which is there.
      images_folder: which has the images of the dataset, or is made.
      experiment: the run.
      step, evaluation: its programs.
      state: what they read and assign.

    Raises:
      ConfigError: the folder of the images has others.
    """
    from mpl_tf.config import flags
    from mpl_tf.data import pipeline, shuffle
    from mpl_tf.runs import folder as run_folder
    from mpl_tf.runs.building import derived_seed

    run, split, method = experiment.config.run, experiment.split, experiment.method
    digests, written = write_images(images_folder, split.source), {}
    sizes = {"labeled": run.labeled_batch, "unlabeled": run.labeled_batch * run.unlabeled_ratio}
    pools = {"labeled": (split.labeled, pipeline.LABELED)}
    if method.unlabeled_views:
        pools["unlabeled"] = (split.unlabeled, pipeline.UNLABELED)
    turns = {}
    for name, (pool, stream) in pools.items():
        seed = derived_seed(run.seed, run_folder.TRAIN)
        table = shuffle.table(len(pool), sizes[name], seed, stream, run.steps)
        turns[name] = table.dtype.name
        for number, content in contents(table):
            file = f"turns_{name}-{number:03d}.npy"
            _save(folder, file, content)
            written[file] = jax_training.digest(content)
    np.savez(os.path.join(folder, jax_training.DATA), **data(experiment))
    with open(os.path.join(folder, jax_training.DATA), "rb") as opened:
        written[jax_training.DATA] = jax_training.digest(opened.read())
    np.savez(os.path.join(folder, jax_training.STATE), **state)
    for name, program in (("step", step), ("evaluation", evaluation)):
        _save(folder, jax_training.PROGRAMS[name], program.serialize())
    variables = step_program.named_variables(method)
    counter = next(name for name, variable in variables.items() if variable is method.step)
    recipe = {
        "how": "python run.py trains; it needs JAX and NumPy alone.",
        "steps": run.steps,
        "log_every": run.log_every,
        "eval_every": run.eval_every,
        "labeled_batch": sizes["labeled"],
        "unlabeled_batch": sizes["unlabeled"] if method.unlabeled_views else 0,
        "counter": counter,
        "turns": turns,
        "files": written,
        "images": {"folder": os.path.relpath(images_folder, folder), "digests": digests},
        "flags": flags.to_lines(experiment.config),
    }
    _save(folder, jax_training.RECIPE, json.dumps(recipe, indent=1).encode())
    for tool, name in _RUNNERS.items():
        shutil.copyfile(os.path.join(_TOOLS, tool), os.path.join(folder, name))


def data(experiment: Experiment) -> dict[str, np.ndarray]:
    """Where the images of each part lie in the files, int32, and their labels: name -> array."""
    split = experiment.split
    parts = {"labeled": split.labeled, "validation": split.validation, "test": split.test}
    if experiment.method.unlabeled_views:
        parts["unlabeled"] = split.unlabeled
    arrays = {}
    for part, images in parts.items():
        if images is not None and len(images):
            arrays[f"{part}_rows"] = rows(split.source, images)
            arrays[f"{part}_labels"] = images.labels
    return arrays


def image_shards(source: Source) -> dict[str, bytes]:
    """The files of all images of a source: name -> content."""
    parts = np.concatenate([part.images for part in image_parts(source)])
    return {f"images-{number:03d}.npy": content for number, content in contents(parts)}


def write_images(folder: str, source: Source) -> dict[str, str]:
    """Writes all images of a source, or finds that they are there.

    Args:
      folder: need not exist.
      source: the images.

    Returns:
      Name of a file -> its SHA-256 digest.

    Raises:
      ConfigError: the folder has images of another dataset, or is damaged.
    """
    shards = image_shards(source)
    digests = {name: jax_training.digest(content) for name, content in shards.items()}
    if os.path.lexists(folder):
        if not os.path.isfile(os.path.join(folder, _DIGESTS)):
            raise ConfigError(f"--images={folder} exists and has no {_DIGESTS}; choose another.")
        if files.read_json(os.path.join(folder, _DIGESTS), dict[str, str]) != digests:
            raise ConfigError(f"--images={folder} has other images than the dataset.")
        return digests
    with files.whole(folder) as partial:
        os.makedirs(partial)
        for name, content in shards.items():
            _save(partial, name, content)
        files.write_json(os.path.join(partial, _DIGESTS), digests)
    return digests


def contents(array: np.ndarray, largest: int = _LARGEST) -> Iterator[tuple[int, bytes]]:
    """(number, content) of the .npy files of an array, each of at most `largest` bytes."""
    each = max(1, (largest - 1000) // max(1, array[:1].nbytes))
    for number, first in enumerate(range(0, max(len(array), 1), each)):
        buffer = io.BytesIO()
        np.save(buffer, array[first : first + each])
        yield number, buffer.getvalue()


def _save(folder, name, content):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)
