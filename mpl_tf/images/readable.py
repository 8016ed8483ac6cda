"""Which image files were readable when they were decoded, so that nobody decodes them again."""

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mpl_tf import files
from mpl_tf.console import log
from mpl_tf.options import ConfigError

FORMAT = 1  # of the file, and of what is checked: another one makes another file
# A file that changes twice within a tick of the clock of its file system, of up to two seconds,
# may look as before. What was changed so shortly before it was looked at is not kept.
_SETTLED = 3 * 10**9  # nanoseconds


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
        self._rows: dict[str, tuple[int, ...]] | None = None

    def memory(self, paths: Sequence[str], stamps: np.ndarray) -> np.ndarray:
        """Bytes that decoding takes, int64 [N]; -1 of a file that is not known to be readable.

        Args:
          paths: files in the folder.
          stamps: theirs, of `stamps`.
        """
        rows, unknown = self._read(), (-1,) * 4
        listed = [rows.get(name, unknown) for name in self._names(paths)]
        there = np.array(listed, np.int64).reshape(-1, 4)
        same = (there[:, :3] == stamps).all(axis=1) & (stamps[:, 0] >= 0)
        return np.where(same, there[:, 3], -1)

    def add(self, paths: Sequence[str], stamps: np.ndarray, memory: np.ndarray) -> None:
        """Keeps files that are readable; those of before that are gone, are forgotten.

        Args:
          paths: files in the folder that were decoded.
          stamps: theirs, from before that.
          memory: bytes that it took, int64 [N].
        """
        settled = stamps[:, 1:].max(axis=1, initial=-1) < time.time_ns() - _SETTLED
        checked = np.column_stack([stamps, memory]).tolist()
        there = [name for name in self._read() if os.path.lexists(os.path.join(self.root, name))]
        rows = {name: self._read()[name] for name in there}
        names = self._names(paths)
        rows |= {names[i]: tuple(checked[i]) for i in np.flatnonzero(settled)}
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            # A name of its own: another process may write the same file.
            with (
                files.whole(self.path, f"{self.path}.{uuid.uuid4().hex}.partial") as partial,
                open(partial, "wb") as file,
            ):
                text = "\0".join(rows).encode(errors="surrogateescape")
                listed = np.array([*rows.values()], np.int64).reshape(-1, 4)
                np.savez_compressed(file, names=np.frombuffer(text, np.uint8), rows=listed)
        except OSError as error:
            log.info(f"{self.path} cannot be written: {error.strerror}. Files are checked again")
        self._rows = rows

    def _names(self, paths: Sequence[str]) -> list[str]:
        """Paths relative to the folder."""
        return [path.removeprefix(os.path.join(self.root, "")) for path in paths]

    def _read(self) -> dict[str, tuple[int, ...]]:
        """Name -> size, times and memory, of the files that are kept."""
        if self._rows is None:
            self._rows = {}
            if os.path.lexists(self.path):
                try:
                    self._rows = self._content()
                except ConfigError as error:
                    log.warning(f"{error} All files are checked again")
        return self._rows

    def _content(self) -> dict[str, tuple[int, ...]]:
        arrays = files.read_arrays(self.path)
        if arrays.keys() != {"names", "rows"}:
            raise ConfigError(f"{self.path} is damaged: it must have names and rows.")
        text, rows = arrays["names"].tobytes(), arrays["rows"]
        names = text.decode(errors="surrogateescape").split("\0") if text else []
        if rows.dtype != np.int64 or rows.shape != (len(names), 4):
            raise ConfigError(f"{self.path} is damaged: names and rows differ in number.")
        return dict(zip(names, map(tuple, rows.tolist()), strict=True))
