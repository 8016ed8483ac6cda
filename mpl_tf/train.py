"""`python -m mpl_tf.train`: the whole job in one command."""

import errno
import os
import sys

from mpl_tf import console

FINISHED, FAILED, MISUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv=None):
    """Runs the command line.

    Args:
      argv: sequence of str, the arguments; None takes the process's own.

    Returns:
      int, the exit status: 0 done; 1 failed while training, or no room on the disk; 2 bad input
      (nothing was trained); 130 stopped by the keyboard; 143 stopped by SIGTERM, after the step
      under way was saved. After 130, 143 and a kill the same command continues.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        with console.raised():
            return _run(argv)
    except console.Terminated:
        console.complain("Terminated. The same command continues from the last checkpoint.")
        return TERMINATED
    except KeyboardInterrupt:
        console.complain("\nInterrupted. The same command continues from the last checkpoint.")
        return INTERRUPTED


def _run(argv):
    console.start(argv)
    # After that, because they import TensorFlow.
    import tensorflow as tf

    from mpl_tf.config import flags
    from mpl_tf.engine import devices
    from mpl_tf.options import ConfigError
    from mpl_tf.runs import callbacks, training
    from mpl_tf.runs.checkpoint import CheckpointError

    try:
        command = flags.parse(argv)
        training.train_and_evaluate(
            command.config,
            command.workdir,
            flags.to_lines(command.config),
            command.overwrite,
            command.workers,
            command.worker_index,
        )
    except flags.HelpRequested as help_text:
        console.say(str(help_text))
    except ConfigError as error:
        console.complain(f"Error: {error}\nSee python -m mpl_tf.train --help.")
        return MISUSED
    except callbacks.NonFiniteError as error:
        console.complain(
            f"\nStopped: {error}.\nThe last good checkpoint, if one was written, lies in the run "
            "folder. A lower learning rate or clip_norm=5 may help."
        )
        return FAILED
    except devices.LOST_WORKER as error:
        console.complain(
            f"\nStopped: another worker is gone ({devices.reason(error)}).\nStart all workers "
            "again, and they continue from the last checkpoint."
        )
        return FAILED
    except CheckpointError as error:
        console.complain(f"\nStopped: {error}")
        return FAILED
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow has only words for it.
        reasons = [os.strerror(n) for n in _NO_ROOM if os.strerror(n) in str(error)]
        if not reasons:
            raise
        console.complain(
            f"\nStopped: {command.workdir} cannot be written: {reasons[0]}. Make room, and the "
            "same command continues from the last checkpoint."
        )
        return FAILED
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
