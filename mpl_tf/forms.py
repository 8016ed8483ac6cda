"""Whether a value read from JSON has the form that a Python type describes."""

import math
import reprlib
import types
import typing
from typing import Any

_WORDS: dict[Any, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}


def fault(value: Any, form: Any, name: str) -> str:
    """What is wrong with a value.

    Args:
      value: as `json.load` gives it.
      form: Any; str, int, float, bool or None; `list[form]`, of any length; `tuple[form, form]`, a
        list of that length; `dict[str, form]`; a TypedDict, beside whose keys there may be others;
        or a union of forms.
      name: of the value, for the message.

    Returns:
      A clause that names the first part that does not fit, and what was received; "" if all fits.
    """
    if form is Any:
        return ""
    form = types.NoneType if form is None else form
    if isinstance(form, types.UnionType):
        faults = [fault(value, part, name) for part in typing.get_args(form)]
        return _must_be(name, form, value) if all(faults) else ""
    if typing.is_typeddict(form):
        return _fault_of_object(value, form, name)
    plain, parts = typing.get_origin(form) or form, typing.get_args(form)
    if not _is_plain(value, plain):
        return _must_be(name, form, value)
    if plain is tuple and len(value) != len(parts):
        return f"{name} must be a list of {len(parts)}; received {len(value)}"
    if plain is dict and parts:
        pairs = [(value[key], parts[1], f"{name}.{key}") for key in value]
    elif plain is list and parts:
        pairs = [(item, parts[0], f"{name}[{i}]") for i, item in enumerate(value)]
    elif plain is tuple:
        pairs = [(value[i], part, f"{name}[{i}]") for i, part in enumerate(parts)]
    else:
        pairs = []
    return next(filter(None, (fault(*pair) for pair in pairs)), "")


def _fault_of_object(value: Any, form: Any, name: str) -> str:
    if not isinstance(value, dict):
        return f"{name} must be an object; received {reprlib.repr(value)}"
    for key, part in typing.get_type_hints(form).items():
        if key not in value:
            if key in form.__required_keys__:
                return f"{name}.{key} is missing"
        elif text := fault(value[key], part, f"{name}.{key}"):
            return text
    return ""


def _is_plain(value: Any, plain: Any) -> bool:
    """Whether a value is of a class: an int is a float, a bool is no number, a list is a tuple."""
    if isinstance(value, bool):
        return plain is bool
    if plain is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, list if plain is tuple else plain)


def _must_be(name: str, form: Any, value: Any) -> str:
    forms = typing.get_args(form) if isinstance(form, types.UnionType) else (form,)
    words = " or ".join(_WORDS[typing.get_origin(part) or part] for part in forms)
    return f"{name} must be {words}; received {reprlib.repr(value)}"
