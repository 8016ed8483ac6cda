"""Which image files were readable when they were decoded, so that nobody decodes them again."""

import contextlib
import hashlib
import itertools
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from mpl_tf import files
from mpl_tf.console import log
from mpl_tf.options import ConfigError

FORMAT = 2  # of the file, and of what is checked: another one makes another file
# A file that changes twice within a tick of the clock of its file system, of up to two seconds,
# may look as before. What was changed so shortly before it was looked at is not kept.
_SETTLED = 3 * 10**9  # nanoseconds
_COLUMNS = 5  # stamps, bytes of memory, digest
# Name -> place, and int64 [N, _COLUMNS] by place.
_Kept: TypeAlias = tuple[Mapping[str, int], np.ndarray]


def stamps(paths: Sequence[str]) -> np.ndarray:
    """What changes when a file does, int64 [N, 3]: its size, and when content and status changed.

    The times are nanoseconds; that of the status no program can set, as those do that copy the
    other. All are -1 of a file that is not there.
    """
    rows = np.full([len(paths), 3], -1, np.int64)
    for row, path in enumerate(paths):
        with contextlib.suppress(OSError):
            status = os.stat(path)
            rows[row] = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return rows


class Readable:
    """The readable files of a folder, in a file; what cannot be written is written the next time.

    Args:
      directory: where the file lies, which need not exist.
      root: the folder of the images.

    Attributes:
      path: the file.
      root: as given.
    """

    def __init__(self, directory: str, root: str):
        about = json.dumps([FORMAT, tf.__version__, os.path.realpath(root)])
        name = hashlib.sha256(about.encode(errors="surrogateescape")).hexdigest()[:24]
        self.path = os.path.join(directory, f"readable-{name}.npz")
        self.root = root
        self._kept: _Kept | None = None

    def facts(self, paths: Sequence[str], stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is known of files that are as they were.

        Args:
          paths: files in the folder.
          stamps: theirs, of `stamps`.

        Returns:
          (memory, digests): int64 [N], bytes that decoding takes, -1 of a file that is not known to
          be readable; uint64 [N], of its content.
        """
        places, rows = self._read()
        at = np.array([places.get(name, -1) for name in self._names(paths)], np.int64)
        there = np.concatenate([rows, np.full([1, _COLUMNS], -1)])[at]
        same = (there[:, :3] == stamps).all(axis=1) & (stamps[:, 0] >= 0)
        return np.where(same, there[:, 3], -1), there[:, 4].copy().view(np.uint64)

    def add(
        self, paths: Sequence[str], stamps: np.ndarray, memory: np.ndarray, digests: np.ndarray
    ) -> None:
        """Keeps files that are readable; those of before that are gone, are forgotten.

        Args:
          paths: files in the folder that were decoded.
          stamps: theirs, from before that.
          memory: bytes that it took, int64 [N].
          digests: of their content, uint64 [N].
        """
        settled = stamps[:, 1:].max(axis=1, initial=-1) < time.time_ns() - _SETTLED
        known, known_rows = self._read()
        new = dict.fromkeys(self._names(paths))
        there = [
            name
            for name in known
            if name not in new and os.path.lexists(os.path.join(self.root, name))
        ]
        names = [*there, *itertools.compress(new, settled)]
        checked = np.column_stack([stamps, memory, digests.view(np.int64)])
        old = known_rows[np.array([known[name] for name in there], np.int64)]
        rows = np.concatenate([old, checked[settled]])
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            # A name of its own: another process may write the same file.
            with (
                files.whole(self.path, f"{self.path}.{uuid.uuid4().hex}.partial") as partial,
                open(partial, "wb") as file,
            ):
                text = "\0".join(names).encode(errors="surrogateescape")
                np.savez_compressed(file, names=np.frombuffer(text, np.uint8), rows=rows)
        except OSError as error:
            log.info(f"{self.path} cannot be written: {error.strerror}. Files are checked again")
        self._kept = {name: at for at, name in enumerate(names)}, rows

    def _names(self, paths: Sequence[str]) -> list[str]:
        """Paths relative to the folder."""
        folder = os.path.join(self.root, "")
        return [path.removeprefix(folder) for path in paths]

    def _read(self) -> _Kept:
        """The files that are kept."""
        if self._kept is None:
            self._kept = {}, np.empty([0, _COLUMNS], np.int64)
            if os.path.lexists(self.path):
                try:
                    self._kept = self._content()
                except ConfigError as error:
                    log.warning(f"{error} All files are checked again")
        return self._kept

    def _content(self) -> _Kept:
        arrays = files.read_arrays(self.path)
        if arrays.keys() != {"names", "rows"}:
            raise ConfigError(f"{self.path} is damaged: it must have names and rows.")
        text, rows = arrays["names"].tobytes(), arrays["rows"]
        names = text.decode(errors="surrogateescape").split("\0") if text else []
        if rows.dtype != np.int64 or rows.shape != (len(names), _COLUMNS):
            raise ConfigError(f"{self.path} is damaged: names and rows differ in number.")
        return {name: at for at, name in enumerate(names)}, rows
