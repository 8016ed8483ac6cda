"""`python -m mpl_tf.auto`: a classifier of a folder, and what it says of the images."""

import os
import sys
import time
from collections.abc import Sequence

from mpl_tf import cli, console
from mpl_tf.auto.options import AutoConfig

COMMAND = cli.Command(
    "python -m mpl_tf.auto",
    """Find the best classifier of a folder with few labels, within minutes: a pretrained network
sees each image once, candidates from logistic regression to semi-supervised methods and finetuning
are compared on held-out labeled images, and the best one is trained on all labels and exported.
Writes predictions for all unlabeled images, the images whose labels would help most, and the labels
that predictions contradict, each with a contact sheet.

  python -m mpl_tf.auto --dataset=folder:my_images --minutes=10""",
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
    parser = cli.parser(COMMAND, AutoConfig)
    return cli.run(COMMAND, argv, parser, lambda options: _search(options, begin))


def _search(options: AutoConfig, begin: float) -> int:
    from mpl_tf.auto import door
    from mpl_tf.features import cache
    from mpl_tf.runs import callbacks, checkpoint

    try:
        outcome = door.run(options, begin)
    except OSError as error:
        path = error.filename or options.workdir or "runs"
        raise cli.Failure(
            f"{path} cannot be read or written: {error.strerror or error}. Put that right, and the "
            "same command continues."
        ) from error
    except (callbacks.NonFiniteError, cache.CacheError, checkpoint.CheckpointError) as error:
        raise cli.Failure(str(error)) from error
    console.say(f"In {outcome.path}: {', '.join(sorted(os.listdir(outcome.path)))}")
    console.say(f"For other images: python -m mpl_tf.predict --model={outcome.path} PICTURES")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
