"""The command line of all verbs: flags made of `option` fields, help, exit statuses."""

import contextlib
import dataclasses
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from mpl_tf import console, flag_files, options, paths
from mpl_tf.options import ConfigError

DONE, FAILED, MISUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
# What each says, in the help of a command; FAILED has a text of the command's own.
_STATUSES = {
    DONE: "done",
    FAILED: "{failed}",
    MISUSED: "bad input",
    INTERRUPTED: "stopped by Ctrl-C",
    TERMINATED: "stopped by SIGTERM",
}
# The flags of every command, in its help.
_EVERYWHERE = """Of every command
  --flagfile=path
      Read flags from a file, one a line; # starts a comment line.
  --verbosity=int
      Show TensorFlow's own messages too, whatever the value.
  -h, --help
      Show this text."""
_NUMBERS: dict[Any, flags.ArgumentParser] = {
    int: flags.IntegerParser(),
    float: flags.FloatParser(),
}
Fields = Iterable[dataclasses.Field]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the terminal.

    Attributes:
      name: how it is called: `python -m mpl_tf.train`.
      about: what it does, with examples.
      files: the help for arguments without a flag, at least one; if empty, it takes none.
      failed: what exit status 1 means; if empty, the command does not end with it.
      after_stop: how to go on when it was stopped; if empty, the work is lost.
    """

    name: str
    about: str
    files: str = ""
    failed: str = ""
    after_stop: str = ""


class HelpRequested(Exception):  # noqa: N818 - it is no error
    """The command line asks for help; the message describes the flags."""


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
        with console.raised():
            arguments = parse(argv)
            console.start(argv)
            return work(*arguments)
    except HelpRequested as request:
        with contextlib.suppress(BrokenPipeError):
            console.say(_help(command, str(request)))
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
    except console.Terminated:
        console.complain(f"Terminated. {command.after_stop}".rstrip())
        return TERMINATED


def _close_output() -> None:
    """Nobody reads standard output any more: what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser(command: Command, options_class: type) -> Callable[[Sequence[str]], tuple]:
    """What parses a command line into a dataclass of options, and the files if it takes some.

    It raises ConfigError if the arguments cannot be used, and HelpRequested.
    """
    fields = dataclasses.fields(options_class)

    def parse(argv: Sequence[str]) -> tuple:
        settings, files = read(argv, fields)
        if settings.pop("help", False):
            defaults = {field.name: field.default for field in fields}
            raise HelpRequested(describe([("Flags, their defaults in brackets", fields)], defaults))
        chosen = options_class(**settings)
        options.check(chosen)
        if not command.files:
            refuse_files(files)
            return (chosen,)
        if not files:
            raise ConfigError(f"FILE is missing: {command.files}.")
        return chosen, files

    return parse


def read(argv: Sequence[str], fields: Fields) -> tuple[dict[str, Any], list[str]]:
    """The flags of a command line that are set, and what stands between them.

    Args:
      argv: the arguments; `--flagfile=PATH` reads more from a file, one flag a line.
      fields: of dataclasses of options, one a flag.

    Returns:
      (flag name -> value, with "help" if that is asked for; the arguments without a flag).

    Raises:
      ConfigError: a flag is unknown, its value has another type or is no path where it must be, or
        a file of flags is none.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may follow files
    for field in fields:
        define = flags.DEFINE_bool if field.type is bool else flags.DEFINE_string
        define(field.name, None, "", flag_values=values)
    flags.DEFINE_bool("help", None, "", short_name="h", flag_values=values)
    flags.DEFINE_string("verbosity", None, "", flag_values=values)
    arguments = flag_files.expand(argv)
    try:
        unnamed = values(["", *arguments])[1:]
    except (flags.Error, ValueError) as error:
        raise ConfigError(str(error)) from error
    settings: dict[str, Any] = {"help": True} if values["help"].value else {}
    for field in fields:
        value = values[field.name].value
        if value is not None:
            settings[field.name] = _typed(field, value)
    return settings, unnamed


def _typed(field: dataclasses.Field, text: Any) -> Any:
    """The value of a flag whose text, or bool, is `text`."""
    if field.metadata["path"]:
        return paths.local_path(field.name, text)
    number_type: Any = field.type
    if number_type not in _NUMBERS:
        return text
    try:
        return _NUMBERS[number_type].parse(text)
    except ValueError as error:
        raise ConfigError(
            f"{field.name} must be of type {number_type.__name__}; received {text!r}."
        ) from error


def refuse_files(files: Sequence[str]) -> None:
    """Raises ConfigError if there is an argument without a flag."""
    if files:
        raise ConfigError(f"unexpected argument {files[0]!r}; every setting is a --flag.")


def describe(sections: Iterable[tuple[str, Fields]], defaults: Mapping[str, Any]) -> str:
    """Every flag with its values, meaning and default.

    Args:
      sections: (title, fields of dataclasses of options).
      defaults: flag name -> its default; flags that are not here have no use.
    """
    paragraphs = []
    for title, fields in sections:
        lines = [title]
        for field in fields:
            lines += _describe(field, defaults.get(field.name, "not used"))
        paragraphs.append("\n".join(lines))
    return "\n\n".join([*paragraphs, _EVERYWHERE])


def _describe(field: dataclasses.Field, default: Any) -> list[str]:
    """The lines of one flag."""
    option_type: Any = field.type
    if option_type is bool:
        line = f"  --[no]{field.name}"
    else:
        choices = options.choices(field)
        values = "|".join(choices) if choices else option_type.__name__
        line = f"  --{field.name}={values if len(values) <= 80 else 'name'}"  # the text names them
    if default != "":
        line += f"  [{default}]"
    return [line, *_wrapped(field.metadata["help"], "      ")]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, 90, initial_indent=indent, subsequent_indent=indent)


def _help(command: Command, flags_text: str) -> str:
    usage = f"  {command.name} [--flag=value ...]" + " FILE ..." * bool(command.files)
    lines = [command.about, "", "Usage", usage, ""]
    if command.files:
        lines += ["FILE", *_wrapped(command.files, "      "), ""]
    statuses = [
        (str(status), text.format(failed=command.failed))
        for status, text in _STATUSES.items()
        if status != FAILED or command.failed
    ]
    lines += [flags_text, "", "Exit status", console.table(statuses)]
    if command.after_stop:
        lines.append(f"  After {INTERRUPTED}, {TERMINATED} and a kill: {command.after_stop}")
    return "\n".join(lines)
