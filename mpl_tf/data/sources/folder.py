"""A folder of image files as a dataset."""

import os

import numpy as np

from mpl_tf.data import stores
from mpl_tf.data.dataset import Dataset, Images, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.images.files import channels_of, check_files, list_classes, list_images
from mpl_tf.options import ConfigError


def folder(path, **options):
    """The images of a folder.

    The folder holds `labeled/<class>/*`, `unlabeled/**` at any depth, and may hold
    `validation/<class>/*` and `test/<class>/*`. Ids are paths inside it.

    Args:
      path: str.
      **options: fields of `data.options.DataConfig`: `image_size`, `skip_broken`.

    Returns:
      data.dataset.Source; images are colour unless all labeled ones are grey.

    Raises:
      ConfigError: a part is missing or empty, a class has no image, a class of validation or test
        is not in labeled, or a file is no readable image.
    """
    return load(path, DataConfig(**options))


def dataset(path):
    """The Dataset behind `--dataset=folder:PATH`; see `folder`."""
    listing = list_classes(path, "labeled")
    count = sum(map(len, listing.values()))
    smallest = min(map(len, listing.values()))
    carved = (
        0 if os.path.isdir(os.path.join(path, "validation")) else len(listing) * (smallest // 10)
    )
    recipe = {"num_labeled": 0, "num_validation": carved}
    return Dataset(lambda options: load(path, options), recipe, available=count)


def load(path, options):
    """As `folder`, with a DataConfig."""
    parts = {"labeled": list_classes(path, "labeled")}
    class_names = tuple(parts["labeled"])
    for part in ("validation", "test"):
        if os.path.isdir(os.path.join(path, part)):
            parts[part] = list_classes(path, part)
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
    pool = list_images(path, "unlabeled")
    files, labels = files + pool, np.array(labels + [-1] * len(pool), np.int64)
    owner = np.array(owner + ["unlabeled"] * len(pool))

    whole = [os.path.join(path, name) for name in files]
    size = options.image_size or 32
    channels = channels_of([f for f, o in zip(whole, owner, strict=True) if o == "labeled"])
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
