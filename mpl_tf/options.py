"""Dataclass fields with a help text and a range; flags and checks are made of them."""

import dataclasses
import difflib
import math
import numbers
import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

# Whether a value has the type of an option: an int is a float, a bool is no number.
_TYPES: dict[Any, Callable[[Any], bool]] = {
    int: lambda value: isinstance(value, numbers.Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, numbers.Real) and not isinstance(value, bool),
    bool: lambda value: isinstance(value, bool),
    str: lambda value: isinstance(value, str),
}
_LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "low": (operator.ge, "at least"),
    "high": (operator.le, "at most"),
    "above": (operator.gt, "greater than"),
    "below": (operator.lt, "less than"),
}


_Config = TypeVar("_Config")

_LINE = 200  # characters of a value in a message

# What a number is at most if its option says nothing: more can only be a typing error.
_MOST = {int: 10**8, float: 1e8}
# What a number above 0 is at least: logits divided by less, as by a temperature, may overflow.
_LEAST = 1e-8


class ConfigError(ValueError):
    """Input that cannot be used; the message says what was received and what is allowed."""


def option(
    default: Any,
    help: str,
    *,
    choices: Collection[str] | Callable[[], Collection[str]] | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    share_of_steps: float | None = None,
    needs: str = "",
    path: bool = False,
    or_zero: bool = False,
    beside: tuple[str, tuple[str, ...]] | None = None,
) -> Any:
    """A dataclass field with a help text and a range.

    Args:
      default: the default value.
      help: a sentence with unit, range and the paper's symbol.
      choices: allowed values, if they are few; or a callable that returns them.
      low: least allowed value.
      high: greatest allowed value.
      above: the value must be greater than this.
      below: the value must be less than this.
      share_of_steps: in (0, 1], for a number of steps: the default gives way in a run so short that
        it exceeds this share of the run's steps. What is set explicitly never gives way.
      needs: what a method must have for the option to mean anything to it, one of
        `config.config.features`; "" if it means something to every method.
      path: whether the value is a path on this machine, in which `~` may stand for the home folder.
      or_zero: whether 0 is allowed although it is out of range.
      beside: (another option, its values) beside which alone this one has an effect; without values
        it has one beside all but 0, with "" where the other is not set.

    Returns:
      A `dataclasses.field`.
    """
    limits = {"choices": choices, "low": low, "high": high, "above": above, "below": below}
    other: dict[str, Any] = {"share_of_steps": share_of_steps, "needs": needs, "path": path}
    other |= {"or_zero": or_zero, "beside": beside}
    metadata = {"help": help, **limits, **other}
    return dataclasses.field(default=default, metadata=metadata)


def redefault(config: type, name: str, default: Any) -> Any:
    """The field `name` of a dataclass of `option` fields, with another default.

    For a subclass: `ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)`.
    """
    (field,) = (f for f in dataclasses.fields(config) if f.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


def hint(name: str, names: Iterable[str]) -> str:
    """ " Did you mean X?", of those names that are like a mistyped one; "" if none is."""
    by_lower = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=2)
    return f" Did you mean {' or '.join(by_lower[each] for each in close)}?" if close else ""


def make(config: type[_Config], values: Mapping[str, Any], user: str) -> _Config:
    """An instance of a dataclass of options, checked.

    Args:
      config: the dataclass.
      values: option name -> value; that of a path may be an os.PathLike, in which `~` may stand for
        the home folder.
      user: what takes the options, for the message.

    Raises:
      ConfigError: there is no such option, or see `check`.
    """
    names = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ConfigError(
                f"{user} has no option {name}; it has {', '.join(names)}.{hint(name, names)}"
            )
    paths = {
        field.name: _expanded(values[field.name])
        for field in dataclasses.fields(config)  # type: ignore[arg-type]
        if field.name in values and field.metadata["path"]
    }
    made = config(**{**values, **paths})
    check(made)
    return made


def _expanded(value: Any) -> Any:
    """A path as text, its home folder named; what is no path stays, and is refused by its type."""
    return os.path.expanduser(os.fspath(value)) if isinstance(value, str | os.PathLike) else value


def choices(field: dataclasses.Field) -> list[str] | None:
    """The allowed values of an option in alphabetical order; None if they are not few."""
    values = field.metadata["choices"]
    values = values() if callable(values) else values
    return None if values is None else sorted(values)


def check_fields(config: type) -> None:
    """Refuses a dataclass that has other fields than options of a type that flags have.

    Raises:
      TypeError: a field is none; the message names it.
    """
    for field in dataclasses.fields(config):
        if field.type not in _TYPES or "help" not in field.metadata:
            written = field.type if isinstance(field.type, str) else repr(field.type)
            raise TypeError(
                f"{config.__name__}.{field.name} must be an option(...) of type int, float, bool "
                f"or str; received {written}. Annotations must be types, not their names: leave "
                "`from __future__ import annotations` out of this file."
            )


def check(*configs: Any) -> None:
    """Checks the values of dataclass instances whose fields are options.

    Raises:
      ConfigError: a value has another type than its option or is out of range; all that are so are
        named.
    """
    faults = []
    for config in configs:
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if requirement := _violated(field, value):
                close = hint(value, choices(field) or ()) if isinstance(value, str) else ""
                received = in_words(value)
                faults.append(f"{field.name} must be {requirement}; received {received}.{close}")
    if faults:
        raise ConfigError(" ".join(faults))


def in_words(value: Any) -> str:
    """A value as Python writes it; of one that fills more than a line, its type and shape."""
    text = repr(value)
    if len(text) <= _LINE and "\n" not in text:
        return text
    shape = getattr(value, "shape", None)
    of_shape = "" if shape is None else f" of shape {tuple(shape)}"
    return f"a value of type {type(value).__name__}{of_shape}"


def _violated(field: dataclasses.Field, value: Any) -> str:
    """What an option requires and a value does not meet; "" if it meets all."""
    option_type: Any = field.type
    if not _TYPES[option_type](value):
        return f"of type {option_type.__name__}"
    if option_type is float and not math.isfinite(value):
        return "finite"
    allowed = choices(field)
    if allowed is not None and value not in allowed:
        return "one of " + ", ".join(allowed)
    limits = {name: field.metadata[name] for name in _LIMITS if field.metadata[name] is not None}
    most = None if limits.keys() & {"high", "below"} else _MOST.get(option_type)
    if most is not None and value > most:
        return f"at most {most:,}"
    if option_type is float and limits.get("above") == 0 and 0 < value < _LEAST:
        return f"at least {_LEAST:g}"
    or_zero = field.metadata["or_zero"]
    if all(_LIMITS[name][0](value, limit) for name, limit in limits.items()) or (
        or_zero and value == 0
    ):
        return ""
    texts = (f"{_LIMITS[name][1]} {limit:,}" for name, limit in limits.items())
    return "0, or " * or_zero + " and ".join(texts)
