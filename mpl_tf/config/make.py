"""The configuration of one run: frozen dataclasses, made from settings, a recipe and defaults."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

from mpl_tf import data, networks, options
from mpl_tf.config.checks import check_compute, check_schedule
from mpl_tf.config.groups import ComputeConfig, OptimizerConfig, RunConfig
from mpl_tf.data import splits
from mpl_tf.data.dataset import Dataset
from mpl_tf.data.options import DataConfig
from mpl_tf.engine.devices import check_name
from mpl_tf.engine.method import Method, MethodConfig
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError

_GROUPS = (RunConfig, DataConfig, ComputeConfig, OptimizerConfig)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. Make it with `make`."""

    run: RunConfig
    data: DataConfig
    compute: ComputeConfig
    optimizer: OptimizerConfig
    method: MethodConfig

    def flat(self) -> dict[str, Any]:
        """Option name -> value, of the options that the method has a use for."""
        groups = (self.run, self.data, self.compute, self.optimizer, self.method)
        values = {k: v for group in groups for k, v in dataclasses.asdict(group).items()}
        return {k: v for k, v in values.items() if applies(k, self.run.method)}

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> Self:
        """The configuration of which `flat` gave these values; the data need not be there.

        Args:
          flat: option name -> value. Names of no option are left out; an option without a value has
            its default.

        Raises:
          ConfigError: there is no such method.
        """
        method = flat.get("method")
        if method not in METHODS:
            raise ConfigError(f"method must be one of {', '.join(METHODS)}; received {method}.")
        return cls(*(_group(part, flat) for part in (*_GROUPS, METHODS[method].Config)))


def _group(part: type, values: Mapping[str, Any]) -> Any:
    """An instance of a dataclass of options, from those of the values that are its fields."""
    names = (field.name for field in dataclasses.fields(part))
    return part(**{name: values[name] for name in names if name in values})


def applies(name: str, method: str) -> bool:
    """Whether the option `name` means anything to the method of that name."""
    method_class = METHODS[method]
    names = {field.name for field in _fields(method_class)}
    return name in names - unused_options(method_class)


def unused_options(method_class: type[Method]) -> set[str]:
    """Options of runs, data and optimizers that mean nothing to a method."""
    unused = set()
    if "teacher_optimizer" not in method_class.optimizers:
        unused |= {"teacher_learning_rate", "teacher_warmup_steps", "teacher_network"}
    if not method_class.joint_training:
        unused.add("student_wait_steps")
    if not method_class.unlabeled_views:
        unused |= {"unlabeled_ratio", "exclude_labeled", "extra"}
    if not any(view.startswith("strong") for view in method_class.unlabeled_views):
        unused |= {
            "strong",
            "randaugment_layers",
            "randaugment_magnitude",
            "autoaugment_policy",
            "cutout",
        }
    return unused


def _fields(method_class: type[Method]) -> Iterator[dataclasses.Field]:
    """The fields of all options of a run of the method."""
    for part in (*_GROUPS, method_class.Config):
        yield from dataclasses.fields(part)


def make(settings: Mapping[str, Any]) -> Config:
    """The configuration of a run, checked.

    A setting is never changed. What is not set comes from the dataset's recipe, else from the
    method's `defaults`, else from the option's default, but if a method's default is 0 or False,
    the recipe does not override it. What is not set gives way in a small run: a batch to the number
    of labeled images, a number of steps to a share of the run's steps.

    Args:
      settings: option name -> value, of the options that are set explicitly.

    Raises:
      ConfigError: a value is out of range, unknown, or of no use to the method.
    """
    dataset = _dataset(settings)
    values = _resolve(settings, dataset)
    values = _fit_to_run(values, settings, dataset)
    return _checked(values)


