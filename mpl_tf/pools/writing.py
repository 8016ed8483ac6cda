"""Predictions that are being written: by one process at a time, one shard after the other.

A shard has its names once it is on the disk itself: a process that is killed leaves no half of one.
"""

import contextlib
import os
from collections.abc import Iterator

import filelock
import numpy as np

from mpl_tf import files
from mpl_tf.options import ConfigError
from mpl_tf.pools import predictions
from mpl_tf.pools.predictions import About

LOCK = "predictions.lock"


@contextlib.contextmanager
def begun(path: str, about: About) -> Iterator[About]:
    """Keeps other processes from writing to a folder of predictions, which is made or continued.

    Args:
      path: the folder.
      about: of the predictions.

    Yields:
      What `about.json` holds: `about`, or what was there, whose shards have their own length.

    Raises:
      ConfigError: the folder cannot be written, holds something else, or another process writes.
    """
    files.check_folder(path, (predictions.ABOUT, LOCK))
    # What a process left that was killed while it began counts as nothing.
    nothing = {LOCK, files.partial_name(predictions.ABOUT)}
    present = set(os.listdir(path)) if os.path.isdir(path) else set()
    if present - nothing and predictions.ABOUT not in present:
        raise ConfigError(
            f"{path} holds something else than predictions ({', '.join(sorted(present)[:3])}). "
            "Choose another folder."
        )
    _read(path, about)  # before a lock is left in a folder of something else
    try:
        os.makedirs(path, exist_ok=True)
        lock = filelock.FileLock(
            os.path.join(path, LOCK), fallback_to_soft=False, preserve_lock_file=True
        )
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise ConfigError(f"another process writes predictions to {path}.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        if not (there := _read(path, about)):
            files.write_json(os.path.join(path, predictions.ABOUT), about)
        yield there or about
    finally:
        lock.release()


def _read(path: str, about: About) -> About | None:
    """What `about.json` holds, if it is there; ConfigError if that is something else."""
    if not os.path.exists(os.path.join(path, predictions.ABOUT)):
        return None
    there = predictions.read_about(path)
    predictions.check_same(path, there, {**about})
    return there


@contextlib.contextmanager
def shard(path: str, about: About, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Gives the arrays of a shard to fill; both are there, on the disk, if all went well.

    Args:
      path: the folder, within `begun`.
      about: what that has yielded.
      number: of the shard.

    Yields:
      (probs, digests): float16 [n, K] and uint64 [n], in files that are mapped into memory.

    Raises:
      OSError: they cannot be written.
    """
    rows, classes = predictions.rows_of_shard(about, number), len(about["class_names"])
    names = [predictions.file_of(path, name, number) for name in ("digests", "probs")]
    with files.whole(names[1]) as of_probs, files.whole(names[0]) as of_digests:
        probs = _allocated(of_probs, np.float16, (rows, classes))
        digests = _allocated(of_digests, np.uint64, (rows,))
        yield probs, digests
        probs.flush()
        digests.flush()


def _allocated(path: str, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """A .npy file, mapped, with room on the disk: without, a write may end the process."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, os.path.getsize(path))
        finally:
            os.close(descriptor)
    return array
