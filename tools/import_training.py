"""Takes what run.py of an exported training has saved back into a run folder.

    python tools/import_training.py --from=trip/fixmatch --workdir=runs/fixmatch

writes a checkpoint of that step, and the rows of the table that run.py wrote, into the run folder,
which is made, or is that of the run whose checkpoint was exported.
`python -m mpl_tf.train --flagfile=runs/fixmatch/run.flags --workdir=runs/fixmatch` then goes on as
after any interruption: it takes the steps that are left, finetunes, tests and exports.

The recipe's flags are in the folder. Further ones may say where things lie here, such as
--data_dir: images, labels and their split must be those that were exported. The state is saved.npz
in the folder, or what --state names.
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import jax_training
import step_program
import training_files
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
    with open(recipe_file, "rb") as opened:
        digest = jax_training.digest(opened.read())
    recipe = files.read_json(recipe_file)
    state_file = arguments.state or os.path.join(arguments.folder, jax_training.SAVED)
    if not os.path.isfile(state_file):
        raise ConfigError(f"{state_file} is missing: run.py saves it, or name it with --state.")
    state = files.read_arrays(state_file)
    if str(state.pop(jax_training.OF_RECIPE, digest)) != digest:
        raise ConfigError(f"{state_file} is the state of another recipe than {recipe_file}.")
    check_arrays(state, files.read_arrays(os.path.join(arguments.folder, jax_training.STATE)))
    from mpl_tf.config import flags

    job = flags.parse([*recipe["flags"], *training_flags])
    check_flags(flags.parse(recipe["flags"]).config.flat(), job.config.flat())
    step = int(state[recipe["counter"]])
    if not 0 <= step <= job.config.run.steps:
        raise ConfigError(f"{state_file} is no state of this training: it stands at step {step}.")
    rows = read_table(os.path.splitext(state_file)[0] + ".csv")
    there = files.read_arrays(os.path.join(arguments.folder, jax_training.DATA))
    bring(job, state, step, rows, there | recipe["images"]["digests"])
    workdir = shlex.quote(job.launch.workdir)
    console.say(
        f"{job.launch.workdir} stands at step {step:,} of {job.config.run.steps:,}; continue: "
        f"python -m mpl_tf.train --flagfile={workdir}/run.flags --workdir={workdir}"
    )
    return cli.DONE


def check_arrays(state: step_program.Arrays, first: step_program.Arrays) -> None:
    """Raises ConfigError if a state has other arrays than the first one, or one that is not finite.

    Args:
      state: name -> array.
      first: that which was exported.
    """
    for name in sorted(state.keys() | first.keys()):
        here, there = (
            f"{of[name].dtype} {of[name].shape}" if name in of else "none" for of in (state, first)
        )
        if here != there:
            raise ConfigError(f"the state is of another training: {name} is {here}, not {there}.")
        if not np.isfinite(state[name]).all():
            raise ConfigError(f"{name} of the state holds NaN or infinite values.")


def check_flags(recipe: dict[str, Any], here: dict[str, Any]) -> None:
    """Raises ConfigError if options differ in more than where things lie.

    Args:
      recipe: option name -> value, of what was exported.
      here: with further flags.
    """
    from mpl_tf.runs import folder

    there, here = (folder.without_places(each, is_finished=False) for each in (recipe, here))
    if changed := sorted(name for name in there if there[name] != here.get(name)):
        raise ConfigError(
            f"{', '.join(changed)} cannot be changed: the training was exported with "
            f"{', '.join(f'{name}={there[name]}' for name in changed)}."
        )


def read_table(path: str) -> list[dict[str, float]]:
    """The rows of the csv that run.py wrote, by column; none if the file is missing.

    Raises:
      ConfigError: it is no such table.
    """
    if not os.path.isfile(path):
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{n: float(v) for n, v in row.items() if v} for row in csv.DictReader(file)]
        return sorted(rows, key=lambda row: row["step"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path} is no table of a training, or is damaged: {error}.") from error


def check_images(experiment: Experiment, recipe: Mapping[str, Any]) -> None:
    """Raises ConfigError if images, labels or their split are others than those exported.

    Args:
      experiment: with what lies here.
      recipe: name -> array, as `training_files.data` has them, and name of a file of images ->
        its digest.
    """
    shards = training_files.image_shards(experiment.split.source)
    here: dict[str, Any] = training_files.data(experiment)
    here |= {name: jax_training.digest(content) for name, content in shards.items()}
    others = [
        name
        for name in sorted(here.keys() | recipe.keys())
        if not np.array_equal(here.get(name, ()), recipe.get(name, ()))
    ]
    if others:
        raise ConfigError(
            "the images here, their labels or their split are others than those that were "
            f"exported: {', '.join(others)} differ."
        )


def bring(
    job: Job,
    state: step_program.Arrays,
    step: int,
    rows: Sequence[Mapping[str, float]],
    images: Mapping[str, Any],
) -> None:
    """Writes a state as a checkpoint of a run.

    Args:
      job: of the recipe, with the run folder.
      state: name -> array, as run.py saves it; see `check_arrays`.
      step: steps of training that are done.
      rows: of the csv that run.py wrote.
      images: as for `check_images`.

    Raises:
      ConfigError: the run folder holds another run, or one that has come further, or the images are
        others.
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
    check_images(experiment, images)
    contents = source.contents()
    with folder.lock(path):
        if not job.launch.overwrite:
            provenance.check_images(path, contents, experiment.split)
        folder.prepare(path, settings.flat(), flags.to_lines(settings), job.launch.overwrite)
        provenance.keep_images(path, contents, experiment.split)
        checkpoints = checkpoint.Checkpoints(
            experiment.method,
            experiment.file(folder.CHECKPOINTS, folder.TRAIN),
            keep=settings.run.keep_checkpoints,
        )
        before = checkpoints.restore(settings.run.steps)
        if before > step:
            raise ConfigError(
                f"workdir {path} has come to step {before}, and the state stands at step {step}."
            )
        assign(experiment.method, state)
        if step == settings.run.steps:
            renew_statistics(experiment)
        _write_rows(experiment, rows, before, step)
        checkpoints.save(step)


def assign(method: Method, state: step_program.Arrays) -> None:
    """Gives the variables of a method the values of a state, by name.

    What sums up logs is left as it is.

    Raises:
      ConfigError: a name is unknown here, or an array has another shape.
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


def _write_rows(
    experiment: Experiment, rows: Sequence[Mapping[str, float]], first: int, last: int
) -> None:
    """The rows of steps after `first`, up to `last`: what run.py logged and measured.

    Where batch statistics are renewed after the last step, what was measured there before is left
    out: training measures anew.
    """
    from mpl_tf.runs import folder, metrics_log

    method, total = experiment.method, experiment.config.run.steps
    names = experiment.split.class_names if method.unlabeled_views else None
    metrics = metrics_log.MetricsLog(experiment.output_path, names)
    metrics.rewind(folder.TRAIN, first)
    try:
        for row in rows:
            step = int(row["step"])
            if not first < step <= last:
                continue
            numbers = {n: v for n, v in row.items() if n not in ("step", "seconds")}
            of_log = {n: v for n, v in numbers.items() if not n.startswith(("val_", "test_"))}
            of_validation = {n: v for n, v in numbers.items() if n.startswith("val_")}
            if step == total and method.has_averaged_statistics:
                of_validation = {}
            for values in filter(None, (of_log, of_validation)):
                metrics.write(folder.TRAIN, step, values)
    finally:
        metrics.close()


if __name__ == "__main__":
    sys.exit(main())