def _dataset(settings: Mapping[str, Any]) -> Dataset:
    """The dataset; raises ConfigError unless it, the method and every name that is set exist."""
    chosen = _group(RunConfig, {k: settings[k] for k in ("dataset", "method") if k in settings})
    options.check(chosen)
    dataset = data.find(chosen.dataset, settings.get("data_dir", ""))
    unused = sorted(name for name in settings if not applies(name, chosen.method))
    if unused:
        raise ConfigError(f"method={chosen.method} has no use for {', '.join(unused)}.")
    return dataset


def _resolve(settings: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Option name -> value, by the order of precedence that `make` states.

    A recipe says how much of a thing suits the images. Whether a method has the thing at all, the
    method says: with a default of 0 or False it leaves the thing out.
    """
    method_class = METHODS[settings.get("method", RunConfig.method)]
    values = {field.name: field.default for field in _fields(method_class)}
    hyperparameters = {f.name: f.default for f in dataclasses.fields(method_class.Config)}
    of_the_method = {**hyperparameters, **method_class.defaults}
    left_out = {name: value for name, value in of_the_method.items() if not value}
    recipe = {name: value for name, value in dataset.recipe.items() if name in values}
    values |= {**method_class.defaults, **recipe, **left_out, **settings}
    options.check(*(_group(part, values) for part in _GROUPS))
    return values


def _fit_to_run(
    values: dict[str, Any], settings: Mapping[str, Any], dataset: Dataset
) -> dict[str, Any]:
    """The values, with those made smaller that were not set and are too large for the run.

    A number of steps is at most `share_of_steps` of the run's steps (see `options.option`), or the
    share of them that the dataset's recipe gives it. It is 0 if the method has no use for it.
    """
    method_class, steps = METHODS[values["method"]], values["steps"]
    if values["split_file"]:
        values = values | _sizes_of_split_file(values["split_file"], settings)
    length = steps / dataset.recipe.get("steps", RunConfig.steps)  # in lengths of the recipe's run
    limits = {}
    for field in _fields(method_class):
        if field.metadata["share_of_steps"] is not None:
            in_recipe = int(dataset.recipe.get(field.name, 0) * length)
            limits[field.name] = max(int(steps * field.metadata["share_of_steps"]), in_recipe)
    unused = dict.fromkeys(unused_options(method_class).intersection(limits), 0)
    labels = values["num_labeled"] or (dataset.available or 0) - values["num_validation"]
    if labels > 0:
        limits |= {"labeled_batch": labels, "finetune_batch": labels}
    smaller = {k: min(values[k], limit) for k, limit in limits.items() if k not in settings}
    return values | smaller | unused


def _sizes_of_split_file(path: str, settings: Mapping[str, Any]) -> dict[str, int]:
    """The numbers of labeled and validation images of a split file."""
    ids = splits.read_ids(path)
    sizes = {"num_labeled": len(ids["labeled"]), "num_validation": len(ids["validation"])}
    for name, size in sizes.items():
        if settings.get(name, size) != size:
            raise ConfigError(
                f"split_file {path} has {size} {name.removeprefix('num_')} images; received "
                f"{name}={settings[name]}. Leave {name} out."
            )
    return sizes


def _checked(values: Mapping[str, Any]) -> Config:
    """The configuration of the values; raises ConfigError if it cannot be trained."""
    config = Config.from_flat(values)
    check_name(values["strategy"])
    for name in {values["network"], values["teacher_network"] or values["network"]}:
        networks.find(name)
    _check_weights(values)
    check_schedule(config)
    check_compute(config)
    return config


def _check_weights(values):
    """Refuses a file of weights that is not there, or that no network would read."""
    weights = values["network_weights"]
    names = values["network"], values["teacher_network"]
    if weights and not any(networks.takes_weights(name) for name in names):
        raise ConfigError(
            f"network_weights are for networks of keras.applications (keras:NAME); received "
            f"network={values['network']}."
        )
    if weights and not os.path.isfile(weights):
        raise ConfigError(f"network_weights {weights} is no file.")
