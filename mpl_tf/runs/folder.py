"""The run folder: what it may hold, and who may write to it."""

import contextlib
import errno
import fcntl
import os
import socket

from mpl_tf import console
from mpl_tf.files import partial_name, read_json, remove, vanish, write_json, write_text
from mpl_tf.options import ConfigError

# Everything a run writes. Overwriting removes these names and nothing else.
ARTIFACTS = (
    "config.json",
    "run.flags",
    "split.json",
    "views.png",
    "metrics.csv",
    "pseudo_labels.csv",
    "tensorboard",
    "checkpoints",
    "results.json",
    "report.png",
    "export",
)

# What `evaluate` adds to a finished run, with which it goes.
EVALUATION = "evaluation"

# Held by the process that runs in the folder. It stays when a run is removed: who waits for a lock
# on a file that is gone would share the folder with who locks its successor.
LOCK = "run.lock"


def state(path, config, overwrite=False):
    """What a folder holds; changes nothing.

    Args:
      path: str, the folder, which need not exist.
      config: dict of option name -> value, as config.Config.flat() gives it.
      overwrite: bool, whether a run that is there counts as gone.

    Returns:
      "new", "interrupted" (a run with this configuration that has not ended) or "finished".

    Raises:
      ConfigError: the folder holds something that is no run, or a run of another configuration, or
        one that another process is busy with.
    """
    found = _state(path, config, overwrite)
    if found != "finished" and os.path.exists(os.path.join(path, LOCK)):
        with _locked(path):  # refuses now, not after minutes of preparation
            pass
    return found


def _state(path, config, overwrite):
    try:
        present = os.listdir(path) if os.path.lexists(path) else []
    except OSError as error:
        raise ConfigError(f"workdir {path} cannot be written: {error.strerror}.") from error
    if "config.json" in present:
        if overwrite:
            return "new"
        check_same(path, read_json(os.path.join(path, "config.json")), config)
        return "finished" if "results.json" in present else "interrupted"
    # What a start that was killed before config.json leaves.
    names = (*ARTIFACTS, EVALUATION)
    ours = {LOCK, *names, *map(partial_name, names)}
    foreign = [name for name in present if name not in ours]
    if foreign:
        raise ConfigError(
            f"workdir {path} holds something that is no run ({', '.join(sorted(foreign)[:3])}); "
            "choose another --workdir."
        )
    return "new"


def prepare(path, config, flag_lines, overwrite=False):
    """Makes or reopens a run folder; call it under `lock`.

    Args:
      path, config, overwrite: as for `state`; a run that is there is removed if `overwrite`.
      flag_lines: list of str, the configuration as flags.

    Returns:
      As `state`.

    Raises:
      ConfigError: as `state`.
    """
    found = _state(path, config, overwrite)
    os.makedirs(path, exist_ok=True)
    names = (*ARTIFACTS, EVALUATION)
    for name in names:  # what a process that was killed has left half done
        remove(os.path.join(path, partial_name(name)))
    if found == "finished":
        return found
    if found == "new":
        # Results first: without the rest they are none. config.json is replaced below: a folder
        # that is a run stays one.
        for name in ("results.json", *names):
            if name != "config.json":
                vanish(os.path.join(path, name))
    write_text(os.path.join(path, "run.flags"), "\n".join(flag_lines) + "\n")
    if found == "new":
        write_json(os.path.join(path, "config.json"), config)
    return found


@contextlib.contextmanager
def lock(path):
    """Keeps other processes out of a run folder, which is made if it is missing.

    The system lets go of the lock when the process ends, in whatever way.

    Args:
      path: str, the folder.

    Raises:
      ConfigError: another process has it, or the folder cannot be written.
    """
    with _locked(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


@contextlib.contextmanager
def _locked(path):
    try:
        os.makedirs(path, exist_ok=True)
        file = open(os.path.join(path, LOCK), "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise ConfigError(f"workdir {path} cannot be written: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "one that has just started"
            raise ConfigError(
                f"workdir {path} is in use by another process ({holder}); wait for its end or "
                "choose another --workdir."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            console.say(f"{path} knows no locks ({error.strerror}): run one process there at most")
        yield file


def check_same(path, found, wanted):
    """Raises ConfigError if the run in a folder has another configuration, naming differences."""
    if found == wanted:
        return
    missing = "none"
    differences = [
        f"{name} is {found.get(name, missing)} there and {wanted.get(name, missing)} here"
        for name in sorted({*found, *wanted})
        if found.get(name, missing) != wanted.get(name, missing)
    ]
    raise ConfigError(
        f"workdir {path} holds a run of another configuration: {'; '.join(differences)}. "
        "Choose another --workdir, or --overwrite to replace that run."
    )
