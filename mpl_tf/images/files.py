"""Image files: which there are under a folder, and which of them can be decoded."""

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import PIL.Image

from mpl_tf import console
from mpl_tf.console import log
from mpl_tf.files import check_regular
from mpl_tf.images import bulk, check, decode, header
from mpl_tf.images.digests import digests_of
from mpl_tf.images.readable import Readable, stamps
from mpl_tf.options import ConfigError

_CHECKED_AT_ONCE = 512  # until Ctrl-C is heard
_NAMED = 10  # broken files, or kinds of files, in a message, at most


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is passed over: it begins with a dot."""
    return name.startswith(".")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The image files under a folder, at any depth.

    An image file has one of `decode.EXTENSIONS`, in any case, and is not hidden. Hidden folders
    are not entered. Links are followed, but no folder is read twice.

    Attributes:
      images: their paths, a folder's own files before those of its folders, and what lies behind
        links to folders last.
      ignored: how many other files there are, and links that lead back: kind, in words -> number.
    """

    images: list[str]
    ignored: Mapping[str, int]


def list_images(root: str) -> Listing:
    """The image files under `root`; none if it is no folder."""
    images: list[str] = []
    ignored: collections.Counter[str] = collections.Counter()
    pace = console.Pace(f"listing the images of {console.printable(root)}")

    def unreadable(error: OSError) -> None:
        ignored["folders that cannot be read"] += os.path.isdir(error.filename)

    real_root, seen = os.path.realpath(root), set()
    pending = collections.deque([root])
    while pending:
        top = pending.popleft()
        real_top = os.path.realpath(top)
        # A folder around the root may hold the other parts of a dataset: it is not meant.
        if top != root and (real_top in seen or _holds(real_top, real_root)):
            ignored["that link back to folders"] += 1
            continue
        for folder, subfolders, names in os.walk(top, onerror=unreadable):
            real = os.path.normpath(os.path.join(real_top, os.path.relpath(folder, top)))
            visible = sorted(name for name in subfolders if not is_hidden(name))
            links = {name for name in visible if os.path.islink(os.path.join(folder, name))}
            pending.extend(os.path.join(folder, name) for name in sorted(links))
            subfolders[:] = [name for name in visible if name not in links]
            if real in seen:
                subfolders.clear()
                continue
            seen.add(real)
            pace.tell(len(images))
            for name in sorted(names):
                if kind := _not_listed(name):
                    ignored[kind] += 1
                else:
                    images.append(os.path.join(folder, name))
    return Listing(images, +ignored)  # without zeros


def _holds(folder, path):
    """Whether a real path lies in a folder, or is it."""
    return os.path.commonpath([folder, path]) == folder


def _not_listed(name):
    """Why a file of that name is left out, in words; "" if it is listed."""
    if is_hidden(name):
        return "hidden"
    ending = os.path.splitext(name)[1].lower()
    if ending in decode.EXTENSIONS:
        return ""
    return f"ending in {ending}" if ending else "without an ending"


