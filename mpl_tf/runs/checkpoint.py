"""The state of a whole phase of a run on disk: one folder a checkpoint."""

import contextlib
import hashlib
import json
import os
import re
import shutil

import tensorflow as tf

from mpl_tf import console, files

_DIGESTS = "digests.json"


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or none could be read; the message says what to do."""


class Checkpoints:
    """Saves and restores an engine: weights, optimizers, counters, random states, open log rows.

    A checkpoint is a folder `step-N` of files of tf.train.Checkpoint and their SHA-256 digests. It
    is written under another name, forced to the disk and renamed, and only then do older ones go.
    A process that is killed at any moment, or runs out of disk, thus leaves the checkpoints before
    as they were, and every `step-N` that is there is complete.

    Args:
      engine: engine.trainer.Trainer, compiled, so that its optimizers have their slots.
      directory: str, of this phase alone.
      keep: int, how many of the newest are kept, at least 1.
      write_to: str, another directory to save to: of several workers, all must take part in saving
        and only one may write to `directory`. None is `directory`.
    """

    def __init__(self, engine, directory, keep=2, write_to=None):
        # States of SeedGenerators (dropout) are variables but not weights; Keras's own tracking
        # leaves them out, and restoring does not notice.
        weights = {id(v) for v in engine.weights}
        metrics = {id(v) for metric in engine.metrics for v in metric.variables}
        random_states = [
            v.value for v in engine.variables if id(v) not in weights and id(v) not in metrics
        ]
        window = [v.value for metric in engine.window_metrics for v in metric.variables]
        self._tracked = tf.train.Checkpoint(
            engine=engine, random_states=random_states, window=window
        )
        self._directory, self._keep, self._at = directory, keep, None
        self._write_to = write_to or directory

    def save(self, step):
        """Writes the state after `step` steps, unless that is where the last one is from.

        Args:
          step: int, steps of this phase taken so far.

        Raises:
          CheckpointError: it could not be written; those that were there are as they were.
        """
        if step == self._at:
            return
        final = self._path(step, self._write_to)
        partial = f"{final}.partial"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            os.makedirs(partial)
            self._tracked.write(os.path.join(partial, "state"))
            digests = {name: _digest(os.path.join(partial, name)) for name in os.listdir(partial)}
            files.write_json(os.path.join(partial, _DIGESTS), digests)
            for name in (*digests, ""):
                files.sync(os.path.join(partial, name))
            _discard(final)  # one that could not be read
            os.rename(partial, final)
            files.sync(self._write_to)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(
                f"the checkpoint after step {step} could not be written to {self._write_to}: "
                f"{_reason(error)}. The checkpoints before it are as they were: make room, and the "
                "same command continues from there."
            ) from error
        self._at = step
        self._tidy()

    def restore(self):
        """Restores the newest checkpoint that can be read, if there is one; changes no file.

        Returns:
          int, the step it was saved at; 0 if there is no checkpoint at all.

        Raises:
          CheckpointError: there are checkpoints, and none of them can be read.
        """
        faults = []
        for step in sorted(self._steps(self._directory), reverse=True):
            fault = self._read(self._path(step))
            if fault is None:
                self._at = step
                return step
            faults.append(f"{self._path(step)}: {fault}")
            console.say(f"Passing over a checkpoint that cannot be used, {faults[-1]}")
        if faults:
            raise CheckpointError(
                f"no checkpoint in {self._directory} can be used ({'; '.join(faults)}). Nothing "
                "was deleted. Put a good copy in its place, or remove that folder to take these "
                "steps again, or start over with --overwrite."
            )
        return 0

    def _path(self, step, directory=None):
        return os.path.join(directory or self._directory, f"step-{step}")

    @staticmethod
    def _steps(directory):
        names = os.listdir(directory) if os.path.isdir(directory) else []
        return [int(found[1]) for name in names if (found := re.fullmatch(r"step-(\d+)", name))]

    def _read(self, path):
        """Restores from a folder; returns what is wrong with it, or None if nothing is."""
        try:
            with open(os.path.join(path, _DIGESTS), encoding="utf-8") as file:
                digests = json.load(file)
            # All of it first: TensorFlow finds damage while it restores, variable by variable.
            for name, digest in digests.items():
                if _digest(os.path.join(path, name)) != digest:
                    return f"{name} is damaged"
            status = self._tracked.read(os.path.join(path, "state"))
            status.assert_existing_objects_matched()
        except (OSError, ValueError, AttributeError, AssertionError, tf.errors.OpError) as error:
            return _reason(error)
        return None

    def _tidy(self):
        """Removes what is not among the newest up to the last one saved.

        Later ones could not be read, or the run would have continued from there.
        """
        earlier = sorted(step for step in self._steps(self._write_to) if step <= self._at)
        with contextlib.suppress(OSError):  # the next save tries again
            for step in set(self._steps(self._write_to)) - set(earlier[-self._keep :]):
                _discard(self._path(step, self._write_to))
        for name in os.listdir(self._write_to):  # of a process that was killed
            if name.endswith(".partial"):
                shutil.rmtree(os.path.join(self._write_to, name), ignore_errors=True)


def _discard(path):
    """Removes a checkpoint such that a kill leaves no half of it under its name."""
    if os.path.lexists(path):
        gone = f"{path}.gone.partial"
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(path, gone)
        shutil.rmtree(gone, ignore_errors=True)


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error):
    """What an exception says, in a line: without TensorFlow's names of functions and operations."""
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    if isinstance(error, tf.errors.OpError):
        text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", text).rpartition("; ")[2]
    return text.strip().splitlines()[0][:200] if text.strip() else type(error).__name__
