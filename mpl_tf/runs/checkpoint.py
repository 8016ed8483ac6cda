"""The state of a whole phase of a run on disk: one folder a checkpoint."""

import contextlib
import os
import re
import shutil

import tensorflow as tf

from mpl_tf import files, paths
from mpl_tf.console import log
from mpl_tf.engine.trainer import Trainer
from mpl_tf.options import ConfigError

_DIGESTS = "digests.json"
_STATE = "state"
_STEP = "step"  # in it: which step it is of, whatever the folder is called


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or none could be read; the message says what to do."""


def steps(directory: str) -> list[int]:
    """Those of which there are checkpoints of a phase in a directory, which need not exist."""
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return [int(match[1]) for name in names if (match := re.fullmatch(r"step-(\d+)", name))]


class Checkpoints:
    """Saves and restores a trainer: weights, optimizers, counters, random states, open log rows.

    A checkpoint is a folder `step-N` of files of tf.train.Checkpoint and their SHA-256 digests. It
    is written under another name, forced to the disk and renamed, and only then do older ones go.
    A process that is killed at any moment, or runs out of disk, thus leaves the checkpoints before
    as they were, and every `step-N` that is there is complete.

    Args:
      trainer: compiled, so that its optimizers have their slots.
      directory: of this phase alone.
      keep: how many of the newest are kept, at least 1.
      write_to: another directory to save to: of several workers, all must take part in saving and
        only one may write to `directory`. None is `directory`.
    """

    def __init__(
        self, trainer: Trainer, directory: str, keep: int = 2, write_to: str | None = None
    ):
        # States of SeedGenerators (dropout) are variables but not weights; Keras's own tracking
        # leaves them out, and restoring does not notice.
        weights = {id(v) for v in trainer.weights}
        metrics = {id(v) for metric in trainer.metrics for v in metric.variables}
        random_states = [
            v.value for v in trainer.variables if id(v) not in weights and id(v) not in metrics
        ]
        window = [v.value for metric in trainer.window_metrics for v in metric.variables]
        self._tracked = tf.train.Checkpoint(
            engine=trainer, random_states=random_states, window=window
        )
        self._directory, self._keep = directory, keep
        self._write_to = write_to or directory
        self._last_step: int | None = None

    def save(self, step: int) -> None:
        """Writes the state after `step` steps, unless that is where the last one is from.

        Args:
          step: steps of this phase that are done.

        Raises:
          CheckpointError: it could not be written; those that were there are as they were.
        """
        if step == self._last_step:
            return
        try:
            with files.whole(self._path(step, self._write_to)) as partial:
                os.makedirs(partial)
                self._tracked.write(os.path.join(partial, _STATE))
                written = {_STEP: str(step), **files.digests(partial, os.listdir(partial))}
                files.write_json(os.path.join(partial, _DIGESTS), written)
        except (OSError, tf.errors.OpError) as error:
            raise CheckpointError(
                f"the checkpoint after step {step} could not be written to {self._write_to}: "
                f"{files.reason(error)}. The checkpoints before it are as they were: make room, "
                "and the same command continues from there."
            ) from error
        self._last_step = step
        self._tidy()

    def restore(self, total: int | None = None) -> int:
        """Restores the newest checkpoint that can be read, if there is one; changes no file.

        Args:
          total: steps of the phase; a checkpoint of a later step is of another run.

        Returns:
          The step it was saved at; 0 if there is no checkpoint at all.

        Raises:
          CheckpointError: there are checkpoints, and none of them can be read.
        """
        faults = []
        for step in sorted(steps(self._directory), reverse=True):
            fault = self._read(self._path(step, self._directory), step, total)
            if not fault:
                self._last_step = step
                return step
            faults.append(f"{self._path(step, self._directory)}: {fault}")
            log.warning(f"Passing over a checkpoint that cannot be used, {faults[-1]}")
        if faults:
            raise CheckpointError(
                f"no checkpoint in {self._directory} can be used ({'; '.join(faults)}). Nothing "
                "was deleted. Put a good copy in its place, or remove that folder to take these "
                "steps again, or start over with --overwrite."
            )
        return 0

    @staticmethod
    def _path(step, directory):
        return os.path.join(directory, f"step-{step}")

    def _read(self, path: str, step: int, total: int | None) -> str:
        """Restores from a folder; returns what is wrong with it, "" if nothing is."""
        if total is not None and step > total:
            return f"it is of step {step}, and there are {total}"
        try:
            written = files.read_json(os.path.join(path, _DIGESTS), dict[str, str])
            if written.pop(_STEP, str(step)) != str(step):
                return "it is of another step than its name says"
            unknown = {name for name in os.listdir(path) if name.startswith(_STATE)} - {*written}
            if unknown or f"{_STATE}.index" not in written:
                return f"{_DIGESTS} does not name all of its files"
            # All of it first: TensorFlow finds damage while it restores, variable by variable.
            if damage := files.damage(path, written):
                return damage
            with paths.literal(path) as folder:
                status = self._tracked.read(os.path.join(folder, _STATE))
                status.assert_existing_objects_matched()
        except ConfigError as error:
            return str(error)
        except (OSError, ValueError, AttributeError, AssertionError, tf.errors.OpError) as error:
            return files.reason(error)
        return ""

    def _tidy(self):
        """Removes all but the newest `keep` checkpoints up to the last one saved.

        Later ones could not be read, or the run would have continued from there.
        """
        there = steps(self._write_to)
        earlier = sorted(step for step in there if step <= (self._last_step or 0))
        with contextlib.suppress(OSError):  # the next save tries again
            for step in set(there) - set(earlier[-self._keep :]):
                path = self._path(step, self._write_to)
                files.vanish(path, f"{path}.old.partial")
        for name in os.listdir(self._write_to):  # of a process that was killed
            if name.endswith(".partial"):
                shutil.rmtree(os.path.join(self._write_to, name), ignore_errors=True)
