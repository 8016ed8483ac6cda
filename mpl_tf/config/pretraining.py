"""The configuration of the phase that teaches encoders before a run's method begins."""

import dataclasses
from typing import Any

from mpl_tf import options
from mpl_tf.cli.flags import typed
from mpl_tf.config.config import Config, applies, fields
from mpl_tf.config.groups import ComputeConfig
from mpl_tf.data.options import DataConfig
from mpl_tf.methods import METHODS, SELF_SUPERVISED
from mpl_tf.networks.options import NetworkConfig
from mpl_tf.options import ConfigError

# What is the same in the phase as in the run.
_SHARED = {
    *(field.name for part in (NetworkConfig, ComputeConfig) for field in dataclasses.fields(part)),
    *(field.name for field in dataclasses.fields(DataConfig)),
    *("dataset", "network", "seed", "steps", "labeled_batch", "deterministic"),
    *("eval_every", "checkpoint_every", "keep_checkpoints", "log_every"),
} - {"select"}  # which has labels
# Of these, those that say what a method sees.
_VIEWS = {
    *("weak", "finetune_weak", "strong", "randaugment_layers", "randaugment_magnitude"),
    *("autoaugment_policy", "cutout"),
}
# What the phase cannot have otherwise than the run.
_OF_THE_RUN = {
    *(field.name for part in (NetworkConfig, ComputeConfig) for field in dataclasses.fields(part)),
    *(field.name for field in dataclasses.fields(DataConfig) if field.name not in _VIEWS),
    *("dataset", "network", "seed", "method", "pretrain", "labeled_batch", "deterministic"),
    *("finetune_steps", "finetune_part", "finetune_learning_rate", "finetune_batch", "deliver"),
    *("eval_every", "checkpoint_every", "keep_checkpoints", "log_every"),
} - {"flip"}


def settings_of(run: Config) -> dict[str, Any]:
    """Option name -> value, what `make` takes for the phase of a run with `pretrain`.

    Args:
      run: of a `pretrain` that is not empty.

    Raises:
      ConfigError: the method is none that teaches encoders, an option is unknown or the run's, or
        the run's networks cannot start so.
    """
    name, *changes = run.run.pretrain.split(":")
    if name not in SELF_SUPERVISED:
        raise ConfigError(
            f"pretrain must begin with one of {', '.join(SELF_SUPERVISED)}; received {name!r}."
            + options.hint(name, SELF_SUPERVISED)
        )
    _check_run(run)
    shared = {k: v for k, v in run.flat().items() if k in _SHARED - _VIEWS and applies(k, name)}
    shared |= {"method": name, "finetune_steps": 0}
    return shared | _changes(name, changes)


def _changes(name: str, changes: list[str]) -> dict[str, Any]:
    """The options after the colons."""
    known = {field.name: field for field in fields(METHODS[name]) if applies(field.name, name)}
    values = {}
    for change in changes:
        option, equals, text = (part.strip() for part in change.partition("="))
        if not equals or option not in known:
            free = known.keys() - _OF_THE_RUN
            raise ConfigError(
                f"pretrain={name} takes options as {name}:steps=5000; received {change!r}."
                + options.hint(option, free)
            )
        if option in _OF_THE_RUN:
            raise ConfigError(f"{option} is that of the run: give it as --{option}, not {change}.")
        if option in values:
            raise ConfigError(f"pretrain={name} has {option} twice; received {change!r} again.")
        try:
            values[option] = typed(known[option], text)
        except ConfigError as error:
            raise ConfigError(f"pretrain={name}:{change}: {error}") from error
    return values


def _check_run(run: Config) -> None:
    """Raises ConfigError if a run's networks cannot start from an encoder of one's own."""
    if run.network.train == "head":
        raise ConfigError(
            "pretrain teaches the encoder, and train=head leaves it as it is. Leave one of them "
            "out."
        )
    if run.network.head_init == "probe":
        raise ConfigError(
            "head_init=probe is computed on the features before pretraining. Leave it out, or take "
            "network=file:ENCODER.keras of a run with a self-supervised method."
        )
    if run.flat().get("teacher_network", "") not in ("", run.run.network):
        raise ConfigError(
            "pretrain gives one encoder to all networks; received "
            f"network={run.run.network} and teacher_network={run.run.teacher_network}."
        )
