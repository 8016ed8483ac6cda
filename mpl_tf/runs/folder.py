"""The run folder: what it may hold, and who may write to it."""

import contextlib
import errno
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import filelock

from mpl_tf.console import log
from mpl_tf.files import (
    check_folder,
    partial_name,
    read_json,
    remove,
    vanish,
    what_is,
    write_json,
    write_text,
)
from mpl_tf.options import ConfigError

# What a run writes: docs/run_folder.md says what is in each.
CONFIG, FLAGS, SPLIT, IMAGES = "config.json", "run.flags", "split.json", "images.npz"
FEATURES = "features.json"
VIEWS, PRETRAIN_VIEWS = "views.png", "pretrain_views.png"
PREDICTIONS = "predictions.npy"
METRICS, SHARES = "metrics.csv", "pseudo_labels.csv"
TENSORBOARD, CHECKPOINTS, EXPORT = "tensorboard", "checkpoints", "export"
RESULTS, REPORT = "results.json", "report.png"
ENCODER, NEIGHBOURS = "encoder.keras", "neighbours.png"

# The phases of a run that has no others: training, and finetuning after it. They name rows of the
# tables, and folders of checkpoints and of events for TensorBoard.
TRAIN, FINETUNE = "train", "finetune"
# That of `--pretrain`, before all others.
PRETRAIN = "pretrain"

# Overwriting removes these names and nothing else.
ARTIFACTS = (
    CONFIG,
    FLAGS,
    SPLIT,
    IMAGES,
    FEATURES,
    VIEWS,
    METRICS,
    SHARES,
    TENSORBOARD,
    CHECKPOINTS,
    PREDICTIONS,
    RESULTS,
    REPORT,
    ENCODER,
    NEIGHBOURS,
    PRETRAIN_VIEWS,
    EXPORT,
)

# Options that follow from the number of images if they are not set.
SIZES = {"num_validation", "labeled_batch", "unlabeled_ratio", "finetune_batch"}

# What `evaluate` adds to a finished run; it is removed with the run.
EVALUATION = "evaluation"

# Those that are folders, with the folders in them that a run writes to; all others are files.
_FOLDERS = {
    TENSORBOARD: (PRETRAIN, TRAIN, FINETUNE),
    CHECKPOINTS: (PRETRAIN, TRAIN, FINETUNE),
    EXPORT: ("",),
    EVALUATION: ("",),
}

# Held by the process that runs in the folder. Never deleted: a process waiting on a deleted lock
# file and one that locks its replacement would both believe they own the folder.
LOCK = "run.lock"


def is_run(path: str) -> bool:
    """Whether a folder is that of a run, finished or not."""
    return os.path.isfile(os.path.join(path, CONFIG))


def exports_of(path: str) -> str:
    """The folder of the exports of `path`: `export` in a run, or where there is one; or itself."""
    exports = os.path.join(path, EXPORT)
    return exports if is_run(path) or os.path.isdir(exports) else path


def state(
    path: str,
    config: dict[str, Any],
    overwrite: bool = False,
    unsettled: Collection[str] = (),
) -> str:
    """What a folder holds; changes nothing.

    Args:
      path: the folder, which need not exist.
      config: option name -> value, as config.Config.flat() gives it. A run may have its images
        elsewhere; whether they are the same is not checked here.
      overwrite: whether a run that is there counts as gone.
      unsettled: options that are not compared.

    Returns:
      "new", "interrupted" (a run with this configuration that has not ended) or "finished".

    Raises:
      ConfigError: the folder holds something that is no run, or a run of another configuration, or
        one that another process is busy with.
    """
    result = _state(path, config, overwrite, unsettled)
    if result != "finished" and os.path.exists(os.path.join(path, LOCK)):
        with _locked(path):  # refuses at once, not after minutes of preparation
            pass
    return result


def _state(path, config, overwrite, unsettled=()):
    try:
        present = os.listdir(path) if os.path.lexists(path) else []
    except OSError as error:
        raise ConfigError(f"workdir {path} cannot be written: {error.strerror}.") from error
    if CONFIG in present:
        if not overwrite:
            there = _without(unsettled, read_json(os.path.join(path, CONFIG)))
            config = _without(unsettled, config)
            is_finished = RESULTS in present
            there, config = (without_places(each, is_finished) for each in (there, config))
            check_same(path, there, config)
            if is_finished:
                return "finished"
        _check_writable(path)
        return "new" if overwrite else "interrupted"
    # What a start that was killed before config.json leaves. The other artifacts are not ours to
    # remove: without config.json they may be somebody's exports or measurements.
    ours = {LOCK, FLAGS, *map(partial_name, (*ARTIFACTS, EVALUATION))}
    foreign = [name for name in present if name not in ours]
    if foreign:
        raise ConfigError(
            f"workdir {path} has no {CONFIG} and holds something that is no run "
            f"({', '.join(sorted(foreign)[:3])}); choose another --workdir."
        )
    _check_writable(path)
    return "new"


def _without(names, config):
    return {name: value for name, value in config.items() if name not in names}


