"""Whether the files of a folder are as they were written, by their SHA-256 digests."""

import hashlib
import os
from collections.abc import Iterable, Mapping

from mpl_tf.files import check_regular


def of(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Name -> SHA-256, hexadecimal, of files in a folder.

    Args:
      folder: where they lie.
      names: relative to it, separated by "/" on all systems.

    Raises:
      OSError: one cannot be read, or is no regular file.
    """
    return {name: _digest(os.path.join(folder, *name.split("/"))) for name in names}


def damage(folder: str, digests: Mapping[str, str]) -> str:
    """What is wrong with the files in a folder, in words; "" if they are as they were.

    Args:
      folder: where they lie.
      digests: as `of` gave them.
    """
    for name, digest in digests.items():
        try:
            if of(folder, [name])[name] != digest:
                return f"{name} is damaged"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def _digest(path: str) -> str:
    check_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
