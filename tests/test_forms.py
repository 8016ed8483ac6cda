"""The forms of values read from JSON."""

from typing import Any, NotRequired, TypedDict

import pytest

from mpl_tf import forms


class Model(TypedDict):
    """As in an export."""

    names: list[str]
    shape: tuple[int, int]
    share: NotRequired[float | None]


GOOD = {"names": ["ant"], "shape": [8, 6]}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (object(), Any),
        (None, None),
        (3, float),
        (True, bool),
        ([], list[str]),
        ({"a": 1.5, "b": None}, dict[str, float | None]),
        (GOOD, Model),
        ({**GOOD, "share": None, "other": object()}, Model),
        ({**GOOD, "share": 1}, Model),
    ],
)
def test_a_value_that_fits(value, form):
    assert forms.fault(value, form, "it") == ""


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        (3, str, "it must be a string; received 3"),
        ("3", int, "it must be a whole number; received '3'"),
        (3.5, int, "it must be a whole number; received 3.5"),
        (True, int, "it must be a whole number; received True"),
        (False, float, "it must be a number; received False"),
        (float("nan"), float, "it must be a number; received nan"),
        (1, bool, "it must be true or false; received 1"),
        (0, None, "it must be null; received 0"),
        ({}, list[str], "it must be a list; received {}"),
        (["a", 3], list[str], "it[1] must be a string; received 3"),
        ([8], tuple[int, int], "it must be a list of 2; received 1"),
        ([8, "8"], tuple[int, int], "it[1] must be a whole number; received '8'"),
        ([], dict[str, Any], "it must be an object; received []"),
        ({"a": "x"}, dict[str, float | None], "it.a must be a number or null; received 'x'"),
        ([], Model, "it must be an object; received []"),
        ({"names": []}, Model, "it.shape is missing"),
        ({**GOOD, "shape": [8, 6, 1]}, Model, "it.shape must be a list of 2; received 3"),
        ({**GOOD, "share": "x"}, Model, "it.share must be a number or null; received 'x'"),
        ({**GOOD, "names": [["ant"]]}, Model, "it.names[0] must be a string; received ['ant']"),
    ],
)
def test_a_value_that_does_not_fit_is_named(value, form, message):
    assert forms.fault(value, form, "it") == message


def test_a_long_value_is_shortened():
    assert len(forms.fault("x" * 10_000, int, "it")) < 100
