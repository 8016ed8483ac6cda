"""Makes data ready for training, without a network.

    python tools/prepare_data.py tfds cifar10 --from=FOLDER

`python tools/prepare_data.py COMMAND --help` has the details of a command.
"""

import argparse
import sys
from collections.abc import Sequence

from arguments import subcommands
from mpl_tf import cli
from mpl_tf.options import ConfigError

MODULES = (
    "preparing.tfds_folder",
    "preparing.image_folder",
    "preparing.tfrecord",
    "preparing.long_tail",
)
COMMAND = cli.Command("python tools/prepare_data.py", __doc__)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace; its `run` is that of the command's module."""
    return subcommands(__doc__, "COMMAND", MODULES).parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 2 bad input or a folder that cannot be written, 130 stopped by
      Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv),), run)


def run(arguments: argparse.Namespace) -> int:
    """Runs a command that is parsed; see `main`."""
    try:
        return arguments.run(arguments)
    except (ConfigError, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from error


if __name__ == "__main__":
    sys.exit(main())
