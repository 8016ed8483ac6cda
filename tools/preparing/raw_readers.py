"""Reads the raw files of small image sets."""

import collections.abc
import dataclasses
import functools
import gzip
import io
import math
import pathlib
import pickle
import struct
import tarfile
import zlib

import numpy as np
import scipy.io

from mpl_tf.options import ConfigError
from preparing.raw_files import locate, published, verify

_COUNTS = {
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
    "svhn_cropped": {"train": 73_257, "test": 26_032, "extra": 531_131},
    "mnist": {"train": 60_000, "test": 10_000},
    "fashion_mnist": {"train": 60_000, "test": 10_000},
    "kmnist": {"train": 60_000, "test": 10_000},
}
CIFAR10 = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
_UNREADABLE = (OSError, EOFError, zlib.error, tarfile.TarError)


@dataclasses.dataclass(frozen=True)
class Raw:
    """A set as its raw files give it.

    Attributes:
      splits: dict of split -> callable that returns (images uint8 [N, H, W, C], dict of feature ->
        integers [N]).
      id_format: str with the fields `split` and `index`, the feature "id"; None if there is none.
      class_names: dict of feature -> list of str, where the builder does not know them itself.
    """

    splits: dict[str, collections.abc.Callable]
    id_format: str | None = None
    class_names: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def examples(self) -> dict[str, collections.abc.Iterator[tuple[int, dict]]]:
        """Split -> generator of (key, example), keyed by position as in TFDS's builders."""
        return {split: self._examples(split) for split in self.splits}

    def _examples(self, split):
        images, labels = self.splits[split]()
        for index, image in enumerate(images):
            example = {"image": image, **{name: of[index] for name, of in labels.items()}}
            if self.id_format:
                example["id"] = self.id_format.format(split=split, index=index)
            yield index, example


def read(
    name: str,
    source: str | pathlib.Path,
    checksums: collections.abc.Mapping[str, tuple[str, str]] | None = None,
    counts: collections.abc.Mapping[str, int] | None = None,
) -> Raw:
    """Finds and checks the files of a set.

    Args:
      name: a key of RAW_FILES.
      source: the folder that holds the files, or the one above it.
      checksums: file name -> (algorithm, digest); files that are not in it are checked by
        their form alone. None: see `published`.
      counts: split -> images in it. None: those of the published files.

    Raises:
      ConfigError: a file is missing, is not the published one, or cannot be read.
    """
    files = locate(name, pathlib.Path(source).expanduser())
    checksums = published(name) if checksums is None else checksums
    counts = _COUNTS[name] if counts is None else counts
    return _READERS[name](files, checksums, counts)


def _check_count(part, received, expected):
    if received != expected:
        raise ConfigError(f"{part} must hold {expected:,} images; it holds {received:,}.")


def _check_labels(name, labels, low, high):
    if not low <= labels.min() <= labels.max() <= high:
        raise ConfigError(
            f"labels in {name} must be from {low} to {high}; received {labels.min()} to "
            f"{labels.max()}."
        )


def _cifar10(files, checksums, counts):
    batches = [f"data_batch_{i}" for i in range(1, 6)]
    contents = _contents(files, checksums)
    parts, keys = {"train": batches, "test": ["test_batch"]}, {"label": b"labels"}
    return _cifar(files, contents, counts, parts, keys, {"label": CIFAR10})


def _cifar100(files, checksums, counts):
    contents = _contents(files, checksums)
    if "meta" in contents:
        lists = pickle.loads(contents["meta"], encoding="bytes")
        fine, coarse = (
            [name.decode() for name in lists[key]]
            for key in (b"fine_label_names", b"coarse_label_names")
        )
    else:
        fine, coarse = (
            _member(files, contents, f"{kind}_label_names.txt").decode().split()
            for kind in ("fine", "coarse")
        )
    # In the order of the label bytes in the binary version.
    keys = {"coarse_label": b"coarse_labels", "label": b"fine_labels"}
    names = {"label": fine, "coarse_label": coarse}
    return _cifar(files, contents, counts, {"train": ["train"], "test": ["test"]}, keys, names)


def _contents(files, checksums):
    """dict of file name -> bytes: of `files`, or of what is in the archive that they are."""
    ((file, path), *others) = files.items()
    if others:
        contents = {name: path.read_bytes() for name, path in files.items()}
    else:
        with open(path, "rb") as archive:
            verify(path, archive, checksums.get(file))
        try:
            with tarfile.open(path) as archive:
                members = [member for member in archive if member.isfile()]
                contents = {
                    member.name.rpartition("/")[2]: archive.extractfile(member).read()
                    for member in members
                }
        except _UNREADABLE as error:
            raise ConfigError(f"{path} cannot be unpacked: {error}.") from error
    for name, content in contents.items():
        verify(files.get(name, f"{name} in {path}"), io.BytesIO(content), checksums.get(name))
    return contents


