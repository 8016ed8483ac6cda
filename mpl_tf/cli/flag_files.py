"""Files of flags: one flag a line, in any encoding that editors write."""

import codecs
import os
import re
from collections.abc import Sequence

from mpl_tf.options import ConfigError

# How editors mark the encoding of a text; UTF-8 is what has no mark.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LARGEST = 1 << 20  # bytes; a thousand times the longest list of flags
_FLAG = ("--flagfile", "-flagfile")
# Behind a flag. Within a name, as in `images #2`, a `#` is a character like others.
_COMMENT = re.compile(r"\s+#(\s.*)?$")
# A flag whose value is in quotes, in which a `#` is a character like others, too.
_QUOTED = re.compile(r'(--?[^\s="]+)(=|\s+)"((?:[^"\\]|\\.)*)"\s*(?:\s#(?:\s.*)?)?')
_OPENED = re.compile(r'--?[^\s="]+(=|\s+)"')
_ESCAPED = re.compile(r'\\(?:(["\\])|u([0-9a-f]{4}))')


def expand(arguments: Sequence[str]) -> list[str]:
    r"""A command line in which `--flagfile=PATH` is replaced by the flags of that file.

    A file may name others; paths are meant from the working directory, and `~` is the home folder.
    Lines that are empty or begin with `#` or `//` are comments, and so is what follows ` # ` behind
    a flag. A line is `--name=value`, `--name value` or `--name`. A value may stand in quotes,
    "value", so that it may hold ` # `, and blanks at its ends; in it \" and \\ are a quote and a
    backslash, and \u with four hexadecimal digits is any character. After an argument `--` nothing
    is replaced.

    Raises:
      ConfigError: a file cannot be read, is no text, names itself, or is not named; or quotes have
        no end.
    """
    return _expanded(arguments, ())


def _expanded(arguments: Sequence[str], parents: tuple[str, ...]) -> list[str]:
    """`expand` inside the files `parents`, the outermost first."""
    flags: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, path = argument.partition("=")
        if argument == "--":
            return [*flags, argument, *remaining]
        if name not in _FLAG:
            flags.append(argument)
            continue
        path = os.path.expanduser(path.strip() if equals else next(remaining, ""))
        if not path:
            raise ConfigError("--flagfile must be the path of a file of flags; received none.")
        if path in parents:
            raise ConfigError(f"--flagfile {path} names itself: {' -> '.join([*parents, path])}.")
        flags += _expanded(_arguments(_text(path), path), (*parents, path))
    return flags


def line(name: str, value: object) -> str:
    """A line of a file of flags that `expand` reads back to the value, in quotes if need be."""
    plain = f"--{name}={value}"
    if '"' not in plain and _arguments(plain, "") == [plain]:
        return plain
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    printable = (c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return f'--{name}="{"".join(printable)}"'


def _arguments(text: str, path: str) -> list[str]:
    """The arguments that a file of flags at `path` holds."""
    arguments: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith(("#", "//")):
            continue
        if quoted := _QUOTED.fullmatch(line):
            name, equals, value = quoted.groups()
            value = _ESCAPED.sub(lambda m: m[1] or chr(int(m[2], 16)), value)
            arguments += [f"{name}={value}"] if equals == "=" else [name, value]
            continue
        if _OPENED.match(line):
            raise ConfigError(
                f"--flagfile {path}: a value that begins with a quote must end with one, and "
                f"nothing but a comment may follow; received {line}"
            )
        line = _COMMENT.sub("", line)
        name, blank, value = line.partition(" ")
        separate = line.startswith("-") and blank and "=" not in name
        arguments += [name, value.strip()] if separate else [line]
    return arguments


def _text(path: str) -> str:
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigError(f"--flagfile must be a file; {path} is none.")
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"--flagfile cannot be read: {error}.") from error
    marked = (name for mark, name in _MARKS.items() if content.startswith(mark))
    try:
        text = content.decode(next(marked, "utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(_no_text(path)) from error
    if "\0" in text or len(content) > _LARGEST:
        raise ConfigError(_no_text(path))
    return text


def _no_text(path: str) -> str:
    return (
        f"--flagfile must be a text of at most {_LARGEST >> 20} MB, one flag a line, in UTF-8 or "
        f"UTF-16; {path} is something else."
    )
