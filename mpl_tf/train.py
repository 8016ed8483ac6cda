"""`python -m mpl_tf.train`: the whole job in one command."""

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mpl_tf import cli, console

if TYPE_CHECKING:  # it imports TensorFlow
    from mpl_tf.config import flags

COMMAND = cli.Command(
    "python -m mpl_tf.train",
    """Train a method on a dataset, finetune, evaluate, draw and export.

  python -m mpl_tf.train
  python -m mpl_tf.train --flagfile=flags/digits/mpl.flags --seed=1""",
    failed="failed while training, or no room on the disk",
    after_stop="The same command continues from the last checkpoint, without one from the start.",
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done; 1 failed while training, or no room on the disk; 2 bad input (nothing
      was trained); 130 stopped by the keyboard; 143 stopped by SIGTERM, after the step under way
      was saved. After 130, 143 and a kill the same command continues.
    """
    return cli.run(COMMAND, argv, _parse, _train)


def _parse(argv: Sequence[str]) -> tuple["flags.Job"]:
    console.start(argv)  # before the flags, because they import TensorFlow
    from mpl_tf.config import flags

    return (flags.parse(argv),)


def _train(job: "flags.Job") -> int:
    from mpl_tf.config import flags
    from mpl_tf.runs import training

    launch = job.launch
    try:
        training.train_and_evaluate(
            job.config,
            launch.workdir,
            flags.to_lines(job.config),
            launch.overwrite,
            launch.workers,
            launch.worker_index,
        )
    except Exception as error:
        reason = _reason(error, launch.workdir)
        if not reason:
            raise
        raise cli.Failure(reason) from error
    return cli.DONE


def _reason(error: Exception, workdir: str) -> str:
    """What stopped a run and what helps, in words; "" if it is bad input or a mistake of ours."""
    import tensorflow as tf

    from mpl_tf.data import stores
    from mpl_tf.engine import devices
    from mpl_tf.features import cache
    from mpl_tf.runs import callbacks, checkpoint

    if isinstance(error, callbacks.NonFiniteError):
        return (
            f"{error}.\nThe last good checkpoint, if one was written, lies in the run folder. A "
            "lower learning rate or clip_norm=5 may help."
        )
    if isinstance(error, devices.LOST_WORKER):
        return (
            f"another worker is gone ({devices.reason(error)}).\nStart all workers again, and they "
            "continue from the last checkpoint."
        )
    if isinstance(error, checkpoint.CheckpointError | cache.CacheError):
        return str(error)
    if isinstance(error, tf.errors.OpError) and (fault := stores.fault(error)):
        return (
            f"an image cannot be read: {fault}.\npython tools/check_data.py names what is damaged. "
            "Once that is restored as it was, the same command continues from the last checkpoint; "
            "a run on other images starts anew, with --overwrite."
        )
    if isinstance(error, OSError | tf.errors.OpError):
        for text in map(os.strerror, _NO_ROOM):  # TensorFlow has only words for it
            if text in str(error):
                return (
                    f"{workdir} cannot be written: {text}. Make room, and the same command "
                    "continues from the last checkpoint."
                )
        if workdir in str(error):
            return (
                f"{workdir} cannot be read or written: {error}.\nPut that right, and the same "
                "command continues from the last checkpoint."
            )
    return ""


if __name__ == "__main__":
    sys.exit(main())
