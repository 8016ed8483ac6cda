"""Speed, as ratios within one run.

    python tools/benchmark.py BENCHMARK

`python tools/benchmark.py BENCHMARK --help` says what is compared, and how.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from mpl_tf import console

# Modules with NAME, HELP, define(parser) and run(arguments) -> exit status.
BENCHMARKS = (
    "benchmarks.augment",
    "benchmarks.credit",
    "benchmarks.input",
    "benchmarks.serve",
    "benchmarks.step",
)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace; its `run` is that of the benchmark's module."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    commands = parser.add_subparsers(metavar="BENCHMARK", required=True)
    for module in map(importlib.import_module, BENCHMARKS):
        command = commands.add_parser(
            module.NAME, help=module.HELP, description=module.__doc__, formatter_class=style
        )
        module.define(command)
        command.set_defaults(run=module.run)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a benchmark and returns its exit status."""
    arguments = parse(argv)
    return arguments.run(arguments)


if __name__ in ("__main__", "__mp_main__"):  # the latter in processes that a benchmark starts
    console.start(sys.argv)  # before a benchmark imports TensorFlow, so that it does so silently
if __name__ == "__main__":
    sys.exit(main())
