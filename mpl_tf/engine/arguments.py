"""What `compile`, `fit` and constructors are called with, and what a trainer cannot use of it."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mpl_tf.engine.sharpness import PERTURBATIONS
from mpl_tf.engine.user_networks import has_synchronized
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError

# What Keras's `fit` takes for other data, and what there is here in its place.
_INSTEAD = {
    "y": "the data holds images and labels: mpl_tf.data.pair((images, labels), ...) makes it",
    "class_weight": "it belongs to the constructor: {name}(..., class_weight={{0: 1.0, 1: 3.0}})",
    "sample_weight": "class_weight of the constructor weights labels by class",
    "batch_size": "the data comes in batches: mpl_tf.data.pair(..., labeled_batch=32)",
    "validation_split": "labeled images for validation go to validation_data=(images, labels)",
}
# Arguments of Keras's `compile` that have no effect on a method.
_OF_LOSSES = ("loss", "loss_weights", "metrics", "weighted_metrics")


def check_compile(
    name: str, settings: Mapping[str, Any], unused: Mapping[str, Any] | Sequence[str]
) -> None:
    """Refuses arguments of `compile` that are of no use, of a wrong type or out of range.

    Args:
      name: of the trainer's class, for messages.
      settings: name -> value, of the arguments that `Trainer.compile` has.
      unused: names of others.

    Raises:
      ValueError: there is such an argument.
    """
    if "learning_rate" in unused:
        raise ValueError(
            f"{name}.compile has no use for learning_rate: the optimizer has it, as in "
            "keras.optimizers.SGD(0.1)."
        )
    if unused:
        reason = "a method has its own loss, and reports accuracy and cross entropy of its networks"
        if not all(argument in _OF_LOSSES for argument in unused):
            reason = f"beside optimizers it takes {', '.join(settings)}"
        raise ValueError(f"{name}.compile has no use for {', '.join(unused)}: {reason}.")
    for argument, value in settings.items():
        allowed = _violated(argument, value)
        if allowed:
            raise ValueError(f"{argument} must be {allowed}; received {value!r}.")


def check_networks_compiled(
    networks: Mapping[str, keras.Model], jit_compile: bool, backbone_rate: float
) -> None:
    """Refuses what networks cannot be compiled with.

    Args:
      networks: of a trainer, by role.
      jit_compile: whether XLA is to compile their passes on several replicas.
      backbone_rate: what the learning rate of their backbones is multiplied by.

    Raises:
      ConfigError: they have synchronised batch normalisation, or no backbones.
    """
    joined = [role for role, network in networks.items() if has_synchronized(network)]
    if jit_compile and joined:
        raise ConfigError(
            "jit_compile on several replicas works without synchronised batch normalisation "
            f"only, because XLA cannot compile its collectives here; {', '.join(joined)} has "
            "it. Leave jit_compile out, or take a network without batch normalisation."
        )
    if backbone_rate != 1 and not any(map(parts.has_parts, networks.values())):
        raise ConfigError(
            f"backbone_rate={backbone_rate} is for networks of a backbone and a head "
            "(mpl_tf.networks.parts); there is none."
        )


def _violated(argument, value):
    """What an argument of `compile` must be, if `value` is not; else ""."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if argument in ("weight_decay", "sam_rho"):
        return "" if number and value >= 0 else "a number of at least 0"
    if argument == "backbone_rate":
        return "" if number and value > 0 else "a number greater than 0"
    if argument == "sam_perturbation":
        return "" if value in PERTURBATIONS else f"one of {', '.join(PERTURBATIONS)}"
    if argument == "clip_norm":
        return "" if value is None or (number and value > 0) else "a number greater than 0, or None"
    if argument == "eval_image_size":
        return "" if value is None or _is_count(value) else "a whole number of pixels, or None"
    if argument in ("steps_per_execution", "accumulate_steps", "stages"):
        return "" if _is_count(value) else "a whole number of at least 1"
    return "" if isinstance(value, (bool, np.bool_)) else "True or False"


def _is_count(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1


def check_fit(
    name: str, positional: Sequence[Any], keywords: Mapping[str, Any], steps: Any, group: int
) -> None:
    """Refuses arguments of `fit` that are of no use, and numbers of steps that are none.

    Args:
      name: of the trainer's class, for messages.
      positional: what `fit` received after its data.
      keywords: what it received by name.
      steps: `steps_per_epoch`.
      group: `steps_per_execution`.

    Raises:
      ValueError: there is such an argument.
    """
    unused = ["y"] * bool(positional) + [key for key in _INSTEAD if keywords.get(key) is not None]
    if unused:
        raise ValueError(
            f"{name}.fit has no use for {unused[0]}: {_INSTEAD[unused[0]].format(name=name)}."
        )
    if steps is None:
        raise ValueError(
            "fit needs steps_per_epoch: the unit of training is the step and the data repeats "
            "without end. Example: fit(data, steps_per_epoch=500, epochs=4)."
        )
    if not _is_count(steps) or steps % group:
        raise ValueError(
            f"steps_per_epoch must be a whole number of at least 1, and a multiple of "
            f"steps_per_execution={group}; received {steps!r}."
        )


def check_seed(seed: int) -> int:
    """A seed, which must be a whole number of 64 bits.

    Raises:
      ConfigError: it is not.
    """
    if not isinstance(seed, numbers.Integral) or not -(2**63) <= int(seed) < 2**63:
        raise ConfigError(
            f"seed must be a whole number of 64 bits; received {seed!r}. What a method draws is a "
            "function of it: for other draws in each run, take another number in each."
        )
    return int(seed)


def check_num_unlabeled(num_unlabeled: int | None) -> int:
    """The size of a pool, which must be a whole number of at least 1; None is what was not said.

    Raises:
      ConfigError: it is not.
    """
    if not isinstance(num_unlabeled, numbers.Integral) or num_unlabeled < 1:
        raise ConfigError(
            f"num_unlabeled must be a whole number of at least 1; received {num_unlabeled!r}. "
            "Pass num_unlabeled=data.num_unlabeled, of data that mpl_tf.data.pair made."
        )
    return int(num_unlabeled)
