"""Paths as users write them, and as TensorFlow takes them."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from mpl_tf.options import ConfigError

# In paths to restore from, TensorFlow takes these for a pattern; Windows separates folders by one.
_PATTERN = set("*?[\\") - {os.sep}


def local_path(name: str, path: str | os.PathLike[str]) -> str:
    """A path as a user writes it, with `~` and `~user` replaced by the home folder.

    Args:
      name: of the setting, for messages.
      path: of a file or folder on this machine; "" stays "".

    Raises:
      ConfigError: it is an address such as gs://bucket, has a zero byte, or is no UTF-8, in which
        TensorFlow takes all paths.
    """
    path = os.fspath(path)
    if "://" in path:
        raise ConfigError(
            f"{name} must be a path on this machine; received {path}. Copy it here, or mount the "
            "bucket and name the folder where it is mounted."
        )
    if "\0" in path or not is_utf8(path):
        raise ConfigError(f"{name} must be a path in UTF-8; received {path!a}.")
    return os.path.expanduser(path)


def absolute(path: str) -> str:
    """A path from the root, with `~` replaced: one name for all ways to write a place.

    Args:
      path: as a user writes it. "" stays "", and an address such as gs://bucket as it is.
    """
    if not path or "://" in path or "\0" in path:
        return path
    whole = os.path.join(os.getcwd(), os.path.expanduser(path))
    short = os.path.normpath(whole)
    # `link/..` is elsewhere than without both.
    return short if os.path.realpath(short) == os.path.realpath(whole) else whole


def is_utf8(path: str) -> bool:
    """Whether a path's bytes are UTF-8: for all others Python has surrogates in a `str`."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


@contextlib.contextmanager
def literal(path: str) -> Iterator[str]:
    """Gives a name of a folder that TensorFlow takes as it stands, not as a pattern.

    Args:
      path: a folder that is there, under any name.

    Yields:
      `path`; or, if a pattern could be seen in it, a link to it, or a copy where the system allows
      no links. It is gone afterwards.

    Raises:
      ConfigError: the folder of temporary files has such a name itself.
    """
    if _PATTERN.isdisjoint(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        if not _PATTERN.isdisjoint(folder):
            raise ConfigError(
                f"$TMPDIR must name a folder without {' '.join(sorted(_PATTERN))}; received "
                f"{tempfile.gettempdir()}."
            )
        link = os.path.join(folder, "link")
        try:
            os.symlink(os.path.abspath(path), link, target_is_directory=True)
        except OSError:  # Windows, without the right to make links
            shutil.copytree(path, link)
        yield link
