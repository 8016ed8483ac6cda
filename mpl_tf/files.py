"""Files and folders that appear whole or not at all, and JSON in them."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

from mpl_tf.options import ConfigError


@contextlib.contextmanager
def whole(path: str, partial: str | None = None) -> Iterator[str]:
    """Gives a temporary path to write a file or a folder to, and renames it if all went well.

    Its content is forced to the disk first. What was at `path` is there, untouched, until then.

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
    descriptor = os.open(path, os.O_RDONLY)
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


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
      ConfigError: the file does not hold one.
    """
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a JSON object.")
    return value
