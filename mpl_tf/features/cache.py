"""A cache of features on the disk: one folder, filled chunk by chunk, by one process at a time.

`features.npy` has its whole size from the beginning, with zeros where nothing is computed yet.
`chunks.txt` gets a line for a chunk, with its checksum, once the chunk is on the disk itself: what
a process that is killed leaves half written has no line, and is computed again. A chunk counts if
it has the checksum of its line. `about.json` says what the features depend on.
"""

import contextlib
import io
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TypedDict

import filelock
import numpy as np

from mpl_tf import files
from mpl_tf.console import log
from mpl_tf.options import ConfigError

FEATURES, CHUNKS, ABOUT, LOCK = "features.npy", "chunks.txt", "about.json", "cache.lock"
_LINE = re.compile(rb"(?m)^(\d+) ([0-9a-f]{8})\n")
_SOON = 5  # seconds after which waiting for another process is worth a line


class CacheError(RuntimeError):
    """Features could not be written; the message says what to do."""


class About(TypedDict):
    """What `about.json` holds."""

    depends_on: dict[str, Any]


class Cache:
    """Features of the views of images.

    Args:
      path: the folder, which need not exist.
      depends_on: all that the features depend on; see `fingerprint.describe`.
      shape: (N images, V views of each, F features of each).
      dtype: of the features.
      chunk: images that are written together.
    """

    def __init__(
        self,
        path: str,
        depends_on: Mapping[str, Any],
        shape: tuple[int, int, int],
        dtype: str,
        chunk: int,
    ):
        self.path, self.depends_on, self.shape = path, dict(depends_on), shape
        self.dtype, self.chunk = np.dtype(dtype), chunk
        self._checked: set[int] = set()  # chunks that were read and found to be as written
        self._features: np.ndarray | None = None

    @property
    def chunks(self) -> int:
        """How many chunks there are, the last one perhaps a smaller one."""
        return -(-self.shape[0] // self.chunk)

    def bytes_of(self, chunks: int) -> int:
        """Bytes that so many chunks take on the disk, at most."""
        return chunks * self.chunk * self._row_bytes

    def missing(self, chunks: Sequence[int]) -> list[int]:
        """Those of the chunks that are still to be computed; damaged ones are, with a warning.

        Raises:
          ConfigError: the folder holds something else.
        """
        unknown = [number for number in chunks if number not in self._checked]
        if not unknown or not os.path.lexists(self.path):
            return unknown
        self._check_there()
        checksums = self._read_lines()
        written = [number for number in unknown if number in checksums]
        good = set(self._intact(written, checksums))
        self._checked |= good
        if damaged := len(written) - len(good):
            log.warning(
                f"{self.path} is damaged: {damaged} of {len(written)} chunks of features are not "
                "as they were written, and are computed again"
            )
        return [number for number in unknown if number not in self._checked]

    @contextlib.contextmanager
    def filling(self) -> Iterator["Filling"]:
        """Keeps other processes from writing; waits, and says so, while another one does.

        Raises:
          ConfigError: the folder cannot be written, or holds something else.
        """
        if os.path.lexists(self.path):
            self._check_there()
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}.") from error
        with self._locked():
            self._check_there()
            if not os.path.exists(self._file(ABOUT)):
                files.write_json(self._file(ABOUT), {"depends_on": self.depends_on})
            self._allocate()
            with (
                open(self._file(FEATURES), "r+b") as features,
                open(self._file(CHUNKS), "a+b") as lines,
            ):
                yield Filling(self, features, lines)

    def read(self, rows: np.ndarray, views: np.ndarray | int) -> np.ndarray:
        """Features [n, F] of the views of images; their chunks must not be `missing`.

        Args:
          rows: int [n], images, by their places.
          views: int [n], or one for all.
        """
        if self._features is None:
            self._features = np.asarray(np.load(self._file(FEATURES), mmap_mode="r"))
        return self._features[rows, views]

    def add_checked(self, chunk: int) -> None:
        """Notes that a chunk was written by this process."""
        self._checked.add(chunk)

    def offset(self, chunk: int) -> int:
        """Where a chunk begins in the file, in bytes."""
        return len(self._header) + chunk * self.chunk * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return self.shape[1] * self.shape[2] * self.dtype.itemsize

    @property
    def _header(self) -> bytes:
        """The beginning of a .npy file of such an array."""
        written = io.BytesIO()
        about = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(written, about)
        return written.getvalue()

    @property
    def _size(self) -> int:
        return len(self._header) + self.shape[0] * self._row_bytes

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    @contextlib.contextmanager
    def _locked(self):
        lock = filelock.FileLock(self._file(LOCK), fallback_to_soft=False, preserve_lock_file=True)
        try:
            lock.acquire(timeout=_SOON)
        except filelock.Timeout:
            log.info(f"Another process computes the features in {self.path}: waiting for it")
            lock.acquire()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}.") from error
        try:
            yield
        finally:
            lock.release()

    def _check_there(self) -> None:
        """Refuses what is no folder of a cache, or one with other features."""
        way_out = f"Remove {self.path}, and the features are computed again."
        if not os.path.isdir(self.path):
            raise ConfigError(f"{self.path} is {files.what_is(self.path)}, no folder. {way_out}")
        for name in (FEATURES, CHUNKS, ABOUT, LOCK):
            if (lies_there := files.what_is(self._file(name))) not in ("a file", "nothing"):
                raise ConfigError(f"{self._file(name)} is {lies_there}, no file. {way_out}")
        if not os.path.lexists(self._file(ABOUT)):
            return
        try:
            depends_on = files.read_json(self._file(ABOUT), About)["depends_on"]
        except ConfigError as error:
            raise ConfigError(f"{error} {way_out}") from error
        if depends_on != self.depends_on:
            raise ConfigError(
                f"{self.path} holds features of something else, as its {ABOUT} says. {way_out}"
            )

    def _allocate(self) -> None:
        """Makes a file of the whole size, or makes one whole that is too short."""
        path = self._file(FEATURES)
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.read(len(self._header)) == self._header:
                if os.path.getsize(path) < self._size:
                    os.truncate(path, self._size)
                return
        with files.whole(path) as partial, open(partial, "wb") as file:
            file.write(self._header)
            file.truncate(self._size)
        files.remove(self._file(CHUNKS))

    def _read_lines(self) -> dict[int, int]:
        """Chunk -> checksum; a line that a killed process left half written is none."""
        with contextlib.suppress(FileNotFoundError), open(self._file(CHUNKS), "rb") as file:
            lines = _LINE.findall(file.read())
            return {int(number): int(checksum, 16) for number, checksum in lines}
        return {}

    def _intact(self, chunks: Sequence[int], checksums: Mapping[int, int]) -> Iterator[int]:
        """Those of the chunks that have their checksums."""
        with contextlib.suppress(FileNotFoundError), open(self._file(FEATURES), "rb") as file:
            if file.read(len(self._header)) != self._header:
                return
            for number in sorted(chunks):
                file.seek(self.offset(number))
                images = min(self.chunk, self.shape[0] - number * self.chunk)
                content = file.read(images * self._row_bytes)
                whole = len(content) == images * self._row_bytes
                if whole and zlib.crc32(content) == checksums[number]:
                    yield number


