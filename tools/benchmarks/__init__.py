"""The benchmarks of tools/benchmark.py, one a file."""

import argparse


def at_least(low):
    """An argparse type: integers of at least `low`."""

    def parse(text):
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}; received {value}")
        return value

    parse.__name__ = "int"  # what argparse calls it when the text is no integer
    return parse
