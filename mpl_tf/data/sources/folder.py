"""A folder of image files as a dataset."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mpl_tf import console, options
from mpl_tf.console import log
from mpl_tf.data import stores
from mpl_tf.data.dataset import Dataset, Form, Images, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.images import class_folders, files
from mpl_tf.options import ConfigError
from mpl_tf.paths import local_path

_SIDE = 32  # pixels, of images whose size is not set
_SIDES = 4, 96  # of squares of one size that are kept as they are


def folder(path: str | os.PathLike[str], **settings: Any) -> Source:
    """The images of a folder.

    The folder holds `labeled/<class>/*`, `unlabeled/**` at any depth, and may hold
    `validation/<class>/*` and `test/<class>/*`. Ids are paths inside it.

    Args:
      path: the folder.
      **settings: fields of `data.options.DataConfig`: `image_size`, `skip_broken`, `cache_dir`
        ("" has all files decoded each time).

    Returns:
      Images are colour unless all labeled ones are grey.

    Raises:
      ConfigError: a part is missing or empty, a class has no image, a class of validation or test
        is not in labeled, or a file is no readable image.
    """
    return load(
        local_path("folder", path), options.make(DataConfig, settings, "mpl_tf.data.folder")
    )


def dataset(path: str) -> Dataset:
    """The Dataset behind `--dataset=folder:PATH`; see `folder`."""
    path = local_path("folder", path)
    classes, _ = class_folders.list_classes(path, "labeled")
    return _dataset(
        lambda options: load(path, options),
        [len(images) for images in classes.values()],
        len(files.list_images(os.path.join(path, "unlabeled")).images),
        os.path.isdir(os.path.join(path, "validation")),
        lambda options: _form(path, options),
    )


def counted(source: Source) -> Dataset:
    """The Dataset of a folder that has been read: without the broken files that were left out."""
    side, _, channels = source.train.shape
    parts = (source.train, source.unlabeled, source.validation, source.test)
    count = sum(part.size or 0 for part in parts if part is not None)
    form = Form(side, channels, len(source.class_names), count)
    return _dataset(
        lambda options: source,
        np.bincount(source.train.labels, minlength=len(source.class_names)).tolist(),
        0 if source.unlabeled is None else source.unlabeled.size or 0,
        source.validation is not None,
        lambda options: form,
    )


def _dataset(
    load: Callable[[DataConfig], Source],
    counts: list[int],
    unlabeled: int,
    has_validation: bool,
    form: Callable[[DataConfig], Form],
) -> Dataset:
    """A Dataset with `counts` labeled images of the classes, and so many unlabeled ones."""
    num_validation = 0 if has_validation else len(counts) * (min(counts) // 10)
    sizes = {"num_labeled": 0, "num_validation": num_validation}
    return Dataset(load, sum(counts), sizes, tuple(counts), unlabeled, form=form)


def _form(path: str, options: DataConfig) -> Form:
    """What the images of a folder are, by the headers of its files."""
    listed = class_folders.find(path)
    paths = [listed.whole_path(file) for part in listed.parts.values() for file, _ in part]
    labeled = [listed.whole_path(file) for file, _ in listed.parts["labeled"]]
    side = options.image_size or _side(paths)
    return Form(side, files.channels_of(labeled), len(listed.class_names), len(paths))


def load(path: str, options: DataConfig) -> Source:
    """As `folder`, with a DataConfig."""
    listed = class_folders.find(path)
    readable = _readable(listed, options)
    parts = _images(readable, options, "labeled")
    return Source(
        parts["labeled"],
        readable.class_names,
        parts.get("unlabeled"),
        parts.get("validation"),
        parts.get("test"),
        skipped=_count(listed) - _count(readable),
    )


def load_part(path: str, part: str, options: DataConfig) -> tuple[Images, tuple[str, ...]]:
    """One part of a folder, "validation" or "test", and its classes; the others may be missing.

    Raises:
      ConfigError: see `class_folders.list_classes`; or a file is no readable image.
    """
    readable = _readable(class_folders.find_part(path, part), options)
    if not readable.parts:
        raise ConfigError(f"{os.path.join(path, part)} has no readable image.")
    return _images(readable, options, part)[part], readable.class_names


def _readable(listed, options):
    """The image files that can be decoded; says what is left out."""
    if listed.ignored:
        log.info(f"{listed.path}: left out, as no images: {files.in_words(listed.ignored)}")
    readable, left_out = listed.readable(
        options.skip_broken,
        lambda paths: console.paced(paths, "checking that images can be read"),
        options.cache_dir,
    )
    if left_out:
        log.info(f"{listed.path}: left out, as broken: {left_out}")
    return readable


def _images(readable, options, channels_part):
    """Part -> its Images, all of one store; in colour unless all of one part are grey."""
    entries = [entry for images in readable.parts.values() for entry in images]
    names = [file for file, _ in entries]
    labels = np.array([label for _, label in entries], np.int64)
    paths = [readable.whole_path(file) for file in names]
    deciding = [readable.whole_path(file) for file, _ in readable.parts[channels_part]]
    channels = files.channels_of(deciding)
    store = stores.file_store(paths, options.image_size or _side(paths), channels, readable.digests)
    # Objects, which all parts share: an array of texts has room for the longest one in each place.
    ids = np.array(names, object)
    images = Images(stores.in_memory(store, len(paths)), np.arange(len(paths)), labels, ids)
    parts, first = {}, 0
    for part, of_part in readable.parts.items():
        parts[part] = images.take(np.arange(first, first + len(of_part)))
        first += len(of_part)
    return parts


def _count(listed):
    return sum(map(len, listed.parts.values()))


def _side(paths: Sequence[str]) -> int:
    """The side in pixels of images whose size is not set: their own, if that is one and small."""
    side = files.common_side(paths)
    return side if _SIDES[0] <= side <= _SIDES[1] else _SIDE
