"""`python -m mpl_tf.auto`: a classifier of a folder, and what it says of the images."""

import os
import shlex
import sys
import time
from collections.abc import Sequence

from mpl_tf import cli, console
from mpl_tf.auto import early
from mpl_tf.auto.options import AutoConfig

COMMAND = cli.Command(
    "python -m mpl_tf.auto",
    """Find the best classifier of a folder with few labels, within minutes: a pretrained network
sees each image once, candidates from logistic regression to semi-supervised methods and finetuning
are compared on held-out labeled images, and the best one is trained on all labels and exported.
Writes predictions for all unlabeled images, the images whose labels would help most, and the labels
that predictions contradict, each with a contact sheet.

  python -m mpl_tf.auto my_images --minutes=10""",
    unnamed="dataset",
    failed="failed while training, or no room on the disk",
    after_stop="The same command continues with what is not done.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 1 failed while training, or no room on the disk, 2 bad input, 130
      stopped by the keyboard, 143 by SIGTERM.
    """
    begin = time.monotonic()
    return cli.run(COMMAND, argv, _parse, lambda options: _search(options, begin))


def _parse(argv: Sequence[str]) -> tuple[AutoConfig]:
    (options,) = cli.parser(COMMAND, AutoConfig)(argv)
    early.check(options)
    return (options,)


def _search(options: AutoConfig, begin: float) -> int:
    from mpl_tf.auto import door

    try:
        outcome = door.run(options, begin)
    except Exception as error:
        reason = _reason(error, early.workdir(options))
        if not reason:
            raise
        raise cli.Failure(reason) from error
    console.say(f"In {outcome.path}: {', '.join(sorted(os.listdir(outcome.path)))}")
    console.say(
        f"For other images: python -m mpl_tf.predict --model={shlex.quote(outcome.path)} PICTURES"
    )
    return cli.DONE


def _reason(error: Exception, path: str) -> str:
    """What stopped the search and what helps, in words; "" if it is bad input or a mistake."""
    import tensorflow as tf

    from mpl_tf import files
    from mpl_tf.runs import faults

    if isinstance(error, OSError):
        return (
            f"{error.filename or path} cannot be read or written: {error.strerror or error}. Put "
            "that right, and the same command continues."
        )
    way_on = faults.WayOn("the same command continues", "other images are another search")
    reason = faults.reason(error, path, way_on)
    if not reason and isinstance(error, tf.errors.OpError):
        return (
            f"TensorFlow cannot go on: {files.reason(error)}. The same command continues with what "
            "is not done; another --network or --image_size may help."
        )
    return reason


if __name__ == "__main__":
    sys.exit(main())
