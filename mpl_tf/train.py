"""`python -m mpl_tf.train`: the whole job in one command."""

import sys

from mpl_tf import console

FINISHED, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def main(argv=None):
    """Runs the command line.

    Args:
      argv: sequence of str, the arguments; None takes the process's own.

    Returns:
      int, the exit status: 0 done, 1 failed while training, 2 bad input (nothing was trained),
      130 stopped by the keyboard.
    """
    argv = sys.argv[1:] if argv is None else argv
    console.start(argv)
    # After that, because they import TensorFlow.
    from mpl_tf import callbacks, flags, training
    from mpl_tf.options import ConfigError

    try:
        command = flags.parse(argv)
        training.train_and_evaluate(
            command.config, command.workdir, flags.to_lines(command.config), command.overwrite
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
    except KeyboardInterrupt:
        console.complain("\nInterrupted. The same command continues from the last checkpoint.")
        return INTERRUPTED
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
