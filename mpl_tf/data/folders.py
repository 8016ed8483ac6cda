"""A folder of image files as a dataset."""

import os

import numpy as np
import tensorflow as tf

from mpl_tf.data import decode, stores
from mpl_tf.data.dataset import DataConfig, Dataset, Images, Source
from mpl_tf.options import ConfigError

LAYOUT = (
    "labeled/<class>/* and unlabeled/** (any nesting), and, if you have them, "
    f"validation/<class>/* and test/<class>/*; {', '.join(decode.EXTENSIONS)}"
)


def folder(path, **options):
    """The images of a folder.

    The folder holds `labeled/<class>/*`, `unlabeled/**` at any depth, and may hold
    `validation/<class>/*` and `test/<class>/*`. Ids are paths inside it.

    Args:
      path: str.
      **options: fields of `data.dataset.DataConfig`: `image_size`, `skip_broken`.

    Returns:
      data.dataset.Source; images are colour unless all labeled ones are grey.

    Raises:
      ConfigError: a part is missing or empty, a class has no image, a class of validation or test
        is not in labeled, or a file is no readable image.
    """
    return load(path, DataConfig(**options))


def dataset(path):
    """The Dataset behind `--dataset=folder:PATH`; see `folder`."""
    listing = _list_classes(path, "labeled")
    count = sum(map(len, listing.values()))
    smallest = min(map(len, listing.values()))
    carved = (
        0 if os.path.isdir(os.path.join(path, "validation")) else len(listing) * (smallest // 10)
    )
    recipe = {"num_labeled": 0, "num_validation": carved}
    return Dataset(lambda options: load(path, options), recipe, available=count)


def load(path, options):
    """As `folder`, with a DataConfig."""
    parts = {"labeled": _list_classes(path, "labeled")}
    class_names = tuple(parts["labeled"])
    for part in ("validation", "test"):
        if os.path.isdir(os.path.join(path, part)):
            parts[part] = _list_classes(path, part)
            foreign = sorted(parts[part].keys() - parts["labeled"].keys())
            if foreign:
                raise ConfigError(
                    f"{path}/{part} has classes that labeled does not have: {', '.join(foreign)}."
                )
    files, labels, owner = [], [], []
    for part, classes in parts.items():
        for name, found in classes.items():
            files += found
            labels += [class_names.index(name)] * len(found)
            owner += [part] * len(found)
    pool = _list_files(path, "unlabeled")
    files, labels = files + pool, np.array(labels + [-1] * len(pool), np.int64)
    owner = np.array(owner + ["unlabeled"] * len(pool))

    whole = [os.path.join(path, name) for name in files]
    size = options.image_size or 32
    channels = _channels([f for f, o in zip(whole, owner, strict=True) if o == "labeled"])
    good = check_files(whole, options.skip_broken)
    files, whole = [files[i] for i in good], [whole[i] for i in good]
    labels, owner = labels[good], owner[good]
    for k, name in enumerate(class_names):
        if not np.any((labels == k) & (owner == "labeled")):
            raise ConfigError(f"class {name!r} of {path}/labeled has no readable image.")
    store = stores.in_memory(stores.file_store(whole, size, channels), len(whole))
    every = Images(store, np.arange(len(whole)), labels, np.array(files, dtype=str))

    def part(name):
        chosen = np.flatnonzero(owner == name)
        return every.take(chosen) if len(chosen) else None

    return Source(
        part("labeled"),
        class_names,
        part("unlabeled"),
        part("validation"),
        part("test"),
        skipped=len(pool) + sum(len(f) for c in parts.values() for f in c.values()) - len(good),
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


def _channels(paths):
    """1 if all of the images are grey, else 3; reads no further than the first colour image."""
    for path in paths:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
        if decode.channels(head) != 1:
            return 3
    return 1


def _list_classes(path, part):
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
    found = {name: _list_files(path, os.path.join(part, name)) for name in names}
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise ConfigError(f"{root} has classes without an image: {', '.join(empty)}.")
    return found


def _list_files(path, part):
    """Sorted image files under `path`/`part`, at any depth, relative to `path`."""
    found = []
    for root, folders, files in os.walk(os.path.join(path, part)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = (
            f for f in files if f.lower().endswith(decode.EXTENSIONS) and not f.startswith(".")
        )
        found += [os.path.relpath(os.path.join(root, name), path) for name in images]
    return sorted(found)
