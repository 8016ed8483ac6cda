"""Types of command-line arguments, for argparse."""

import argparse
import math
from collections.abc import Callable


def at_least(low: float, number: Callable[[str], float] = int) -> Callable[[str], float]:
    """An argparse type: finite numbers of at least `low`; `number` is int or float."""

    def parse(text):
        value = number(text)
        if not math.isfinite(value) or value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}; received {text}")
        return value

    parse.__name__ = number.__name__  # argparse says: invalid int value
    return parse


def integers(low: int) -> Callable[[str], list[int]]:
    """An argparse type: comma-separated integers, each at least `low`."""

    def parse(text):
        values = [int(part) for part in text.split(",")]
        if min(values) < low:
            raise argparse.ArgumentTypeError(f"each must be at least {low}; received {text}")
        return values

    parse.__name__ = "integers"
    return parse
