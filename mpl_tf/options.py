"""Dataclass fields with a help text and a range; flags and checks are made of them."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Collection
from typing import Any


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
) -> Any:
    """A dataclass field with a help text and a range.

    Args:
      default: the default value; its type is that of the field.
      help: a sentence with unit, range and the paper's symbol.
      choices: allowed values, if they are few; or a callable that returns them.
      low: least allowed value.
      high: greatest allowed value.
      above: the value must be greater than this.
      below: the value must be less than this.
      share_of_steps: in (0, 1], for a number of steps: the default gives way in a run so short that
        it exceeds this share of the run's steps. What is set explicitly never gives way.

    Returns:
      A `dataclasses.field`.
    """
    limits = {"choices": choices, "low": low, "high": high, "above": above, "below": below}
    metadata = {"help": help, **limits, "share_of_steps": share_of_steps}
    return dataclasses.field(default=default, metadata=metadata)


def redefault(config: type, name: str, default: Any) -> Any:
    """The field `name` of a dataclass of `option` fields, with another default.

    For a subclass: `ema_decay: float = redefault(MethodConfig, "ema_decay", 0.995)`.
    """
    (field,) = (f for f in dataclasses.fields(config) if f.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


def faults(config):
    """What is wrong with the values of a dataclass made of `option` fields.

    Args:
      config: a dataclass instance.

    Returns:
      list of str, one sentence a fault; empty if all is well.
    """
    found = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        reason = _fault(value, field)
        if reason:
            found.append(f"{field.name} must be {reason}; received {value!r}.")
    return found


def _fault(value, field):
    kind = field.type
    fits = {
        int: lambda v: isinstance(v, numbers.Integral) and not isinstance(v, bool),
        float: lambda v: isinstance(v, numbers.Real) and not isinstance(v, bool),
        bool: lambda v: isinstance(v, bool),
        str: lambda v: isinstance(v, str),
    }
    if not fits[kind](value):
        return f"of type {kind.__name__}"
    if kind is float and not math.isfinite(value):
        return "finite"
    meta = field.metadata
    choices = meta["choices"]() if callable(meta["choices"]) else meta["choices"]
    if choices is not None and value not in choices:
        return "one of " + ", ".join(sorted(map(str, choices)))
    tests = {
        "low": (lambda limit: value >= limit, "at least"),
        "high": (lambda limit: value <= limit, "at most"),
        "above": (lambda limit: value > limit, "greater than"),
        "below": (lambda limit: value < limit, "less than"),
    }
    given = {name: limit for name in tests if (limit := meta[name]) is not None}
    if all(tests[name][0](limit) for name, limit in given.items()):
        return None
    return " and ".join(f"{tests[name][1]} {limit}" for name, limit in given.items())


def check(*configs):
    """Raises ConfigError with every fault of the dataclass instances, if there is one."""
    found = [fault for config in configs for fault in faults(config)]
    if found:
        raise ConfigError(" ".join(found))
