"""What the commands beside `train` share: arguments made of option fields, and exit statuses."""

import argparse
import dataclasses
import os
import sys

from mpl_tf import console
from mpl_tf.options import ConfigError, check

DONE, FAILED, MISUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def run(argv, kind, work, *, verb, about, files=None):
    """Parses a command line, imports TensorFlow silently, works, and reports what went wrong.

    Args:
      argv: sequence of str, the arguments; None takes the process's own.
      kind: dataclass of `options.option` fields, one a `--flag`.
      work: callable of an instance of `kind` and, if `files`, a list of str -> exit status.
      verb: str, the command: `python -m mpl_tf.<verb>`.
      about: str, what it does.
      files: str, the help for arguments without a flag, at least one; None takes none.

    Returns:
      int, the exit status: that of `work`; 2 for bad input, 130 when stopped by the keyboard, 143
      by SIGTERM.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser(kind, verb, about, files)
    try:
        values = vars(parser.parse_args(argv))
    except SystemExit as end:  # argparse has said all
        return end.code or DONE
    rest = [values.pop("files")] if files else []
    verbose = values.pop("verbosity") is not None
    try:
        options = kind(**values)
        check(options)
        with console.raised():
            console.start(["--verbosity"] if verbose else [])
            return work(options, *rest)
    except ConfigError as error:
        console.complain(f"Error: {error}\nSee python -m mpl_tf.{verb} --help.")
        return MISUSED
    except KeyboardInterrupt:
        console.complain("\nInterrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except console.Terminated:
        console.complain("Terminated.")
        return TERMINATED


def _parser(kind, verb, about, files):
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        f"python -m mpl_tf.{verb}", description=about, formatter_class=style, allow_abbrev=False
    )
    for field in dataclasses.fields(kind):
        text = field.metadata["help"].replace("%", "%%")
        choices = field.metadata["choices"]
        if field.default != "":
            text += " [%(default)s]"
        arguments = {"default": field.default, "help": text}
        if field.type is bool:
            arguments["action"] = argparse.BooleanOptionalAction
        else:
            arguments |= {"type": field.type, "choices": choices}
        if field.type is not bool and not choices:
            arguments["metavar"] = {str: "TEXT", int: "N", float: "X"}[field.type]
        parser.add_argument(f"--{field.name}", **arguments)
    parser.add_argument(
        "--verbosity", type=int, metavar="N", help="Show TensorFlow's own messages too."
    )
    if files:
        parser.add_argument("files", nargs="+", metavar="FILE", help=files)
    return parser
