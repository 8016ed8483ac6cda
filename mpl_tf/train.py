"""`python -m mpl_tf.train`: the whole job in one command."""

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

    return (flags.parse(argv, with_devices=True),)


def _train(job: "flags.Job") -> int:
    from mpl_tf.runs import faults, training

    way_on = faults.WayOn(
        "the same command continues from the last checkpoint",
        "a run on other images starts anew, with --overwrite",
    )
    launch = job.launch
    try:
        training.train_and_evaluate(
            job.config,
            launch.workdir,
            launch.overwrite,
            launch.workers,
            launch.worker_index,
            explicit=job.settings,
        )
    except Exception as error:
        reason = faults.reason(error, launch.workdir, way_on)
        if not reason:
            raise
        raise cli.Failure(reason) from error
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