def _check_writable(path):
    """Refuses what a run would stumble over at its end: a folder in place of a file, and so on.

    Overwriting refuses it, too: what a run has not written is not the run's to remove.
    """
    check_folder(path)
    for name in (*ARTIFACTS, EVALUATION, LOCK):
        file = os.path.join(path, name)
        fit = "a folder" if name in _FOLDERS else "a file"
        if (lies_there := what_is(file)) not in (fit, "nothing"):
            raise ConfigError(f"{file} must be {fit}; it is {lies_there}. Move it away.")
        if lies_there == "a file" and not os.access(file, os.R_OK | os.W_OK):
            raise ConfigError(f"{file} cannot be read and written: no permission.")
        for below in _FOLDERS.get(name, ()):
            check_folder(os.path.join(file, below))


def prepare(
    path: str, config: dict[str, Any], flag_lines: Sequence[str], overwrite: bool = False
) -> str:
    """Makes or reopens a run folder; call it under `lock`.

    Args:
      path, config, overwrite: as for `state`; a run that is there is removed if `overwrite`.
      flag_lines: the configuration as flags.

    Returns:
      As `state`.

    Raises:
      ConfigError: as `state`.
    """
    result = _state(path, config, overwrite)
    os.makedirs(path, exist_ok=True)
    names = (*ARTIFACTS, EVALUATION)
    for name in names:  # what a process that was killed has left half done
        remove(os.path.join(path, partial_name(name)))
    if result == "finished":
        return result
    if result == "new":
        # Results first: without the others they are none. config.json is replaced below: a folder
        # that is a run stays one.
        for name in (RESULTS, *names):
            if name != CONFIG:
                vanish(os.path.join(path, name))
    write_text(os.path.join(path, FLAGS), "\n".join(flag_lines) + "\n")
    if result == "new" or read_json(os.path.join(path, CONFIG)) != config:
        write_json(os.path.join(path, CONFIG), config)
    return result


@contextlib.contextmanager
def lock(path: str, flag: str = "workdir") -> Iterator[None]:
    """Keeps other processes out of a run folder, which is made if it is missing.

    The system releases the lock when the process ends, in whatever way.

    Args:
      path: the folder.
      flag: by which a user names it.

    Raises:
      ConfigError: another process has it, or the folder cannot be written.
    """
    with _locked(path, flag):
        # On Windows, a locked file cannot be written by another handle; it then names no holder.
        with (
            contextlib.suppress(PermissionError),
            open(os.path.join(path, LOCK), "w", encoding="utf-8") as file,
        ):
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield


@contextlib.contextmanager
def _locked(path, flag="workdir"):
    # The file system's own lock or none: a marker file would outlive a process that is killed.
    file_lock = filelock.FileLock(
        os.path.join(path, LOCK), blocking=False, fallback_to_soft=False, preserve_lock_file=True
    )
    try:
        os.makedirs(path, exist_ok=True)
        file_lock.acquire()
    except filelock.Timeout as error:
        raise ConfigError(
            f"{flag} {path} is in use by another process ({_holder(path)}); wait for its end or "
            f"choose another --{flag}."
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise ConfigError(f"{flag} {path} cannot be written: {error.strerror}.") from error
        log.warning(f"{path} knows no locks ({error.strerror}): run one process there at most")
    try:
        yield
    finally:
        file_lock.release()


def _holder(path):
    """The name that the process with the lock has written."""
    with (
        contextlib.suppress(OSError),
        open(os.path.join(path, LOCK), encoding="utf-8") as file,
    ):
        if name := file.read().strip():
            return name
    return "one that has just started"


def without_places(config: dict[str, Any], is_finished: bool) -> dict[str, Any]:
    """A configuration that does not say where images and cached features lie.

    Args:
      config: option name -> value.
      is_finished: whether nobody is going to compare split and weights with those of the run, so
        that their files must be the same.
    """
    places: dict[str, Any] = {}
    for prefix in ("folder:", "tfrecord:"):
        if str(config.get("dataset")).startswith(prefix):
            places["dataset"] = prefix
    places |= {name: False for name in ("data_dir", "cache_dir") if name in config}
    if not is_finished:
        for name in ("split_file", "predictions"):
            places[name] = bool(config.get(name))
        for name in ("network", "teacher_network", "network_weights"):
            places[name] = os.path.basename(str(config.get(name)))
    return config | places


def check_same(path: str, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Compares the configuration of the run in a folder with that of a command.

    Raises:
      ConfigError: they differ; the differences are named.
    """
    if there == here:
        return
    missing = "none"
    differences = {
        name: f"{name} is {there.get(name, missing)} there and {here.get(name, missing)} here"
        for name in sorted({*there, *here})
        if there.get(name, missing) != here.get(name, missing)
    }
    hint = ""
    if differences.keys() <= SIZES:
        hint = "Where they were not set, they follow from the number of images: has it changed? "
    raise ConfigError(
        f"workdir {path} holds a run of another configuration: {'; '.join(differences.values())}. "
        f"{hint}Choose another --workdir, or --overwrite to replace that run."
    )
