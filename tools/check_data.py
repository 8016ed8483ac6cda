"""Says what is in a dataset of your own before you train on it.

    python tools/check_data.py my_images
    python tools/check_data.py 'records/*.tfrecord'

PATH is a folder of images or a folder or pattern of TFRecord files, as `python -m mpl_tf.train`
takes them with --dataset=folder:PATH and --dataset=tfrecord:PATH. Every image is decoded. Said are:
classes and their numbers, sizes, channels, files that are left out, images that cannot be read,
copies (pixel by pixel) within and across the parts, and images with several labels. A picture shows
the mean of each class.
"""

import argparse
import sys
from collections.abc import Sequence

from mpl_tf import cli, console

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

from arguments import local_path
from checking import picture, reading, report
from mpl_tf.options import ConfigError

COMMAND = cli.Command(
    "python tools/check_data.py", __doc__, failed="something should be repaired before training"
)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", metavar="PATH", help="the dataset, as above")
    parser.add_argument(
        "--to",
        type=local_path,
        default="check_data.png",
        metavar="FILE",
        help="the picture [check_data.png]",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 1 something should be repaired before training, 2 bad input, 130
      stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv),), run)


def run(arguments: argparse.Namespace) -> int:
    """Runs a command line that is parsed; see `main`."""
    dataset = reading.read(arguments.path)
    lines, faults = report.describe(dataset)
    console.say("\n".join(lines))
    try:
        if picture.draw(arguments.to, dataset):
            console.say(f"The mean picture of each class: {arguments.to}")
    except OSError as error:
        raise ConfigError(f"--to={arguments.to} cannot be written: {error.strerror}.") from error
    return cli.FAILED if faults else cli.DONE


if __name__ == "__main__":
    sys.exit(main())
