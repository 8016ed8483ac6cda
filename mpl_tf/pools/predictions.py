"""Predictions of a pool of images on the disk: a table that is read by the images' positions.

`about.json` says which model answered and which images they are. Rows lie in shards of equal
length, the last one perhaps shorter: `probs-00000.npy` has the class probabilities, float16 [n, K],
and `digests-00000.npy` what tells images apart, uint64 [n]. Nothing here needs TensorFlow.
"""

import os
from collections.abc import Iterator, Mapping
from typing import TypedDict

import numpy as np

from mpl_tf import files
from mpl_tf.options import ConfigError
from mpl_tf.pools import damage

ABOUT = "about.json"
FORMAT = 1
_ROWS = 1 << 14  # rows of a shard
_SHARD_BYTES = 1 << 28  # that those take at most, unless there would be too many shards
_SHARDS = 128
_HEADER = 128  # bytes of a .npy file before its rows
_ANEW = ". Remove it, and the command that made it, given again, computes it anew."


class About(TypedDict):
    """What `about.json` holds.

    Attributes:
      format: of the files.
      model: digest of the network, as `serving.loading.Export.digest` gives it.
      model_path: where that lay; a message names it.
      images: digest of the pool, as `pools.ordered.OrderedPool.digest` gives it.
      number_of_images: N.
      image_shape: (height, width, channels) of the images that the network saw.
      dataset: as `--dataset` was given.
      class_names: K names.
      rows_per_shard: rows of all shards but the last.
    """

    format: int
    model: str
    model_path: str
    images: str
    number_of_images: int
    image_shape: list[int]
    dataset: str
    class_names: list[str]
    rows_per_shard: int


# Entries that say whose predictions these are, and of what.
_IDENTITY = {
    "model": "another model's predictions (of {model_path})",
    "images": "predictions of other images (of {dataset}, {number_of_images:,} images)",
    "class_names": "predictions of other classes",
    "image_shape": "predictions of images of another size",
}


