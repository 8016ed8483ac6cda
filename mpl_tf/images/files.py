"""Image files: which there are under a folder, and which of them can be decoded."""

import concurrent.futures
import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mpl_tf.images import decode
from mpl_tf.options import ConfigError

_CHECKED_AT_ONCE = 4096
_NAMED = 10  # broken files in a message, at most


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is passed over: it begins with a dot."""
    return name.startswith(".")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The image files under a folder, at any depth.

    An image file has one of `decode.EXTENSIONS`, in any case, and is not hidden. Hidden folders
    are not entered.

    Attributes:
      images: their paths, a folder's own files before those of its folders.
      ignored: how many other files there are.
    """

    images: list[str]
    ignored: int


def list_images(root: str) -> Listing:
    """The image files under `root`; none if it is no folder."""
    images, ignored = [], 0
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        for name in sorted(names):
            if name.lower().endswith(decode.EXTENSIONS) and not is_hidden(name):
                images.append(os.path.join(folder, name))
            else:
                ignored += 1
    return Listing(images, ignored)


def list_files(names: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The files that arguments stand for.

    Args:
      names: files; folders, of which all image files are meant; or "-" for a list of both, one a
        line, on standard input. `~` stands for the home folder.

    Returns:
      (files, failed): files in order; failed has (folder, what is wrong with it) for each folder
      without an image file.
    """
    files: list[str] = []
    failed: list[tuple[str, str]] = []
    for name in map(os.path.expanduser, names):
        if name == "-":
            lines = [line.rstrip("\r\n") for line in sys.stdin]
            more = list_files([line for line in lines if line and line != "-"])
            files, failed = files + more[0], failed + more[1]
        elif os.path.isdir(name):
            images = list_images(name).images
            files += images
            if not images:
                failed.append((name, f"holds no file that ends in {', '.join(decode.EXTENSIONS)}"))
        else:
            files.append(name)
    return files, failed


def check_files(
    paths: Sequence[str],
    skip_broken: bool,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> tuple[np.ndarray, str]:
    """Decodes every file once.

    Args:
      paths: image files.
      skip_broken: whether to leave broken files out instead of refusing them.
      progress: takes the paths and gives the same ones, one by one, as they are checked.

    Returns:
      (readable, text): int64, the positions of the readable files; what was left out, in words, or
      "" for nothing.

    Raises:
      ConfigError: a file is broken, and `skip_broken` is not set; the first few are named.
    """
    reasons: list[str | None] = []
    remaining = iter(progress(paths))
    with concurrent.futures.ThreadPoolExecutor() as threads:
        while chunk := list(itertools.islice(remaining, _CHECKED_AT_ONCE)):
            reasons += threads.map(decode.verify, chunk)
    broken = [f"{path} {reason}" for path, reason in zip(paths, reasons, strict=True) if reason]
    named = "; ".join(broken[:_NAMED]) + ("; ..." if len(broken) > _NAMED else "")
    if broken and not skip_broken:
        raise ConfigError(
            f"{len(broken)} of {len(paths)} files are no readable images ({named}). Remove them, "
            "or leave them out with --skip_broken."
        )
    readable = np.array([i for i, reason in enumerate(reasons) if not reason], np.int64)
    return readable, f"{len(broken):,} of {len(paths):,} files: {named}" if broken else ""


def channels_of(paths: Iterable[str]) -> int:
    """1 if all of the images are grey, else 3; reads no further than the first colour image."""
    for path in paths:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
        if decode.channels(head) != 1:
            return 3
    return 1
