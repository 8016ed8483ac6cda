"""What `--help` says."""

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from mpl_tf import console, options
from mpl_tf.cli.statuses import DONE, FAILED, INTERRUPTED, MISUSED, TERMINATED

# What each says, in the help of a command; FAILED has a text of the command's own.
_STATUSES = {
    DONE: "done",
    FAILED: "{failed}",
    MISUSED: "bad input",
    INTERRUPTED: "stopped by Ctrl-C",
    TERMINATED: "stopped by SIGTERM",
}
_WIDTH, _COLUMN = 100, 34  # of a line, and where the texts of flags begin
# The flags of every command, in its help.
_EVERYWHERE = (
    ("  --flagfile=path", "Read flags from a file, one a line; # starts a comment line."),
    ("  --verbosity=int", "Show TensorFlow's own messages too, whatever the value."),
    ("  -h, --help", "Show this text."),
)
Fields = Iterable[dataclasses.Field]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the terminal.

    Attributes:
      name: how it is called: `python -m mpl_tf.train`.
      about: what it does, with examples.
      files: the help for arguments without a flag, at least one; if empty, it takes none.
      instead_of_files: the option that stands for them: where it is set, there need be none.
      unnamed: the option that a single argument without a flag sets; if empty, there is none.
      failed: what exit status 1 means; if empty, the command does not end with it.
      after_stop: how to go on when it was stopped; if empty, the work is lost.
    """

    name: str
    about: str
    files: str = ""
    instead_of_files: str = ""
    unnamed: str = ""
    failed: str = ""
    after_stop: str = ""


class HelpRequested(Exception):  # noqa: N818 - it is no error
    """The command line asks for help; the message describes the flags."""


def describe(sections: Iterable[tuple[str, Fields]], defaults: Mapping[str, Any]) -> str:
    """Every flag with its values, meaning and default.

    Args:
      sections: (title, fields of dataclasses of options).
      defaults: flag name -> its default; flags that are not here are left out, and sections without
        a flag.
    """
    paragraphs = []
    for title, fields in sections:
        flags = [_describe(f, defaults[f.name]) for f in fields if f.name in defaults]
        if flags:
            paragraphs.append("\n".join([title, *(line for lines in flags for line in lines)]))
    lines = ["Of every command"]
    for flag, text in _EVERYWHERE:
        lines += _beside(flag, text)
    return "\n\n".join([*paragraphs, "\n".join(lines)])


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
    return _beside(line, field.metadata["help"])


def _beside(left: str, text: str) -> list[str]:
    """A text in lines in the right column, beside what stands on the left if that has room."""
    lines = _wrapped(text, " " * _COLUMN)
    if len(left) < _COLUMN - 1:
        lines[0] = f"{left:<{_COLUMN}}{lines[0].lstrip()}"
        return lines
    return [left, *lines]


def _wrapped(text: str, indent: str) -> list[str]:
    """A text in lines; what follows a line break in it begins a line, and hangs from there."""
    first, *others = text.split("\n")
    lines = textwrap.wrap(first, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    for line in others:
        lines += textwrap.wrap(line, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")
    return lines


def whole(command: Command, flags_text: str) -> str:
    usage = f"  {command.name} [--flag=value ...]" + " FILE ..." * bool(command.files)
    if command.unnamed:
        usage += f" [{command.unnamed.upper()}]"
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
