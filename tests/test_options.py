"""Dataclass fields that know their help and range."""

import dataclasses

import pytest

from mpl_tf.options import ConfigError, check, option, redefault


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
        ({"rate": 2, "ramp": -1}, "rate must be .*; received 2. ramp must be .*; received -1."),
    ],
)
def test_what_is_out_of_range_says_what_is_allowed(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Base(**wrong)