def rows_per_shard(images: int, classes: int) -> int:
    """How many rows a shard has: as many as needed for 128 shards to hold all.

    All of them can then be mapped into memory at once, and a start after a kill repeats little.

    >>> rows_per_shard(1_000_000, 1000), rows_per_shard(100_000_000, 1000)
    (16384, 781250)

    Args:
      images, classes: numbers of them.
    """
    few = min(_ROWS, max(1, _SHARD_BYTES // (2 * classes)))
    return max(few, -(-images // _SHARDS))


def bytes_on_disk(images: int, classes: int, rows: int) -> int:
    """Bytes of the shards of a pool.

    >>> bytes_on_disk(1000, 10, 500)
    28512

    Args:
      images, classes: numbers of them.
      rows: of a shard.
    """
    return images * (2 * classes + 8) + 2 * _HEADER * -(-images // rows)


class Predictions:
    """Stored predictions of all images of a pool.

        predictions = Predictions("predictions")
        probs = predictions.read([0, 7, 3])

    Attributes:
      path: the folder.
      about: what `about.json` holds.

    Args:
      path: a folder that `python -m mpl_tf.predict --to` has filled.

    Raises:
      ConfigError: there is none, shards are missing, or one is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.about = read_about(self.path)
        self._open: dict[int, np.ndarray] = {}
        if missing := self.missing():
            raise ConfigError(
                f"{self.path} lacks {len(missing):,} of {self.shards:,} shards of predictions: the "
                "command that began it, given again, computes the others."
            )
        for number in range(self.shards):
            if fault := damaged(self.path, self.about, number):
                raise ConfigError(f"{fault}{_ANEW}")

    def __len__(self) -> int:
        return self.about["number_of_images"]

    @property
    def class_names(self) -> list[str]:
        """K names."""
        return self.about["class_names"]

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return number_of_shards(self.about)

    def missing(self) -> list[int]:
        """Numbers of the shards that are not there."""
        return missing(self.path, self.about)

    def read(self, positions: np.ndarray | list[int]) -> np.ndarray:
        """The class probabilities of images.

        Args:
          positions: integers [n] from 0 to N - 1, in any order, perhaps some more than once.

        Returns:
          float16 [n, K].

        Raises:
          IndexError: a position is none.
        """
        positions = np.asarray(positions, np.int64)
        found = np.empty([len(positions), len(self.class_names)], np.float16)
        if not len(positions):
            return found
        if not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(
                f"positions must be from 0 to {len(self) - 1}; received {positions.min()} to "
                f"{positions.max()}."
            )
        shards, rows = np.divmod(positions, self.about["rows_per_shard"])
        order = np.argsort(shards, kind="stable")
        numbers, first = np.unique(shards[order], return_index=True)
        for number, places in zip(numbers.tolist(), np.split(order, first[1:]), strict=True):
            found[places] = self._mapped(number)[rows[places]]
        return found

    def blocks(self, rows: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """All predictions in order, some at a time.

        Args:
          rows: how many, at most.

        Yields:
          (first, probs, digests): the position of the first image, float16 [n, K], uint64 [n].

        Raises:
          ConfigError: rows hold something else than probabilities.
        """
        for number in range(self.shards):
            file = file_of(self.path, "probs", number)
            mapped, digests = np.load(file, mmap_mode="r"), self.digests_of_shard(number)
            for first in range(0, len(mapped), rows):
                part = slice(first, first + rows)
                probs = np.array(mapped[part])
                if fault := damage.of_rows(probs):
                    raise ConfigError(f"{file} is damaged: from row {first} on, {fault}{_ANEW}")
                yield number * self.about["rows_per_shard"] + first, probs, digests[part]

    def digests(self) -> np.ndarray:
        """What tells images apart, uint64 [N]."""
        return np.concatenate([self.digests_of_shard(number) for number in range(self.shards)])

    def digests_of_shard(self, number: int) -> np.ndarray:
        """Those of a shard, uint64 [n]."""
        found: np.ndarray = np.load(file_of(self.path, "digests", number))
        return found

    def rows_of(self, digests: np.ndarray) -> np.ndarray:
        """Where images lie here, by their content; of copies the first counts.

        Args:
          digests: uint64 [n], as `data.stores.Store.digests` gives them.

        Returns:
          int64 [n], positions.

        Raises:
          ConfigError: some are not here.
        """
        known, first = np.unique(self.digests(), return_index=True)
        places = np.minimum(np.searchsorted(known, digests), len(known) - 1)
        if absent := int((known[places] != digests).sum()):
            raise ConfigError(
                f"{self.path} has no prediction of {absent:,} of {len(digests):,} images: it was "
                f"made of {self.about['dataset']} as that was then."
            )
        return first[places]

    def check(self, **expected: object) -> None:
        """Refuses predictions of something else.

        Args:
          **expected: entries of `about`, as they should be.

        Raises:
          ConfigError: one is another.
        """
        check_same(self.path, self.about, expected)

    def _mapped(self, number: int) -> np.ndarray:
        if number not in self._open:
            # Not np.memmap, whose every index makes another one.
            self._open[number] = np.asarray(
                np.load(file_of(self.path, "probs", number), mmap_mode="r")
            )
        return self._open[number]


def read_about(path: str) -> About:
    """What `about.json` of a folder of predictions holds.

    Raises:
      ConfigError: there is none, it is damaged, or of another format.
    """
    if not os.path.exists(os.path.join(path, ABOUT)):
        raise ConfigError(
            f"{path} has no stored predictions: there is no {ABOUT}. `python -m mpl_tf.predict "
            "--model=RUN --dataset=NAME --to=FOLDER` makes them."
        )
    about: About = files.read_json(os.path.join(path, ABOUT), About)
    if about["format"] != FORMAT:
        raise ConfigError(
            f"{path} holds predictions of format {about['format']}; this version reads {FORMAT}."
        )
    if fault := damage.of_about(about, _SHARDS):
        raise ConfigError(f"{os.path.join(path, ABOUT)} is damaged: {fault}.")
    return about


def number_of_shards(about: About) -> int:
    """How many shards the predictions of a pool have."""
    return -(-about["number_of_images"] // about["rows_per_shard"])


def rows_of_shard(about: About, number: int) -> int:
    """How many rows a shard has."""
    rows = about["rows_per_shard"]
    return min(rows, about["number_of_images"] - number * rows)


def missing(path: str, about: About) -> list[int]:
    """Numbers of the shards that are not in a folder."""
    there = set(os.listdir(path)) if os.path.isdir(path) else set()
    return [
        number
        for number in range(number_of_shards(about))
        if not {shard_name("probs", number), shard_name("digests", number)} <= there
    ]


def damaged(path: str, about: About, number: int) -> str:
    """What is wrong with a shard that is there, as far as headers and sizes tell.

    Returns:
      "FILE is damaged: ..."; "" if nothing is.
    """
    rows, classes = rows_of_shard(about, number), len(about["class_names"])
    forms: tuple[tuple[str, tuple[int, ...], type], ...] = (
        ("probs", (rows, classes), np.float16),
        ("digests", (rows,), np.uint64),
    )
    for name, shape, dtype in forms:
        file = file_of(path, name, number)
        if fault := damage.of_file(file, shape, dtype):
            return f"{file} is damaged: {fault}"
    return ""


def check_same(path: str, about: About, expected: Mapping[str, object]) -> None:
    """Refuses a folder with predictions of something else; see `Predictions.check`."""
    there: Mapping[str, object] = {**about}
    for name, text in _IDENTITY.items():
        if name in expected and there[name] != expected[name]:
            raise ConfigError(f"{path} holds {text.format(**about)}. Choose another folder.")


def shard_name(kind: str, number: int) -> str:
    """The name of the file of a shard; `kind` is "probs" or "digests"."""
    return f"{kind}-{number:05}.npy"


def file_of(path: str, kind: str, number: int) -> str:
    """The file of a shard, as `shard_name` names it, in a folder of predictions."""
    return os.path.join(path, shard_name(kind, number))
