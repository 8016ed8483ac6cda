"""What lies on the disk: files that appear whole or not at all, JSON, arrays, digests."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from mpl_tf import forms
from mpl_tf.options import ConfigError

_WINDOWS = os.name == "nt"
_LARGEST_TEXT = 2**30  # bytes
# What NumPy raises for something that is no archive of its own, or a damaged one.
_NO_ARRAYS = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    AttributeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def whole(path: str, partial: str | None = None) -> Iterator[str]:
    """Gives a temporary path to write a file or a folder to, and renames it if all went well.

    Its content is forced to the disk first. What was at `path` is there, untouched, until then. A
    file replaces no folder.

    Args:
      path: the file or the folder.
      partial: the temporary path, in the same folder; None is `partial_name(path)`. Leftovers of a
        process that was killed are removed from there.

    Yields:
      The temporary path, at which nothing is.

    Raises:
      OSError: it cannot be written.
    """
    partial = partial or partial_name(path)
    remove(partial)
    try:
        yield partial
        sync_tree(partial)
        if os.path.isdir(path):  # which no rename replaces
            if not os.path.isdir(partial):
                raise IsADirectoryError(errno.EISDIR, "a folder lies where a file belongs", path)
            vanish(path, f"{path}.old.partial")
        os.replace(partial, path)
        sync(os.path.dirname(path) or ".")
    finally:
        with contextlib.suppress(OSError):  # says less than what it would hide
            remove(partial)


def partial_name(path: str) -> str:
    """The name of a file or folder while it is written or removed."""
    root, extension = os.path.splitext(path)
    return f"{root}.partial{extension}"


def vanish(path: str, hidden: str | None = None) -> None:
    """Removes a file or folder, out of sight at once: a kill leaves no half that looks whole.

    Args:
      path: what to remove, if it is there.
      hidden: its name while it is removed; None is `partial_name(path)`.
    """
    if os.path.lexists(path):
        hidden = hidden or partial_name(path)
        remove(hidden)
        os.rename(path, hidden)
        remove(hidden)


def remove(path: str) -> None:
    """Removes a file, a link or a folder, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def sync_tree(path: str) -> None:
    """Has the system put a file, or a folder and all that is in it, on the disk itself."""
    if os.path.isdir(path):
        for folder, _, names in os.walk(path):
            for name in names:
                sync(os.path.join(folder, name))
            sync(folder)
    else:
        sync(path)


def sync(path: str) -> None:
    """Has the system put a file's content, or a folder's entries, on the disk itself."""
    if _WINDOWS and os.path.isdir(path):  # which cannot be opened there
        return
    # Windows puts on the disk what was opened for writing.
    descriptor = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str, text: str) -> None:
    """Writes a text file that appears complete or not at all."""
    with whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON, complete or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def csv_line(values: Iterable[object]) -> str:
    r"""A row of a CSV file, without the end of its line.

    A value with a line end of any system is quoted, so that a reader does not take it for a row's.

    >>> csv_line(["a,b", "c\rd", 0.5])
    '"a,b","c\rd",0.5'

    Args:
      values: of its columns.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n")


def read_json(path: str | os.PathLike[str], form: Any = dict[str, Any]) -> Any:
    """The content of a JSON file.

    Args:
      path: a regular file.
      form: what it must hold, as `forms.fault` takes it.

    Raises:
      ConfigError: it cannot be read, is no JSON, or holds something else.
    """
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}.") from error
    if fault := forms.fault(value, form, "content"):
        raise ConfigError(f"{path} is damaged, or of another program: {fault}.")
    return value


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name; none of them holds objects.

    Raises:
      ConfigError: it cannot be read, or is damaged.
    """
    try:
        check_regular(path)
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _NO_ARRAYS as error:
        raise ConfigError(f"{path} is damaged: {reason(error)}.") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """The content of a regular file of UTF-8.

    Raises:
      OSError: it is not there, is no regular file (which might never end), or larger than a GiB.
      ValueError: it is no UTF-8.
    """
    check_regular(path)
    if os.path.getsize(path) > _LARGEST_TEXT:
        raise OSError(errno.EFBIG, "it has more than a GiB, which no file of text here has")
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raises OSError if `path` is no regular file: not there, a folder, a pipe, a device."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, f"it is {what_is(path)}, no regular file")


def what_is(path: str | os.PathLike[str]) -> str:
    """What lies at a path, in words: "a file", "a folder", "nothing", and so on."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "a link to nothing" if os.path.islink(path) else "nothing"
    for test, words in (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return words
    return "a device"


def digests(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Name -> SHA-256, hexadecimal, of files in a folder.

    Args:
      folder: where they lie.
      names: relative to it, separated by "/" on all systems.

    Raises:
      OSError: one cannot be read, or is no regular file.
    """
    return {name: _digest(os.path.join(folder, *name.split("/"))) for name in names}


def damage(folder: str, expected: Mapping[str, str]) -> str:
    """What is wrong with the files in a folder, in words; "" if they are as they were.

    Args:
      folder: where they lie.
      expected: their digests, as `digests` gave them.
    """
    for name, digest in expected.items():
        try:
            if digests(folder, [name])[name] != digest:
                return f"{name} is damaged"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def _digest(path: str) -> str:
    check_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: BaseException) -> str:
    """What an exception says, in a line: without paths, and TensorFlow's names of operations."""
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    if hasattr(error, "error_code"):  # TensorFlow's
        text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", text).rpartition("; ")[2]
    text = text.partition("You may be trying to load on a different device")[0].strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def check_folder(path: str | os.PathLike[str], names: Iterable[str] = ()) -> None:
    """Checks that a folder can be made, or written to where it is there; changes nothing.

    Args:
      path: the folder.
      names: of files that are to be written in it.

    Raises:
      ConfigError: it cannot.
    """
    path = os.path.abspath(path)
    nearest = path
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    fault = ""
    if not os.path.isdir(nearest):
        fault = f"{nearest} is {what_is(nearest)}, no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        fault = f"no permission to write to {nearest}"
    for name in names:
        if (lies_there := what_is(os.path.join(path, name))) not in ("a file", "nothing"):
            fault = fault or f"{name} in it is {lies_there}, no file"
    if fault:
        raise ConfigError(f"{path} cannot be written: {fault}.")
