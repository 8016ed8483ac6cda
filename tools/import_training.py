"""Takes what run.py of an exported training has saved back into a run folder.

    python tools/import_training.py --from=trip/fixmatch --workdir=runs/fixmatch

writes a checkpoint of that step, and the rows of the table that run.py wrote, into the run folder,
which is made, or is that of the run whose checkpoint was exported.
`python -m mpl_tf.train --flagfile=runs/fixmatch/run.flags --workdir=runs/fixmatch` then goes on as
after any interruption: it takes the steps that are left, finetunes, tests and exports.

The recipe's flags are in the folder. Further ones may say where things lie here, such as
--data_dir. The state is saved.npz in the folder, or what --state names.
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import jax_training
import step_program
from arguments import local_path
from mpl_tf import cli, console, files
from mpl_tf.options import ConfigError

if TYPE_CHECKING:  # imported when they are needed: TensorFlow takes seconds
    from mpl_tf.config.flags import Job
    from mpl_tf.engine.method import Method
    from mpl_tf.runs.experiment import Experiment

COMMAND = cli.Command("python tools/import_training.py", __doc__ or "")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 2 bad input or a folder that cannot be written, 130 stopped by
      Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, _parse, _work)


def _parse(argv):
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style, allow_abbrev=False)
    parser.add_argument(
        "--from", dest="folder", type=local_path, required=True, help="the exported training"
    )
    parser.add_argument(
        "--state", type=local_path, help=f"the npz file of the state [{jax_training.SAVED} in it]"
    )
    return parser.parse_known_args(argv)


def _work(arguments, training_flags):
    try:
        return _run(arguments, training_flags)
    except OSError as error:
        raise ConfigError(str(error)) from error


def _run(arguments, training_flags):
    recipe_file = os.path.join(arguments.folder, jax_training.RECIPE)
    if not os.path.isfile(recipe_file):
        raise ConfigError(
            f"--from={arguments.folder} must be a folder of tools/export_training.py; it has no "
            f"{jax_training.RECIPE}."
        )
    recipe = files.read_json(recipe_file)
    state_file = arguments.state or os.path.join(arguments.folder, jax_training.SAVED)
    if not os.path.isfile(state_file):
        raise ConfigError(f"{state_file} is missing: run.py saves it, or name it with --state.")
    state = files.read_arrays(state_file)
    from mpl_tf.config import flags

    job = flags.parse([*recipe["flags"], *training_flags])
    step = int(state.get(recipe["counter"], -1))
    if not 0 <= step <= job.config.run.steps:
        raise ConfigError(f"{state_file} is no state of this training: it stands at step {step}.")
    bring(job, state, step, os.path.splitext(state_file)[0] + ".csv")
    workdir = shlex.quote(job.launch.workdir)
    console.say(
        f"{job.launch.workdir} stands at step {step:,} of {job.config.run.steps:,}; continue: "
        f"python -m mpl_tf.train --flagfile={workdir}/run.flags --workdir={workdir}"
    )
    return cli.DONE


def bring(job: Job, state: step_program.Arrays, step: int, table: str) -> None:
    """Writes a state as a checkpoint of a run.

    Args:
      job: of the recipe, with the run folder.
      state: name -> array, as run.py saves it.
      step: steps of training that are done.
      table: the csv that run.py wrote; it may be missing.

    Raises:
      ConfigError: the run folder holds another run, or one that has come further, or the state is
        of other networks.
    """
    import keras

    from mpl_tf import config, data
    from mpl_tf.config import flags
    from mpl_tf.runs import checkpoint, folder, provenance
    from mpl_tf.runs import experiment as experiments

    settings, path = job.config, job.launch.workdir
    if folder.state(path, settings.flat(), job.launch.overwrite) == "finished":
        raise ConfigError(f"workdir {path} holds a finished run; choose another --workdir.")
    source = data.find(settings.run.dataset, settings.data.data_dir).load(settings.data)
    config.check_data(settings, source)
    keras.utils.clear_session(free_memory=False)  # names of layers count from the start
    experiment = experiments.build(settings, experiments.make_split(settings, source), path)
    images = source.contents()
    with folder.lock(path):
        if not job.launch.overwrite:
            provenance.check_images(path, images, experiment.split)
        folder.prepare(path, settings.flat(), flags.to_lines(settings), job.launch.overwrite)
        provenance.keep_images(path, images, experiment.split)
        checkpoints = checkpoint.Checkpoints(
            experiment.method, experiment.file(folder.CHECKPOINTS, folder.TRAIN)
        )
        before = checkpoints.restore(settings.run.steps)
        if before > step:
            raise ConfigError(
                f"workdir {path} has come to step {before}, and the state stands at step {step}."
            )
        assign(experiment.method, state)
        if step == settings.run.steps:
            renew_statistics(experiment)
        _write_rows(experiment, table, before, step)
        checkpoints.save(step)


def assign(method: Method, state: step_program.Arrays) -> None:
    """Gives the variables of a method the values of a state, by name.

    What sums up logs is left as it is.

    Raises:
      ConfigError: a name is unknown, or an array has another shape or type.
    """
    variables = step_program.named_variables(method)
    sums = {id(v) for metric in method.window_metrics for v in metric.variables}
    for name, value in state.items():
        variable = variables.get(name)
        if variable is None or tuple(variable.shape) != value.shape:
            there = "no such variable" if variable is None else f"shape {tuple(variable.shape)}"
            raise ConfigError(
                f"the state is of other networks: {name} has shape {value.shape}, here {there}."
            )
        if not np.isfinite(value).all():
            raise ConfigError(f"{name} of the state holds NaN or infinite values.")
        if id(variable) not in sums:
            variable.assign(value)


def renew_statistics(experiment: Experiment) -> None:
    """What training does after its last step: see runs.callbacks.RenewStatistics."""
    from mpl_tf.engine.batch_statistics import STATISTICS_BATCHES
    from mpl_tf.runs import folder

    method, total = experiment.method, experiment.config.run.steps
    if method.has_averaged_statistics:
        batches = experiment.batches(folder.TRAIN, total)
        method.renew_statistics(batches, steps=min(total, STATISTICS_BATCHES))


def _write_rows(experiment: Experiment, table: str, first: int, last: int) -> None:
    """The rows of steps after `first`, up to `last`, as training would have logged them."""
    from mpl_tf.runs import folder, metrics_log

    names = experiment.split.class_names if experiment.method.unlabeled_views else None
    metrics = metrics_log.MetricsLog(experiment.output_path, names)
    metrics.rewind(folder.TRAIN, first)
    rows = []
    if os.path.isfile(table):
        with open(table, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if first < int(row["step"]) <= last]
    try:
        for row in rows:
            numbers = {n: float(v) for n, v in row.items() if v and n not in ("step", "seconds")}
            of_log = {n: v for n, v in numbers.items() if not n.startswith(("val_", "test_"))}
            of_validation = {n: v for n, v in numbers.items() if n.startswith("val_")}
            for values in filter(None, (of_log, of_validation)):
                metrics.write(folder.TRAIN, int(row["step"]), values)
    finally:
        metrics.close()


if __name__ == "__main__":
    sys.exit(main())
