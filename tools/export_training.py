"""A whole training for a machine that has JAX but no TensorFlow: images, views, steps, tests.

    python tools/export_training.py --to=trip/fixmatch --images=trip/images --dataset=cifar10 \\
        --data_dir=DIR --method=fixmatch --network=wide_resnet_28_2 --num_labeled=4000

takes the flags of `python -m mpl_tf.train`, and two of its own. It reads the dataset and divides it
as training does. The folder:

    training.json     batches, steps, when to log and to evaluate, digests of the images, the flags
    step.jax          a training step: (state, images, labels, positions) -> (state, logs); it makes
                      the views, too
    evaluation.jax    correct answers and cross entropies of each network on a batch of images
    state.npz         weights, momenta, counters, by name: fresh ones, or those of the newest
                      checkpoint of an interrupted run in --workdir
    data.npz          which images are labeled, unlabeled, for validation, for testing; labels
    turns_*.npy       the images of each step: those that `mpl_tf.train` reads in it
    run.py            trains; needs JAX and NumPy alone: python run.py

and --images, which several trainings may share, has the images in files of at most 50 MB.
`python tools/import_training.py --from=FOLDER` takes what run.py has saved back into a run folder.

Only the phase `train` is written: `mpl_tf.train` finetunes, tests and exports afterwards. Writing
needs JAX, too: pip install 'mpl_tf[stablehlo]'.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import jax_training
import step_program
import training_files
from arguments import output_folder
from mpl_tf import cli, console, files
from mpl_tf.options import ConfigError

if TYPE_CHECKING:  # imported when they are needed: TensorFlow takes seconds
    import jax

    from mpl_tf.config.flags import Job
    from mpl_tf.runs.experiment import Experiment

COMMAND = cli.Command("python tools/export_training.py", __doc__ or "")
_EVALUATION_BATCH = 500
_NOT_WRITTEN = ("balance_labels", "select")  # options of the data


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
    parser.add_argument(
        "--images",
        type=output_folder,
        help="the folder of the images, which may be there [images in the folder]",
    )
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

    experiment = start(flags.parse(training_flags, with_devices=True))
    if arguments.images:  # refused before programs are traced
        training_files.write_images(arguments.images, experiment.split.source)
    step, state = lower_step(experiment)
    evaluation, evaluated = lower_evaluation(experiment)
    with files.whole(arguments.to) as partial:
        os.makedirs(partial)
        images = arguments.images or os.path.join(partial, "images")
        training_files.write(partial, images, experiment, step, evaluation, state | evaluated)
    size = sum(value.nbytes for value in state.values()) / 2**20
    console.say(
        f"{arguments.to}: {len(state)} arrays of state ({size:.1f} MiB), "
        f"{experiment.config.run.steps:,} steps; run it where JAX is: python run.py"
    )
    return cli.DONE


def start(job: Job) -> Experiment:
    """The run of a command line, as far as it has come.

    Raises:
      ConfigError: the run is finished, is to be replaced, needs several devices, or has something
        that is not written: cached features, stored predictions, phases before training, labeled
        images that are drawn or chosen, views that draw their own numbers, images without
        positions.
    """
    import keras

    from mpl_tf import config, data
    from mpl_tf.augment import policies
    from mpl_tf.data.dataset import Images
    from mpl_tf.runs import checkpoint, folder, head_start
    from mpl_tf.runs import experiment as experiments

    settings, path = job.config, job.launch.workdir
    step_program.check_method(settings.run.method)
    if settings.compute.strategy not in ("auto", "cpu") or settings.compute.stages > 1:
        raise ConfigError(
            "the step is that of one device: leave out --strategy and --stages; received "
            f"strategy={settings.compute.strategy}, stages={settings.compute.stages}."
        )
    if settings.is_cached:
        raise ConfigError("trainings on cached features are not written: add --nocache_features.")
    if settings.data.eval_image_size:
        raise ConfigError("evaluation at another size is not written: leave out --eval_image_size.")
    if settings.data.strong == "keras_cv":
        raise ConfigError("strong=keras_cv draws numbers of its own: choose another view.")
    for name, values in (("pretrain", settings.run), *((n, settings.data) for n in _NOT_WRITTEN)):
        if value := getattr(values, name):
            raise ConfigError(f"{name}={value} is not written: leave it out, or train here.")
    if job.launch.overwrite:
        raise ConfigError(
            f"a fresh start belongs in another folder than {path}: leave out --overwrite, and "
            "choose another --workdir."
        )
    config.check_replicas(settings, 1)
    if folder.state(path, settings.flat(), job.launch.overwrite) == "finished":
        raise ConfigError(f"workdir {path} holds a finished run; choose another --workdir.")
    source = data.find(settings.run.dataset, settings.data.data_dir).load(settings.data)
    config.check_data(settings, source)
    split = experiments.make_split(settings, source)
    if not isinstance(split.unlabeled, Images):
        raise ConfigError("unlabeled images must have positions: a folder, arrays or TFDS.")
    head_start.check(settings, split)
    keras.utils.clear_session(free_memory=False)  # names of layers count from the start
    experiment = experiments.build(settings, split, path)
    if experiment.method.pretraining_phases():
        raise ConfigError(
            f"method={settings.run.method} has a phase before training, which is not written."
        )
    assert not isinstance(experiment.views.strong, policies.FromLayer)
    head_start.start(experiment)
    checkpoints = os.path.join(path, folder.CHECKPOINTS, folder.TRAIN)
    checkpoint.Checkpoints(experiment.method, checkpoints).restore(settings.run.steps)
    return experiment


def lower_step(
    experiment: Experiment,
) -> tuple[jax.export.Exported, step_program.Arrays]:
    """A whole training step, from images of uint8 to the new state; see `step_program.lower`."""
    import tensorflow as tf

    from mpl_tf.augment import compiled
    from mpl_tf.data import pipeline
    from mpl_tf.engine.batches import class_ids
    from mpl_tf.runs import folder
    from mpl_tf.runs.building import derived_seed

    method, run, split = experiment.method, experiment.config.run, experiment.split
    views, unlabeled_batch = method.unlabeled_views, run.labeled_batch * run.unlabeled_ratio
    has_hidden_labels = split.unlabeled.has_hidden_labels

    def make_batch(inputs):
        def read(part):
            at = inputs[part]
            images = tf.gather(inputs["images"], tf.gather(inputs[f"{part}_rows"], at))
            return images, tf.gather(inputs[f"{part}_labels"], at), tf.cast(at, tf.int64)

        unlabeled = None
        if views:
            images, hidden_label, position = read("unlabeled")
            unlabeled = images, hidden_label if has_hidden_labels else None, position
        with compiled.for_xla():
            batch = pipeline.make_batch(
                inputs["step"],
                read("labeled"),
                unlabeled,
                shape=split.labeled.shape,
                labeled_batch=run.labeled_batch,
                unlabeled_batch=unlabeled_batch,
                views=views,
                weak=experiment.views.weak,
                strong=experiment.views.strong,
                seed=derived_seed(run.seed, folder.TRAIN),
            )
        return class_ids(batch, method.networks)

    inputs = {"step": np.zeros([], np.int64), **_images_and_rows(experiment)}
    inputs["labeled"] = np.zeros([run.labeled_batch], np.int32)
    if views:
        inputs["unlabeled"] = np.zeros([unlabeled_batch], np.int32)
    step = step_program.step_of(method, make_batch, jax_training.WEIGHT)
    return step_program.lower(step, step_program.named_variables(method), inputs)


def _images_and_rows(experiment):
    """Zeros in the shapes of the arrays that a step reads images and labels from."""
    split = experiment.split
    parts = {"labeled": split.labeled, "unlabeled": split.unlabeled}
    if not experiment.method.unlabeled_views:
        del parts["unlabeled"]
    count = training_files.image_count(split.source)
    arrays = {"images": np.zeros([count, *split.labeled.shape], np.uint8)}
    for part, images in parts.items():
        arrays[f"{part}_rows"] = np.zeros([len(images)], np.int32)
        arrays[f"{part}_labels"] = np.zeros([len(images)], np.int64)
    return arrays


def lower_evaluation(
    experiment: Experiment,
) -> tuple[jax.export.Exported, step_program.Arrays]:
    """Sums of correct answers and of cross entropies of each network over a batch of images."""
    import tensorflow as tf

    method, split = experiment.method, experiment.split
    sizes = [len(part) for part in (split.validation, split.test) if part]
    batch = min([_EVALUATION_BATCH, *sizes[:1]])

    def evaluate(inputs):
        images, label = tf.gather(inputs["images"], inputs["rows"]), inputs["labels"]
        sums = {}
        for name, network in method.networks.items():
            logits = method.forward.evaluated(network, images)
            has_order = ~tf.reduce_any(tf.math.is_nan(logits), axis=-1)  # or there is no greatest
            correct = tf.cast(has_order & (tf.argmax(logits, axis=-1) == label), tf.float32)
            log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
            entropy = -tf.gather(log_probs, label, axis=1, batch_dims=1)
            for measure, values in (("accuracy", correct), ("cross_entropy", entropy)):
                sums[f"{name}_{measure}"] = tf.reduce_sum(inputs["weights"] * values)
        return sums

    count = training_files.image_count(split.source)
    inputs = {
        "images": np.zeros([count, *split.labeled.shape], np.uint8),
        "rows": np.zeros([batch], np.int32),
        "labels": np.zeros([batch], np.int64),
        "weights": np.zeros([batch], np.float32),
    }
    return step_program.lower(evaluate, step_program.named_variables(method), inputs)


if __name__ == "__main__":
    sys.exit(main())
