"""The run folder: what it may hold, and how files get there whole."""

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile

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


def state(path, config, overwrite=False):
    """What a folder holds; changes nothing.

    Args:
      path: str, the folder, which need not exist.
      config: dict of option name -> value, as config.Config.flat() gives it.
      overwrite: bool, whether a run that is there counts as gone.

    Returns:
      "new", "interrupted" (a run with this configuration that has not ended) or "finished".

    Raises:
      ConfigError: the folder holds something that is no run, or a run of another configuration.
    """
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
    foreign = [name for name in present if name.replace(".partial", "") not in ARTIFACTS]
    if foreign:
        raise ConfigError(
            f"workdir {path} holds something that is no run ({', '.join(sorted(foreign)[:3])}); "
            "choose another --workdir."
        )
    return "new"


def prepare(path, config, flag_lines, overwrite=False):
    """Makes or reopens a run folder.

    Args:
      path, config, overwrite: as for `state`; a run that is there is removed if `overwrite`.
      flag_lines: list of str, the configuration as flags.

    Returns:
      As `state`.

    Raises:
      ConfigError: as `state`; or the folder cannot be written.
    """
    found = state(path, config, overwrite)
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ConfigError(f"workdir {path} cannot be written: {error.strerror}.") from error
    if found == "new":
        remove_run(path)
        write_text(os.path.join(path, "run.flags"), "\n".join(flag_lines) + "\n")
        write_json(os.path.join(path, "config.json"), config)
    return found


def remove_run(path):
    """Removes a run's files from its folder; config.json last, so that it stays a run till then."""
    for name in reversed(ARTIFACTS):
        target = os.path.join(path, name)
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target)
        elif os.path.lexists(target):
            os.remove(target)


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


def read_json(path):
    """A JSON object from a file; ConfigError if the file does not hold one."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a JSON object.")
    return value


@contextlib.contextmanager
def whole(path):
    """Gives a temporary path to write to, and renames it to `path` if all went well."""
    root, extension = os.path.splitext(path)
    partial = f"{root}.partial{extension}"
    try:
        yield partial
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def write_text(path, text):
    """Writes a text file that appears complete or not at all."""
    with whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(path, value):
    """Writes `value` as indented JSON, complete or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def versions():
    """dict of package name -> version of what a result depends on."""
    packages = ("mpl_tf", "tensorflow", "keras", "numpy", "scikit-learn", "tensorflow-datasets")
    found = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_revision():
    """The commit of this package's own checkout, with "-dirty" if it was changed; None outside."""
    here = os.path.dirname(os.path.abspath(__file__))

    def git(*arguments):
        command = ["git", "-C", here, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", os.path.basename(__file__))  # not some outer repository
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
