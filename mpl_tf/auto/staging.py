"""How a delivery takes the place of an earlier one: written beside it, then renamed.

A delivery is written to `delivery.partial`, which becomes `delivery.ready` once it is whole; then
its parts are moved to where they belong, results.json last. A kill before that leaves the earlier
delivery, and a kill after it a move that the next start ends.
"""

import contextlib
import os

from mpl_tf import files
from mpl_tf.auto.early import RUN
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder
from mpl_tf.serving import saved_model

RESULTS = "results.json"
# Where the run of another candidate is trained while one is delivered, and that one in the end.
_NEXT_RUN, _OLD_RUN = "run.next", "run.old"
_PARTIAL, _READY = "delivery.partial", "delivery.ready"


def delivered(path: str) -> dict:
    """What results.json says of the delivery in a folder; empty if there is none."""
    try:
        return files.read_json(os.path.join(path, RESULTS))
    except ConfigError:
        return {}


def run_folder(path: str, winner: str) -> str:
    """Where the run of a candidate is trained: never in the place of another one's that counts.

    Args:
      path: the folder of all.
      winner: the candidate.
    """
    there = delivered(path)
    is_of_another = bool(there.get("run")) and there.get("delivered") != winner
    is_of_another = is_of_another and folder.is_run(os.path.join(path, RUN))
    return os.path.join(path, _NEXT_RUN if is_of_another else RUN)


def begin(path: str) -> str:
    """The empty folder in which a delivery to `path` is written.

    Raises:
      OSError: it cannot be made.
    """
    staged = os.path.join(path, _PARTIAL)
    files.remove(staged)
    os.makedirs(staged)
    return staged


def end(path: str, run: str | None) -> None:
    """Puts a delivery that is written, its results.json too, in the place of the earlier one.

    Args:
      path: the folder of all.
      run: of `run_folder`, where the run that is delivered lies; None if it is no run.

    Raises:
      OSError: something cannot be moved.
    """
    if run is None or os.path.basename(run) != _NEXT_RUN:
        drop(os.path.join(path, _NEXT_RUN))  # of one whose training failed
    files.sync_tree(os.path.join(path, _PARTIAL))
    os.rename(os.path.join(path, _PARTIAL), os.path.join(path, _READY))
    finish(path)


def finish(path: str) -> None:
    """Moves the parts of a delivery that is ready, as far as they are not moved; none may be.

    Raises:
      OSError: something cannot be moved.
    """
    ready = os.path.join(path, _READY)
    if not os.path.isdir(ready):
        return
    _move_exports(os.path.join(ready, folder.EXPORT), os.path.join(path, folder.EXPORT))
    _move_run(path)
    for name in sorted(os.listdir(ready), key=lambda name: (name == RESULTS, name)):
        table, ending = os.path.splitext(name)
        picture = f"{table}.png"  # it is moved after its table
        if ending == ".csv" and not os.path.exists(os.path.join(ready, picture)):
            files.remove(os.path.join(path, picture))  # which could not be drawn this time
        os.replace(os.path.join(ready, name), os.path.join(path, name))
    files.sync(path)
    _remove_old(path)
    os.rmdir(ready)


def _move_exports(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        for version in os.listdir(source):
            os.rename(os.path.join(source, version), os.path.join(target, version))
        os.rmdir(source)


def _move_run(path: str) -> None:
    run, following, old = (os.path.join(path, name) for name in (RUN, _NEXT_RUN, _OLD_RUN))
    if os.path.isdir(following):
        if os.path.isdir(run):
            os.rename(run, old)
        os.rename(following, run)
    if os.path.isdir(old):
        drop(old)
        if os.path.isdir(old):  # what somebody has put there stays there
            for name in os.listdir(old):
                os.rename(os.path.join(old, name), os.path.join(run, name))
            os.rmdir(old)


def _remove_old(path: str) -> None:
    """Removes versions of the export, and a run, that results.json does not name."""
    there = delivered(path)
    exports = os.path.join(path, folder.EXPORT)
    hidden = files.partial_name(exports)
    files.remove(hidden)
    for version in map(str, saved_model.versions(exports)):
        if version != os.path.basename(there["export"]):
            files.vanish(os.path.join(exports, version), hidden)
    if not there["run"]:
        drop(os.path.join(path, RUN))


def drop(path: str) -> None:
    """Removes a run, and nothing else that lies in its folder.

    Args:
      path: the run folder, which need not be there.

    Raises:
      OSError: it cannot be removed.
    """
    for name in (*folder.ARTIFACTS, folder.EVALUATION, folder.LOCK):
        for file in (name, files.partial_name(name)):
            files.vanish(os.path.join(path, file))
    with contextlib.suppress(OSError):  # somebody has put something there
        os.rmdir(path)