class Filling:
    """Writes chunks of a cache, each in one piece.

    Args:
      cache: whose chunks.
      features, lines: its files, opened for reading and writing.
    """

    def __init__(self, cache: Cache, features: BinaryIO, lines: BinaryIO):
        self._cache, self._features, self._lines = cache, features, lines
        if lines.seek(0, os.SEEK_END):
            lines.seek(-1, os.SEEK_END)
            if lines.read(1) != b"\n":  # a line that a killed process left half written
                lines.write(b"\n")

    def write(self, chunk: int, values: np.ndarray) -> None:
        """Puts a chunk on the disk, and then the line that says so.

        Args:
          chunk: its number.
          values: [n, V, F], of the images of the chunk.

        Raises:
          CacheError: there is no room, or the disk refuses it.
        """
        content = np.ascontiguousarray(values, self._cache.dtype).tobytes()
        try:
            self._features.seek(self._cache.offset(chunk))
            self._features.write(content)
            _to_disk(self._features)
            self._lines.write(b"%d %08x\n" % (chunk, zlib.crc32(content)))  # always at its end
            _to_disk(self._lines)
        except OSError as error:
            raise CacheError(
                f"{self._cache.path} cannot be written: {error.strerror}. Make room there, or "
                "choose another --cache_dir, and the same command goes on with what is there."
            ) from error
        self._cache.add_checked(chunk)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
