"""A command of the terminal, from its arguments to its exit status."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from mpl_tf import console, signals
from mpl_tf.cli import help as help_texts
from mpl_tf.cli.help import Command, HelpRequested
from mpl_tf.cli.statuses import DONE, FAILED, INTERRUPTED, MISUSED, TERMINATED
from mpl_tf.options import ConfigError


class Failure(Exception):  # noqa: N818 - the name of the exit status
    """The work cannot go on, through no mistake in the code; the message says why."""


def run(
    command: Command,
    argv: Sequence[str] | None,
    parse: Callable[[Sequence[str]], tuple],
    work: Callable[..., int],
) -> int:
    """Parses a command line, imports TensorFlow silently, works, and reports what went wrong.

    Args:
      command: what is run.
      argv: the arguments; None takes the process's own.
      parse: makes them the arguments of `work`; may raise ConfigError and HelpRequested.
      work: returns DONE or FAILED; may raise ConfigError and Failure.

    Returns:
      The exit status.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        with signals.raised():
            arguments = parse(argv)
            console.start(argv)
            console.default_keras()
            return work(*arguments)
    except HelpRequested as request:
        with contextlib.suppress(BrokenPipeError):
            console.say(help_texts.whole(command, str(request)))
            return DONE
        _close_output()
        return DONE
    except ConfigError as error:
        console.complain(f"Error: {error}\nSee {command.name} --help.")
        return MISUSED
    except Failure as error:
        console.complain(f"\nStopped: {error}")
        return FAILED
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        _close_output()
        if not command.after_stop:
            return DONE
        console.complain(f"\nStopped: nobody reads the output. {command.after_stop}")
        return FAILED
    except KeyboardInterrupt:
        console.complain(f"\nInterrupted. {command.after_stop}".rstrip())
        return INTERRUPTED
    except signals.Terminated:
        console.complain(f"Terminated. {command.after_stop}".rstrip())
        return TERMINATED


def _close_output() -> None:
    """Nobody reads standard output any more: what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
