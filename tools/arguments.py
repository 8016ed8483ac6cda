"""What the command lines of several tools share, for argparse."""

import argparse
import importlib
import math
import os
from collections.abc import Callable, Iterable

from mpl_tf import files, paths
from mpl_tf.options import ConfigError


def at_least(low: float, number: Callable[[str], float] = int) -> Callable[[str], float]:
    """An argparse type: finite numbers of at least `low`; `number` is int or float."""

    def parse(text):
        value = number(text)
        if not math.isfinite(value) or value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}; received {text}")
        return value

    parse.__name__ = number.__name__  # argparse says: invalid int value
    return parse


def integers(low: int) -> Callable[[str], list[int]]:
    """An argparse type: comma-separated integers, each at least `low`."""

    def parse(text):
        values = [int(part) for part in text.split(",")]
        if min(values) < low:
            raise argparse.ArgumentTypeError(f"each must be at least {low}; received {text}")
        return values

    parse.__name__ = "integers"
    return parse


def local_path(text: str) -> str:
    """An argparse type: a path on this machine; see `paths.local_path`."""
    try:
        return paths.local_path("path", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def output_folder(text: str) -> str:
    """An argparse type: a folder that can be made, or written to; see `files.check_folder`."""
    path = local_path(text)
    try:
        files.check_folder(path)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def check_new(name: str, folder: str) -> None:
    """Raises ConfigError if something lies at `folder`, but for an empty folder.

    Args:
      name: of the option, for the error.
      folder: its value.
    """
    if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise ConfigError(f"{name} must be an empty or a new folder; {folder} is there already.")


def output_file(text: str) -> str:
    """An argparse type: a file that can be written, or replaced."""
    path = local_path(text)
    folder, name = os.path.split(os.path.abspath(path))
    try:
        files.check_folder(folder, [name])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def subcommands(description: str, metavar: str, modules: Iterable[str]) -> argparse.ArgumentParser:
    """A parser of command lines with a subcommand, whose namespace has the module's `run`.

    Args:
      description: the help text.
      metavar: what the help calls a subcommand.
      modules: names of modules, which have NAME, HELP, a docstring, define(parser) and
        run(arguments) -> exit status.
    """
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=style)
    commands = parser.add_subparsers(metavar=metavar, required=True)
    for module in map(importlib.import_module, modules):
        command = commands.add_parser(
            module.NAME, help=module.HELP, description=module.__doc__, formatter_class=style
        )
        module.define(command)
        command.set_defaults(run=module.run)
    return parser
