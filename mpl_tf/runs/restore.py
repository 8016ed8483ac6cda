"""A run folder as trained networks, without the images they were trained on."""

import dataclasses
import os

import numpy as np

from mpl_tf import config, console, files
from mpl_tf.data import splits, stores
from mpl_tf.data.dataset import Images
from mpl_tf.options import ConfigError
from mpl_tf.runs import phases
from mpl_tf.runs.checkpoint import CheckpointError, Checkpoints
from mpl_tf.runs.experiment import build

NETWORKS = ("finetuned", "ema", "student", "teacher")


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder says, without its weights.

    Attributes:
      path: str, the folder.
      config: config.Config.
      class_names: tuple of str.
      image_shape: (height, width, channels) of the images.
      num_unlabeled: int, images in the pool.
    """

    path: str
    config: config.Config
    class_names: tuple
    image_shape: tuple
    num_unlabeled: int


def find(path):
    """The Run in a folder.

    Args:
      path: str.

    Returns:
      Run.

    Raises:
      ConfigError: there is none.
    """
    if not os.path.isfile(os.path.join(path, "config.json")):
        raise ConfigError(f"workdir {path} must be the folder of a run; it has no config.json.")
    flat = files.read_json(os.path.join(path, "config.json"))
    split = os.path.join(path, "split.json")
    about = files.read_json(split)
    if not {"class_names", "image_shape"} <= about.keys():
        raise ConfigError(f"{split} names no class_names and image_shape; train the run again.")
    names, shape = tuple(about["class_names"]), tuple(about["image_shape"])
    config_of_run = config.Config.from_flat(flat)
    return Run(path, config_of_run, names, shape, about.get("num_unlabeled", 0))


def restore(run, which="finetuned"):
    """A trained network, from the newest checkpoint of a run.

    Args:
      run: Run.
      which: str, one of NETWORKS. "finetuned" of a run without finetuning is its "ema", which is
        what such a run delivers, and wants the run to be finished; the others are taken from a run
        that was interrupted, too.

    Returns:
      (name, network): str, one of NETWORKS, and keras.Model of logits.

    Raises:
      ConfigError: the run has no such network, or not yet.
    """
    wanted = run.config.run
    experiment = _build(run)
    trained = _read(experiment.method, run.path, "train")
    if not trained:
        raise ConfigError(f"{run.path} has no checkpoint of its training yet.")
    if trained < wanted.steps:
        unfinished = f"training has come to step {trained} of {wanted.steps}"
    else:
        unfinished = ""
    if which == "finetuned" and not unfinished and wanted.finetune_steps:
        tuned = _read(phases.finetuning(experiment), run.path, "finetune")
        if tuned < wanted.finetune_steps:
            unfinished = f"finetuning has come to step {tuned} of {wanted.finetune_steps}"
    if which == "finetuned" and unfinished:
        raise ConfigError(
            f"{run.path} is not finished: {unfinished}. Continue it, or take --which=ema."
        )
    if unfinished:
        console.say(f"{run.path} is not finished: {unfinished}")
    try:
        method = experiment.method
        which = method.delivered if which == "finetuned" else which
        return which, method.network(which)
    except ValueError as error:
        raise ConfigError(f"{run.path}, method={wanted.method}: {error}") from error


def _build(run):
    """The experiment.Experiment of a run, untrained, on a single device wherever it was trained."""
    nothing = np.zeros(0, np.int64)
    store = stores.ArrayStore(np.zeros([0, *run.image_shape], np.uint8))
    images = Images(store, nothing, nothing, nothing)  # their shape is all that counts
    pool = np.full(run.num_unlabeled, -1)  # and the pool's size
    split = splits.Split(images, Images(store, pool, pool, pool), None, None, run.class_names)
    return build(run.config, split, run.path)


def _read(engine, path, phase):
    """Restores a phase; returns the step."""
    try:
        return Checkpoints(engine, os.path.join(path, "checkpoints", phase)).restore()
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
