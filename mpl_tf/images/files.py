"""Image files in folders: which there are, and which can be read."""

import os
import sys

import numpy as np
import tensorflow as tf

from mpl_tf.images import decode
from mpl_tf.options import ConfigError

LAYOUT = (
    "labeled/<class>/* and unlabeled/** (any nesting), and, if you have them, "
    f"validation/<class>/* and test/<class>/*; {', '.join(decode.EXTENSIONS)}"
)


def check_files(paths, skip_broken):
    """Decodes every file once.

    Args:
      paths: sequence of str.
      skip_broken: bool, whether to leave broken files out instead of refusing them.

    Returns:
      int64 array, the positions of the readable ones.

    Raises:
      ConfigError: a file is broken, and `skip_broken` is not set; the first few are named.
    """
    data = tf.data.Dataset.from_tensor_slices(list(paths))

    def check(path):
        reason = tf.numpy_function(_reason, [path], tf.string, stateful=False)
        return tf.ensure_shape(reason, [])

    data = data.map(check, tf.data.AUTOTUNE, deterministic=True).prefetch(64)
    reasons = [reason.decode() for reason in data.as_numpy_iterator()]
    broken = [i for i, reason in enumerate(reasons) if reason]
    if broken and not skip_broken:
        named = "; ".join(f"{paths[i]}: {reasons[i]}" for i in broken[:3])
        raise ConfigError(
            f"{len(broken)} of {len(paths)} files are no readable images ({named}). Remove them, "
            "or leave them out with --skip_broken."
        )
    return np.array([i for i, reason in enumerate(reasons) if not reason], np.int64)


def _reason(path):
    return (decode.verify(path.decode()) or "").encode()


def channels_of(paths):
    """1 if all of the images are grey, else 3; reads no further than the first colour image."""
    for path in paths:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
        if decode.channels(head) != 1:
            return 3
    return 1


def list_classes(path, part):
    """dict of class name -> sorted list of files, relative to `path`; every class has one."""
    root = os.path.join(path, part)
    if not os.path.isdir(root):
        raise ConfigError(f"{root} is no folder; {path} must hold {LAYOUT}.")
    names = sorted(
        entry.name
        for entry in os.scandir(root)
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if len(names) < 2 and part == "labeled":
        raise ConfigError(
            f"{root} must hold a folder for each of at least two classes; found "
            f"{', '.join(names) or 'none'}."
        )
    found = {name: list_images(path, os.path.join(part, name)) for name in names}
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise ConfigError(f"{root} has classes without an image: {', '.join(empty)}.")
    return found


def list_images(path, part):
    """Sorted image files under `path`/`part`, at any depth, relative to `path`."""
    found = []
    for root, folders, files in os.walk(os.path.join(path, part)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = (
            f for f in files if f.lower().endswith(decode.EXTENSIONS) and not f.startswith(".")
        )
        found += [os.path.relpath(os.path.join(root, name), path) for name in images]
    return sorted(found)


def list_files(names):
    """The files that arguments stand for.

    Args:
      names: list of str: files; folders, of which all image files are meant; or "-" for a list of
        both, one a line, on standard input.

    Returns:
      (files, failed): list of str, in order; list of (str, str), folders without an image file, and
      what is wrong with them.
    """
    files, failed = [], []
    for name in names:
        if name == "-":
            lines = [line.rstrip("\r\n") for line in sys.stdin]
            more = list_files([line for line in lines if line and line != "-"])
            files, failed = files + more[0], failed + more[1]
        elif os.path.isdir(name):
            inside = []
            for root, folders, found in os.walk(name):
                folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
                inside += [
                    os.path.join(root, file)
                    for file in sorted(found)
                    if file.lower().endswith(decode.EXTENSIONS) and not file.startswith(".")
                ]
            files += inside
            if not inside:
                failed.append((name, f"holds no file that ends in {', '.join(decode.EXTENSIONS)}"))
        else:
            files.append(name)
    return files, failed