def _member(files, contents, name):
    if name not in contents:
        raise ConfigError(f"{next(iter(files.values()))} lacks {name}.")
    return contents[name]


def _cifar(files, contents, counts, parts, keys, class_names):
    """Raw of the python or the binary version: planes of red, green and blue, row by row."""
    binary = any(name.endswith(".bin") for name in contents)

    def parse(name):
        content = _member(files, contents, f"{name}.bin" if binary else name)
        if not binary:  # its md5 was checked: what is unpickled is what the authors pickled
            batch = pickle.loads(content, encoding="bytes")
            return batch[b"data"], [batch[key] for key in keys.values()]
        rows = np.frombuffer(content, np.uint8).reshape(-1, len(keys) + 3072)
        return rows[:, len(keys) :], rows.T[: len(keys)]

    splits = {}
    for split, names in parts.items():
        planes, labels = zip(*map(parse, names), strict=True)
        images = np.concatenate(planes).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = dict(zip(keys, np.concatenate(labels, axis=1), strict=True))
        _check_count(f"the {split} part", len(images), counts[split])
        for feature, of in labels.items():
            _check_labels(f"the {split} part", of, 0, len(class_names[feature]) - 1)
        splits[split] = functools.partial(_pair, images, labels)
    return Raw(splits, "{split}_{index:05d}", class_names)


def _pair(images, labels):
    return images, labels


def _mnist(files, checksums, counts):
    splits = {}
    for split, prefix in {"train": "train", "test": "t10k"}.items():
        images, labels = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
        count = counts[split]
        pixels = _idx(images, files[images], (count, 28, 28), checksums)[..., None]
        classes = _idx(labels, files[labels], (count,), checksums)
        _check_labels(files[labels], classes, 0, 9)
        splits[split] = functools.partial(_pair, pixels, {"label": classes})
    return Raw(splits)


def _idx(name, path, shape, checksums):
    """The uint8 array in an idx file of that shape."""
    content = packed = path.read_bytes()
    title = path
    if packed.startswith(b"\x1f\x8b"):
        title, of_packed = f"the content of {path}", checksums.get(f"{name}.gz")
        if name not in checksums:
            verify(path, io.BytesIO(packed), of_packed)
        try:
            content = gzip.decompress(packed)
        except _UNREADABLE as error:
            verify(path, io.BytesIO(packed), of_packed)
            raise ConfigError(f"{path} cannot be decompressed: {error}.") from error
    verify(title, io.BytesIO(content), checksums.get(name))
    # Two zeros, the type (8: uint8), the number of dimensions; then the dimensions.
    expected = (0x0800 + len(shape), *shape)
    layout = struct.Struct(f">{len(expected)}I")
    header = layout.unpack_from(content) if len(content) >= layout.size else "too short"
    if header != expected:
        raise ConfigError(f"the idx header of {path} must be {expected}; received {header}.")
    size = layout.size + math.prod(shape)
    if len(content) != size:
        raise ConfigError(f"{title} must have {size:,} bytes; it has {len(content):,}.")
    return np.frombuffer(content, np.uint8, offset=layout.size).reshape(shape)


def _svhn(files, checksums, counts):
    splits = {}
    for file, path in files.items():
        with open(path, "rb") as content:
            verify(path, content, checksums.get(file))
        split = file.partition("_")[0]
        expected = {"X": (32, 32, 3, counts[split]), "y": (counts[split], 1)}
        try:
            shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        except Exception as error:  # SciPy has no common class for what can be wrong with a file
            raise ConfigError(f"{path} cannot be read as a MATLAB file: {error}.") from error
        if {name: shapes.get(name) for name in expected} != expected:
            raise ConfigError(f"{path} must hold arrays {expected}; it holds {shapes}.")
        splits[split] = functools.partial(_svhn_part, path)
    return Raw(splits, "{split}_{index:06d}")


def _svhn_part(path):
    # Read when it is written: `extra` has 1.6 GB.
    arrays = scipy.io.loadmat(path)
    images, digits = np.moveaxis(arrays["X"], -1, 0), arrays["y"][:, 0]
    _check_labels(path, digits, 1, 10)
    return images, {"label": digits % 10}  # in the file, 10 stands for the digit 0


_READERS = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "svhn_cropped": _svhn,
    "mnist": _mnist,
    "fashion_mnist": _mnist,
    "kmnist": _mnist,
}
