"""What a result was computed with: images, versions of packages, and the commit."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

import numpy as np

from mpl_tf import files
from mpl_tf.console import log
from mpl_tf.data import contents
from mpl_tf.data.contents import Contents
from mpl_tf.data.splits import Split
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder


def keep_images(path: str, images: Mapping[str, Contents], split: Split) -> None:
    """Writes which images a run is started with, and its split, but over nothing that is there.

    Args:
      path: the run folder.
      images: part -> what it holds, as data.dataset.Source.contents() gives it.
      split: of the run.
    """
    images_path, split_path = (os.path.join(path, name) for name in (folder.IMAGES, folder.SPLIT))
    if not os.path.lexists(images_path):
        arrays: dict[str, Any] = {
            f"{part}.{name}": array
            for part, held in images.items()
            for name, array in held.arrays().items()
        }
        with files.whole(images_path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **arrays)
    if not os.path.lexists(split_path):
        files.write_json(split_path, split.to_json())


def check_images(path: str, images: Mapping[str, Contents], split: Split) -> None:
    """Compares images and split with those that the run in a folder was started with.

    Args:
      path, images, split: as for `keep_images`; in the folder may be no run.

    Raises:
      ConfigError: they differ; the message says in what, and what to do.
    """
    there = read_images(path)
    if there is None and os.path.exists(os.path.join(path, folder.CHECKPOINTS)):
        log.warning(
            f"{path} has no {folder.IMAGES}: whether the images are those that the run was started "
            f"with is not known, beyond what {folder.SPLIT} says"
        )
    changes = [] if there is None else contents.differences(there, images)
    changes = changes or _split_differences(path, split)
    if changes:
        raise ConfigError(
            f"workdir {path} holds a run that was started on other images: {'; '.join(changes)}. "
            "Restore them, and the same command continues; or choose another --workdir, or "
            "--overwrite to replace that run."
        )


def read_images(path: str) -> dict[str, Contents] | None:
    """Part -> what it held when the run in a folder was started; None if that was not written.

    Raises:
      ConfigError: the file is damaged.
    """
    file = os.path.join(path, folder.IMAGES)
    if not os.path.lexists(file):
        return None
    parts: dict[str, dict[str, np.ndarray]] = {}
    try:
        for key, array in files.read_arrays(file).items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = array
        return {part: Contents(**held) for part, held in parts.items()}
    except (ConfigError, TypeError) as error:
        text = f"{file} is damaged: {error}." if isinstance(error, TypeError) else error
        raise ConfigError(
            f"{text} It says which images the run was started with; restore "
            "it, or remove it to continue without that comparison."
        ) from error


def _split_differences(path, split):
    """How a split differs from that in split.json, a list of texts; none without the file."""
    file = os.path.join(path, folder.SPLIT)
    if not os.path.lexists(file):
        return []
    there, here = files.read_json(file), split.to_json()
    changes = [
        f"{name} of {folder.SPLIT} {there.get(name)} there and {here[name]} here"
        for name in ("class_names", "image_shape", "num_unlabeled")
        if there.get(name) != here[name]
    ]
    for part in ("labeled", "validation"):
        if there.get(part) != here[part]:
            changes.append(f"other {part} images than {folder.SPLIT} names")
    return changes


def versions() -> dict[str, str]:
    """Package name -> version of what a result depends on."""
    packages = ("mpl_tf", "tensorflow", "keras", "numpy", "scikit-learn", "tensorflow-datasets")
    installed = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def git_revision() -> str | None:
    """The commit of the checkout that this package lies in; None outside of one.

    It ends with "-dirty" if something was changed since.
    """
    here = os.path.dirname(os.path.abspath(__file__))

    def git(*arguments):
        command = ["git", "-C", here, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", os.path.basename(__file__))  # not some outer repository
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