def in_words(ignored: Mapping[str, int]) -> str:
    """What was left out: "8 ending in .txt, 2 hidden"; "" for nothing. The most frequent first."""
    counts = sorted(ignored.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{count:,} {kind}" for kind, count in counts[:_NAMED]]
    others = sum(count for _, count in counts[_NAMED:])
    return ", ".join([*listed, f"{others:,} others"] if others else listed)


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
            listing = list_images(name)
            files += listing.images
            others = in_words({k: n for k, n in listing.ignored.items() if k != "hidden"})
            if listing.images and others:
                log.warning(f"{console.printable(name)}: left out, as no images: {others}")
            elif not listing.images:
                reason = f"holds no file that ends in {', '.join(decode.EXTENSIONS)}"
                failed.append((name, reason + (f"; others: {others}" if others else "")))
        else:
            files.append(name)
    return files, failed


def check_files(
    paths: Sequence[str],
    skip_broken: bool,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
    known: Readable | None = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Decodes every file once.

    Args:
      paths: image files.
      skip_broken: whether to leave broken files out instead of refusing them.
      progress: takes the paths of files to be decoded and gives the same ones, one by one.
      known: has files that were readable before, which are decoded only if they have changed since,
        and gets the others that are; None decodes all.

    Returns:
      (readable, digests, text): int64 [n], the positions of the readable files; uint64 [n], of
      their content; what was left out, in words, or "" for nothing.

    Raises:
      ConfigError: a file is broken, and `skip_broken` is not set; the first few are named.
    """
    reasons: dict[int, str] = {}
    stamped = stamps(paths)
    memory, digests = np.full(len(paths), -1), np.zeros(len(paths), np.uint64)
    if known:
        memory, digests = known.facts(paths, stamped)
    memory[memory > check.largest()] = -1
    unknown = np.flatnonzero(memory < 0).tolist()
    if known and len(unknown) < len(paths):
        log.info(
            f"{console.printable(known.root)}: {len(paths) - len(unknown):,} of {len(paths):,} "
            f"files are unchanged since they were checked ({console.printable(known.path)})"
        )
    remaining = zip(unknown, progress([paths[i] for i in unknown]), strict=True)
    try:
        with console.quiet_decoders(), concurrent.futures.ThreadPoolExecutor() as threads:
            while chunk := list(itertools.islice(remaining, _CHECKED_AT_ONCE)):
                positions = np.array([position for position, _ in chunk])
                of_chunk = [path for _, path in chunk]
                confirmed = bulk.confirm(of_chunk, stamped[positions, 0])
                memory[positions], digests[positions] = confirmed
                _examine(paths, positions[confirmed[0] < 0], threads, reasons, memory, digests)
    finally:  # an interrupted check goes on the next time
        good = [i for i in unknown if memory[i] >= 0]
        if known and good:
            known.add([paths[i] for i in good], stamped[good], memory[good], digests[good])
    broken = [f"{console.printable(paths[i])} {why}" for i, why in reasons.items()]
    named = "; ".join(broken[:_NAMED]) + ("; ..." if len(broken) > _NAMED else "")
    if broken and not skip_broken:
        raise ConfigError(
            f"{len(broken):,} of {len(paths):,} files cannot be read as images ({named}). Remove "
            "these files, or leave them out with --skip_broken, from Python skip_broken=True."
        )
    readable = np.flatnonzero(memory >= 0)
    left_out = f"{len(broken):,} of {len(paths):,} files: {named}" if broken else ""
    return readable, digests[readable], left_out


def _examine(paths, positions, threads, reasons, memory, digests):
    """Decodes the files at `positions`, each for itself, and writes down what comes of it."""
    if not len(positions):
        return
    check.trace()
    results = threads.map(check.examine, [paths[i] for i in positions])
    for position, (reason, taken) in zip(positions.tolist(), results, strict=True):
        if reason:
            reasons[position] = reason
        else:
            with open(paths[position], "rb") as file:
                digests[position] = digests_of([file.read()]).numpy()[0]
            memory[position] = taken


def common_side(paths: Iterable[str]) -> int:
    """The side in pixels of images that are all squares of one size; 0 if they are not.

    Reads headers, and no further than the first image that differs.
    """
    side = 0
    for path in paths:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of images that are large: decoding says so
                with PIL.Image.open(path) as image:
                    width, height = image.size
        except (OSError, PIL.Image.DecompressionBombError):
            return 0
        if width != height or side not in (0, width):
            return 0
        side = width
    return side


def channels_of(paths: Iterable[str]) -> int:
    """1 if all of the images are grey, else 3; reads no further than the first colour image.

    What cannot be read, or is no image, does not count.
    """
    for path in paths:
        try:
            check_regular(path)
            with open(path, "rb") as file:
                head = file.read(1 << 16)
        except OSError:
            continue
        if header.sniff(head) is not None and header.channels(head) != 1:
            return 3
    return 1
