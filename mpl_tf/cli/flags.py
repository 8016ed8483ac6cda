"""Flags made of `option` fields, and what a command line sets them to."""

import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from mpl_tf import options, paths
from mpl_tf.cli import flag_files
from mpl_tf.cli.help import Command, Fields, HelpRequested, describe
from mpl_tf.options import ConfigError

_PARSERS: dict[Any, flags.ArgumentParser] = {
    int: flags.IntegerParser(),
    float: flags.FloatParser(),
    bool: flags.BooleanParser(),
}


# Of every command, beside those made of fields.
FLAGS = ("help", "verbosity", "flagfile")


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
        if command.unnamed and files and not _is_flag(files[0], fields):
            settings = _with_unnamed(settings, command.unnamed, files.pop(0), fields)
        if not command.files:
            refuse_files(files, fields)
        chosen = options_class(**settings)
        options.check(chosen)
        if not command.files:
            return (chosen,)
        option = command.instead_of_files
        if not files and not (option and getattr(chosen, option)):
            raise ConfigError(f"FILE is missing: {command.files}.")
        if files and option and getattr(chosen, option):
            raise ConfigError(f"received --{option} and {files[0]!r}; one of the two says what.")
        return chosen, files

    return parse


def _is_flag(argument: str, fields: Fields) -> bool:
    """Whether an argument without a flag looks like one that has lost its dashes."""
    name = argument.partition("=")[0]
    return argument.endswith(".flags") or (name != argument and name in [f.name for f in fields])


def _with_unnamed(
    settings: dict[str, Any], name: str, argument: str, fields: Fields
) -> dict[str, Any]:
    """The settings with the argument that needs no flag.

    Raises:
      ConfigError: there is the flag, too.
    """
    if name in settings:
        raise ConfigError(
            f"received {argument!r} and --{name}={settings[name]}; one of the two says it."
        )
    (field,) = (field for field in fields if field.name == name)
    return {**settings, name: typed(field, argument)}


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
            settings[field.name] = typed(field, value)
    return settings, unnamed


def typed(field: dataclasses.Field, text: Any) -> Any:
    """The value of a flag whose text, or bool, is `text`.

    Args:
      field: of a dataclass of options.
      text: str, or bool of an option that is one.

    Raises:
      ConfigError: it is not of the option's type, or no path where it must be one.
    """
    if field.metadata["path"]:
        return paths.local_path(field.name, text)
    option_type: Any = field.type
    if option_type not in _PARSERS:
        return text
    try:
        return _PARSERS[option_type].parse(text)
    except ValueError as error:
        raise ConfigError(
            f"{field.name} must be of type {option_type.__name__}; received {text!r}."
        ) from error


def refuse_files(files: Sequence[str], fields: Fields) -> None:
    """Raises ConfigError if there is an argument without a flag.

    Args:
      files: those arguments.
      fields: of the command's flags, one of which may be meant.
    """
    if not files:
        return
    names, first = [field.name for field in fields], files[0]
    name, equals, _ = first.partition("=")
    meant = ""
    if equals and name in names:
        meant = shlex.quote(f"--{first}")
    elif "workdir" in names and os.path.isdir(first):
        meant = f"--workdir={shlex.quote(first)}"
    elif first.endswith(".flags"):
        meant = f"--flagfile={shlex.quote(first)}"
    text = f" Did you mean {meant}?" if meant else ""
    raise ConfigError(f"unexpected argument {first!r}; every setting is a --flag.{text}")
