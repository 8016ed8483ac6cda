"""Dataclass fields that know their help and range."""

import dataclasses

import pytest

from mpl_tf.options import ConfigError, check, check_fields, hint, make, option, redefault


@dataclasses.dataclass(frozen=True)
class Base:
    """Two options."""

    rate: float = option(0.5, "A rate, in [0, 1).", low=0, below=1)
    ramp: int = option(100, "Steps of a ramp.", low=0, share_of_steps=0.1)

    def __post_init__(self):
        check(self)


@dataclasses.dataclass(frozen=True)
class Other(Base):
    """The same with other defaults."""

    rate: float = redefault(Base, "rate", 0.25)


def fields(config):
    return {field.name: field for field in dataclasses.fields(config)}


def test_another_default_has_the_same_help_and_range():
    assert (Base().rate, Other().rate) == (0.5, 0.25)
    assert fields(Other)["rate"].metadata == fields(Base)["rate"].metadata
    with pytest.raises(
        ConfigError, match=r"rate must be at least 0 and less than 1; received 1\.0"
    ):
        Other(rate=1.0)


def test_a_name_that_is_no_field_is_refused():
    with pytest.raises(ValueError):
        redefault(Base, "rates", 0.25)


def test_the_share_of_steps_is_metadata_of_the_field():
    shares = {name: field.metadata["share_of_steps"] for name, field in fields(Other).items()}
    assert shares == {"rate": None, "ramp": 0.1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": -0.1}, "rate must be at least 0 and less than 1; received -0.1"),
        ({"rate": "half"}, "rate must be of type float; received 'half'"),
        ({"rate": float("nan")}, "rate must be finite; received nan"),
        ({"ramp": 1.5}, "ramp must be of type int; received 1.5"),
        ({"ramp": True}, "ramp must be of type int; received True"),
        ({"ramp": 10**20}, "ramp must be at most 100,000,000; received 100000000000000000000"),
        ({"rate": 2, "ramp": -1}, "rate must be .*; received 2. ramp must be .*; received -1."),
    ],
)
def test_what_is_out_of_range_says_what_is_allowed(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Base(**wrong)


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e-9, 1e-8, 0.1])
def test_what_divides_is_not_so_small_that_the_quotient_overflows(value):
    make_it = dataclasses.make_dataclass
    by = make_it("By", [("t", float, option(1.0, "Divides.", above=0))], frozen=True)
    if value >= 1e-8:
        check(by(value))
        return
    message = "greater than 0; received 0.0" if value == 0 else f"at least 1e-08; received {value}"
    with pytest.raises(ConfigError, match=f"t must be {message}"):
        check(by(value))


def test_options_by_name_are_checked_and_mistyped_names_are_refused():
    assert make(Other, {"ramp": 3}, "It") == Other(ramp=3)
    with pytest.raises(
        ConfigError, match=r"It has no option rat; it has rate, ramp. Did .* rate\?"
    ):
        make(Other, {"rat": 0.5}, "It")
    with pytest.raises(ConfigError, match="ramp must be at least 0; received -1"):
        make(Other, {"ramp": -1}, "It")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ResNet51", " Did you mean resnet50?"),
        ("fixmach", " Did you mean fixmatch or flexmatch?"),
        ("banana", ""),
        ("", ""),
    ],
)
def test_a_mistyped_name_gets_a_hint(name, text):
    assert hint(name, ["flexmatch", "fixmatch", "resnet50"]) == text


@dataclasses.dataclass(frozen=True)
class Sized:
    side: int = option(0, "A side.", low=4, high=9, or_zero=True)


@pytest.mark.parametrize("side", [0, 4, 9])
def test_zero_may_be_allowed_beside_a_range(side):
    check(Sized(side))


@pytest.mark.parametrize("side", [-1, 3, 10])
def test_zero_beside_a_range_is_said(side):
    with pytest.raises(ConfigError, match=f"be 0, or at least 4 and at most 9; received {side}"):
        check(Sized(side))


@pytest.mark.parametrize(
    ("annotation", "default", "received"),
    [
        ("int", option(1, "A number."), "received int"),  # as postponed annotations are
        (tuple, option((), "Numbers."), r"received <class 'tuple'>"),
        (float | None, option(None, "A number."), r"received float \| None"),
        (int, 3, "received <class 'int'>"),
    ],
)
def test_fields_that_are_no_options_of_flags_are_refused(annotation, default, received):
    config = dataclasses.make_dataclass("Made", [("x", annotation, default)])
    with pytest.raises(TypeError, match=rf"Made.x must be an option\(...\) .*{received}"):
        check_fields(config)


def test_options_are_not_refused():
    check_fields(Other)
