"""Makes data ready for training, without a network.

    python tools/prepare_data.py tfds cifar10 --from=FOLDER

`python tools/prepare_data.py COMMAND --help` has the details of a command.
"""

import argparse
import importlib
import sys

from mpl_tf import console
from mpl_tf.options import ConfigError

# Modules with NAME, HELP, define(parser) and run(arguments) -> exit status.
COMMANDS = ("preparing.tfds_folder", "preparing.tfrecord")
MISUSED, INTERRUPTED = 2, 130


def parse(argv):
    """The command line as a namespace; its `run` is that of the command's module."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in map(importlib.import_module, COMMANDS):
        command = commands.add_parser(
            module.NAME, help=module.HELP, description=module.__doc__, formatter_class=style
        )
        module.define(command)
        command.set_defaults(run=module.run)
    return parser.parse_args(argv)


def main(argv=None):
    """Runs one command.

    Args:
      argv: sequence of str, the arguments; None takes the process's own.

    Returns:
      int, the exit status: 0 done, 2 bad input or a folder that cannot be written, 130 stopped by
      the keyboard.
    """
    arguments = parse(argv)
    try:
        return arguments.run(arguments)
    except (ConfigError, OSError) as error:
        console.complain("Error: " + " ".join(str(error).split()))
        return MISUSED
    except KeyboardInterrupt:
        console.complain("\nInterrupted.")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
