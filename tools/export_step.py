"""A training step as StableHLO: to be run and timed where TensorFlow has no device, as in JAX.

    python tools/export_step.py --to=step --network=wide_resnet_28_2 --labeled_batch=16 \\
        --precision=bfloat16 --image_shape=32,32,3 --num_classes=10

takes the flags of `python -m mpl_tf.train`, and three of its own. No dataset is read: images are
random ones of --image_shape, which cifar10 and other well-known datasets need not be told. The step
is the one that --jit_compile trains with, on one device. The folder:

    step.stablehlo    the program, a portable artifact of StableHLO: flat inputs, flat outputs
    step.jax          the same for jax.export.deserialize: (state, batch) -> (state, logs), dicts
    state.npz         the state before the first step: weights, momenta, counters, by name
    batch.npz         a batch
    signature.json    order, names, shapes and types of the program's inputs and outputs
    run.py            runs and times it; needs JAX and NumPy alone: python run.py --steps=20

Writing needs JAX, too: pip install 'mpl_tf[stablehlo]'.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import step_files
import step_program
from arguments import output_folder
from mpl_tf import cli, console
from mpl_tf.options import ConfigError
from step_program import named_variables

if TYPE_CHECKING:  # imported when they are needed: TensorFlow and JAX take seconds
    import jax

    from mpl_tf import config
    from mpl_tf.engine.method import Method

COMMAND = cli.Command("python tools/export_step.py", __doc__ or "")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 2 bad input, a missing package or a folder that cannot be written,
      130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, _parse, _work)


def _parse(argv):
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style, allow_abbrev=False)
    parser.add_argument(
        "--to", type=output_folder, required=True, help="the folder to write; it must not exist"
    )
    parser.add_argument("--image_shape", default="", help="height,width,channels of an image")
    parser.add_argument("--num_classes", type=int, default=0, help="number of classes")
    return parser.parse_known_args(argv)


def _work(arguments, training_flags):
    try:
        return _run(arguments, training_flags)
    except OSError as error:
        raise ConfigError(str(error)) from error


def _run(arguments, training_flags):
    step_program.check_jax()
    if os.path.lexists(arguments.to):
        raise ConfigError(f"--to={arguments.to} exists; choose a new folder.")
    from mpl_tf.config import flags

    settings = flags.parse(training_flags).config
    method, batch = build(settings, _shape(arguments.image_shape), arguments.num_classes)
    program, state = lower(method, batch)
    os.makedirs(arguments.to)
    step_files.write(arguments.to, program, state, batch)
    size = sum(value.nbytes for value in state.values()) / 2**20
    console.say(
        f"{arguments.to}: {len(state)} arrays of state ({size:.1f} MiB), {len(batch)} of a batch; "
        "run it where JAX is: python run.py"
    )
    return cli.DONE


def _shape(text):
    """(height, width, channels) of "height,width,channels", or None of ""."""
    if not text:
        return None
    sizes = text.split(",")
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
        raise ConfigError(f"image_shape must be like 32,32,3; received {text!r}.")
    return tuple(map(int, sizes))


def build(
    settings: config.Config, image_shape: tuple[int, int, int] | None = None, num_classes: int = 0
) -> tuple[Method, dict[str, np.ndarray]]:
    """A method of a configuration, and a batch for it.

    Args:
      settings: config.Config.
      image_shape: (height, width, channels); then images are random and no dataset is read. None
        reads the dataset and takes its first batch.
      num_classes: with `image_shape`.

    Returns:
      (engine.method.Method, compiled; dict of name -> array).

    Raises:
      ConfigError: the configuration is for several devices, or does not fit.
    """
    import keras

    import made_up_batch
    from mpl_tf import config, data
    from mpl_tf.runs import building, folder
    from mpl_tf.runs import experiment as experiments

    if settings.compute.strategy not in ("auto", "cpu"):
        raise ConfigError(
            "the step is that of one device: leave out --strategy; received "
            f"strategy={settings.compute.strategy}."
        )
    if (image_shape is None) == (num_classes > 0):
        raise ConfigError("--image_shape and --num_classes go together.")
    config.check_replicas(settings, 1)
    step_program.check_method(settings.run.method)
    keras.utils.clear_session(free_memory=False)  # names of layers count from the start
    if image_shape is None:
        source = data.find(settings.run.dataset, settings.data.data_dir).load(settings.data)
        config.check_data(settings, source)
        experiment = experiments.build(settings, experiments.make_split(settings, source), path="")
        return experiment.method, next(experiment.batches(folder.TRAIN, 0).as_numpy_iterator())
    pool = settings.run.labeled_batch * settings.run.unlabeled_ratio  # one batch
    method, _ = building.build_method(settings, num_classes, image_shape, pool)
    return method, made_up_batch.make(method, settings.run, num_classes, image_shape)


def lower(method: Method, batch: step_program.Arrays) -> tuple[jax.export.Exported, dict]:
    """The step that XLA compiles, as a pure function.

    Args:
      method: engine.method.Method, compiled.
      batch: dict of name -> array.

    Returns:
      (jax.export.Exported of (state, batch) -> (new state, logs), the state before the first step):
      states and logs are dicts by name.

    Raises:
      ConfigError: the step calls something that other machines may not have.
    """
    step = step_program.step_of(method, lambda inputs: inputs)
    return step_program.lower(step, named_variables(method), batch)


if __name__ == "__main__":
    sys.exit(main())
