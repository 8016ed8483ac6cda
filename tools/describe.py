"""What a network costs: parameters, multiply-adds, and the memory and passes of a training step.

    python tools/describe.py NETWORK --image_size=32 --num_classes=10 --method=mpl

counts a network by its name for `--network`, and one step of a method with it: in float32 and in
bfloat16, with and without --recompute and --accumulate_steps (as many of both as are not set).
Nothing is computed and no weights are held, so that networks of a billion parameters are counted
in minutes on a machine that could not train them. All flags of `python -m mpl_tf.train` are
taken, such as --labeled_batch, --unlabeled_ratio, --teacher_network and those of the method.

With --dataset=NAME, images and classes are those of the dataset (of a folder or TFRecord files by
a look at their headers; of another set of TensorFlow Datasets if it is prepared here), and the
batch is that with which it is trained. Without it, images have 224x224x3 values and 1,000 classes,
and the batch is that of cifar10: 128 labeled images, and for most methods 896 unlabeled ones.
--image_size, --channels and --num_classes count before the dataset. The output says what is
assumed, and which sizes of the batch are defaults.

One multiplication with its addition is one multiply-add; matrix products and convolutions count,
and nothing else. Memory is the most that TensorFlow holds in tensors at once, in the pieces that
its allocator hands out, when a step runs operation by operation on one device, without XLA:

    variables  weights, their average, momenta, batch statistics
    batch      images and labels, as bytes
    working    activations, gradients and all else that lives within the step
    peak       the sum of the three; the process, the input pipeline and what an allocator or a GPU
               library reserves come on top

Where it is known to be farther off than 15%, a line says so. With --stages=N there is a table of
what each of N devices needs, for its stages of all networks of the method (student and teacher
together), in which `kept` is what has entered the stage and waits for its gradient.

--measure takes steps for real and prints the peak that TensorFlow's allocator reports beside it.
--json prints the same as JSON: trainable_parameters, other_values (batch statistics, the state of
random numbers), multiply_adds of an image, activation_bytes of an image by precision (inference:
most in use; kept: held for a gradient; of what grows with the images alone, not of weights that are
cast), and `steps`, one for each row of the table, with its `caveats` and one of `stages` for each
device; `assumed` and `defaults` are what nobody said.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from arguments import at_least
from mpl_tf import cli, console

COMMAND = cli.Command(
    "python tools/describe.py", __doc__, failed="memory cannot be measured on this machine"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
      The exit status: 0 done, 1 memory cannot be measured here, 2 bad input, 130 stopped by Ctrl-C,
      143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, _parse, _work)


def _parse(argv):
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style, allow_abbrev=False)
    parser.add_argument("network", metavar="NETWORK", help="as --network takes it")
    parser.add_argument(
        "--num_classes", type=at_least(2), default=0, help="classes [the dataset's, or 1000]"
    )
    parser.add_argument(
        "--channels", type=at_least(1), default=0, help="of the images [the dataset's, or 3]"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--measure", action="store_true", help="take steps, and measure memory")
    return parser.parse_known_args(argv)


def _work(arguments, training_flags):
    from describing import images, measuring, rows, text

    from mpl_tf.config import flags
    from mpl_tf.options import ConfigError

    explicit = flags.read(training_flags)
    defaults = {} if "dataset" in explicit else images.DEFAULTS
    flags_of_run = [*(f"--{k}={v}" for k, v in defaults.items()), *training_flags]
    job = flags.parse([*flags_of_run, f"--network={arguments.network}"])
    settings: dict[str, Any] = dict(job.settings)
    progress = (lambda text: None) if arguments.json else console.say
    if arguments.measure and job.config.compute.stages > 1:
        raise ConfigError("--measure is for one device: leave --stages out.")
    subject = images.find(job.config, explicit, arguments.channels, arguments.num_classes)
    described = rows.describe(settings, explicit, subject, progress)
    if arguments.measure:
        for made, step in zip(rows.ways(settings), described["steps"], strict=True):
            peak = measuring.peak(made, subject.num_classes, subject.shape)
            step["measured_peak_bytes"] = peak
    if arguments.json:
        console.say(json.dumps(described, indent=2))
    else:
        console.say("\n".join(text.lines(described)))
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
