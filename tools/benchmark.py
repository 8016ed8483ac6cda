"""Speed, as ratios within one run.

    python tools/benchmark.py BENCHMARK

`python tools/benchmark.py BENCHMARK --help` says what is compared, and how.
"""

import argparse
import sys
from collections.abc import Sequence

from arguments import subcommands
from mpl_tf import cli, console

BENCHMARKS = (
    "benchmarks.augment",
    "benchmarks.credit",
    "benchmarks.features",
    "benchmarks.folders",
    "benchmarks.input",
    "benchmarks.peers",
    "benchmarks.serve",
    "benchmarks.shards",
    "benchmarks.step",
)
COMMAND = cli.Command("python tools/benchmark.py", __doc__)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace; its `run` is that of the benchmark's module."""
    return subcommands(__doc__, "BENCHMARK", BENCHMARKS).parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a benchmark.

    Returns:
      The exit status: 0 done, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(
        COMMAND, argv, lambda argv: (parse(argv),), lambda arguments: arguments.run(arguments)
    )


if __name__ in ("__main__", "__mp_main__"):  # the latter in processes that a benchmark starts
    console.start(sys.argv)  # before a benchmark imports TensorFlow, so that it does so silently
if __name__ == "__main__":
    sys.exit(main())
