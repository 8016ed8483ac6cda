"""A run folder as trained networks, without the images they were trained on."""

import dataclasses
import os
from typing import TypedDict

import keras

from mpl_tf import config, files, options
from mpl_tf.console import log
from mpl_tf.engine.method import Method
from mpl_tf.engine.roles import DELIVERED
from mpl_tf.engine.trainer import Trainer
from mpl_tf.features import fingerprint
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.runs import cached, choosing, folder
from mpl_tf.runs.building import build_method, finetuning_phase
from mpl_tf.runs.checkpoint import CheckpointError, Checkpoints


class Split(TypedDict):
    """Of a split.json, what a network can be built from; `splits.Split.to_json` writes it."""

    class_names: list[str]
    image_shape: tuple[int, int, int]
    num_unlabeled: int | None


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder says, without its weights.

    Attributes:
      path: the folder.
      config: all settings.
      class_names: one a class.
      image_shape: (height, width, channels) of the images.
      num_unlabeled: images in the pool.
    """

    path: str
    config: config.Config
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    num_unlabeled: int


def find(path: str) -> Run:
    """The run in a folder.

    Raises:
      ConfigError: there is none, or its files are damaged.
    """
    if not folder.is_run(path):
        raise ConfigError(f"workdir {path} must be the folder of a run; it has no {folder.CONFIG}.")
    config_file = os.path.join(path, folder.CONFIG)
    flat = files.read_json(config_file, dict[str, str | int | float | bool])
    try:
        settings = config.Config.from_flat(flat)
        options.check(*vars(settings).values())
    except ConfigError as error:
        raise ConfigError(f"{config_file} is damaged: {error}") from error
    defaults = {name: value for name, value in settings.flat().items() if name not in flat}
    if defaults:
        log.warning(f"{config_file} leaves options out, which have their defaults: {defaults}")
    one_device = dataclasses.replace(settings.compute, stages=1)  # is enough for what restores
    settings = dataclasses.replace(settings, compute=one_device)
    split_file = os.path.join(path, folder.SPLIT)
    split = files.read_json(split_file, Split)
    (height, width, channels), num_unlabeled = split["image_shape"], split["num_unlabeled"] or 0
    if min(height, width, channels) < 1 or num_unlabeled < 0 or len(split["class_names"]) < 2:
        raise ConfigError(f"{split_file} is damaged: a count in it is too small.")
    class_names = tuple(split["class_names"])
    return Run(path, settings, class_names, (height, width, channels), num_unlabeled)


def restore(run: Run, which: str = DELIVERED) -> tuple[str, keras.Model]:
    """A trained network, from the newest checkpoint of a run.

    Args:
      run: by `find`.
      which: one of `roles.ROLES`, or DELIVERED, what the run delivers. That, and "finetuned",
        require a finished run; of a run without finetuning "finetuned" is its "ema". The others are
        also taken from a run that was interrupted.

    Returns:
      (which of them it is, the network, which gives logits).

    Raises:
      ConfigError: the run has no such network, or not yet.
    """
    settings = run.config.run
    if is_delivered := which == DELIVERED:
        which = _delivered(run)
    method, backbone = _build(run)
    step = _read(method, run.path, folder.TRAIN, settings.steps)
    if not step:
        raise ConfigError(f"{run.path} has no checkpoint of its training yet.")
    unfinished = ""
    if step < settings.steps:
        unfinished = f"training has come to step {step} of {settings.steps}"
    if which == "finetuned" and not unfinished and settings.finetune_steps:
        phase = finetuning_phase(run.config, method)
        finetune_step = _read(phase, run.path, folder.FINETUNE, settings.finetune_steps)
        if finetune_step < settings.finetune_steps:
            unfinished = f"finetuning has come to step {finetune_step} of {settings.finetune_steps}"
    if (which == "finetuned" or is_delivered) and unfinished:
        raise ConfigError(
            f"{run.path} is not finished: {unfinished}. Continue it, or take --which=ema."
        )
    if unfinished:
        log.info(f"{run.path} is not finished: {unfinished}")
    which, network = _network(run, method, which)
    return which, network if backbone is None else parts.join(backbone, network)


def _build(run: Run) -> tuple[Method, keras.Model | None]:
    """The method of a run, and the backbone that its networks lack, if its features were cached."""
    arguments = run.config, len(run.class_names), run.image_shape, run.num_unlabeled
    if not run.config.is_cached:
        return build_method(*arguments)
    try:
        method, backbone = build_method(*arguments)
    except ConfigError as error:
        raise ConfigError(
            f"the backbone of the run in {run.path} cannot be built: {error} The run's "
            f"{folder.EXPORT} folder, if it is there, has it whole."
        ) from error
    assert backbone is not None
    cached.check(run.path, fingerprint.of_backbone(backbone), run.config)
    return method, backbone


def _delivered(run: Run) -> str:
    """What a run delivers; "finetuned" is also that of a run without finetuning."""
    if run.config.run.deliver != "best":
        return "finetuned"
    return choosing.delivered(run.path)


def _network(run: Run, method: Method, which: str) -> tuple[str, keras.Model]:
    which = method.delivered if which == "finetuned" else which
    try:
        return which, method.network(which)
    except ValueError as error:
        raise ConfigError(f"{run.path}, method={run.config.run.method}: {error}") from error


def _read(trainer: Trainer, path: str, phase: str, total: int) -> int:
    """Restores a phase of `total` steps; returns the step."""
    try:
        return Checkpoints(trainer, os.path.join(path, folder.CHECKPOINTS, phase)).restore(total)
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
