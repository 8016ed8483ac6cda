"""How the configuration of a run is made from settings, a recipe and defaults."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from mpl_tf import data, networks, options
from mpl_tf.config.check_features import check_features
from mpl_tf.config.check_networks import check_networks
from mpl_tf.config.checks import check_compute, check_labels, check_schedule, check_selection
from mpl_tf.config.config import GROUPS, Config, applies, fields, group
from mpl_tf.config.fit import fit_to_run
from mpl_tf.config.groups import RunConfig
from mpl_tf.config.places import located
from mpl_tf.config.pretraining import settings_of
from mpl_tf.config.recipes import LARS_RATES, RATES, recipe
from mpl_tf.data.dataset import Dataset
from mpl_tf.engine.devices import check_name
from mpl_tf.methods import METHODS
from mpl_tf.networks.options import NetworkConfig
from mpl_tf.options import ConfigError


def make(settings: Mapping[str, Any], dataset: Dataset | None = None) -> Config:
    """The configuration of a run, checked.

    A setting is never changed, but that its path is made absolute. What is not set comes from the
    recipe of pretrained networks if they are, else from the dataset's recipe, else from the
    method's `defaults`, else from the option's default, but if a method's default is 0 or False, no
    recipe overrides it. What is not set gives way in a small run; see `fit`.

    Images are not read, but those of a folder and of TFRecord files are counted for their recipe.

    Args:
      settings: option name -> value, of the options that are set explicitly.
      dataset: which counts its images; None is that of `settings`.

    Raises:
      ConfigError: a value is out of range, unknown, or of no use to the method.
    """
    settings = located(settings)
    dataset = dataset or _dataset(settings)
    name = settings.get("dataset", RunConfig.dataset)
    network, weights = (settings.get(k, "") for k in ("network", "network_weights"))
    pretrained = networks.is_pretrained(network, weights)
    method = settings.get("method", RunConfig.method)
    train = settings.get("train", NetworkConfig.train)
    head = settings.get("head", NetworkConfig.head)
    suited = recipe(name, dataset, method, train, pretrained, head)
    values = _resolve(settings, suited)

    def without(name: str) -> tuple[Any, Any]:
        others = {other: value for other, value in settings.items() if other != name}
        unset = _resolve(others, suited)
        return unset[name], fit_to_run(unset, others, suited, dataset)[name]

    _refuse_without_effect(values, settings, without)
    made = _checked(fit_to_run(values, settings, suited, dataset))
    if made.run.pretrain:
        pretraining(made, dataset)
    return made


def pretraining(run: Config, dataset: Dataset | None = None) -> Config:
    """The configuration of the phase before a run with `pretrain`, checked.

    It is that of a run by the method that `pretrain` names, with the run's images, networks,
    labeled batches and seed, and its steps if `pretrain` says no others.

    Args:
      run: of a `pretrain` that is not empty.
      dataset: which counts its images; None is that of the run.

    Raises:
      ConfigError: as for `make`, and where networks cannot start from an encoder of their own.
    """
    settings = settings_of(run)
    try:
        return make(settings, dataset)
    except ConfigError as error:
        raise ConfigError(f"pretrain={run.run.pretrain}: {error}") from error


def _dataset(settings: Mapping[str, Any]) -> Dataset:
    """The dataset; raises ConfigError unless it, the method and every name that is set exist."""
    chosen = group(RunConfig, {k: settings[k] for k in ("dataset", "method") if k in settings})
    options.check(chosen)
    dataset = data.find(chosen.dataset, settings.get("data_dir", ""))
    unused = sorted(name for name in settings if not applies(name, chosen.method))
    if unused:
        names = (field.name for field in fields(METHODS[chosen.method]))
        hint = options.hint(unused[0], filter(lambda name: applies(name, chosen.method), names))
        raise ConfigError(f"method={chosen.method} has no use for {', '.join(unused)}.{hint}")
    return dataset


def _resolve(settings: Mapping[str, Any], suited: Mapping[str, Any]) -> dict[str, Any]:
    """Option name -> value, by the order of precedence that `make` states.

    A recipe says how much of a thing suits the images. Whether a method has the thing at all, the
    method says: with a default of 0 or False it leaves the thing out.
    """
    method_class = METHODS[settings.get("method", RunConfig.method)]
    values: dict[str, Any] = {field.name: field.default for field in fields(method_class)}
    hyperparameters = {f.name: f.default for f in dataclasses.fields(method_class.Config)}
    of_the_method = {**hyperparameters, **method_class.defaults}
    left_out = {name: value for name, value in of_the_method.items() if not value}
    suited = {name: value for name, value in suited.items() if name in values}
    fixed = method_class.fixed
    values |= {**method_class.defaults, **suited, **left_out, **fixed}
    if settings.get("optimizer") == "lars":
        values |= {name: LARS_RATES * values[name] for name in RATES if name in values}
    for name, value in fixed.items():
        if settings.get(name, value) != value:
            raise ConfigError(
                f"{name} is {value} with method={method_class.registered_name}, and nothing else; "
                f"received {settings[name]}. Leave it out."
            )
    resolved = {**values, **settings}
    options.check(*(group(part, resolved) for part in (*GROUPS, method_class.Config)))
    return resolved


def _refuse_without_effect(
    values: Mapping[str, Any],
    settings: Mapping[str, Any],
    without: Callable[[str], tuple[Any, Any]],
) -> None:
    """Refuses a setting that nobody reads beside the other ones.

    Args:
      values: option name -> value, of all options.
      settings: what is set. A value that is no other than if it were not set is let pass: run.flags
        sets everything.
      without: gives the values of an option if it were not set: as it is, and fitted to the run.
    """
    for field in fields(METHODS[values["method"]]):
        name, beside = field.name, field.metadata["beside"]
        if beside is None or name not in settings:
            continue
        other, in_effect = beside
        value = values[other]
        has_effect = value in in_effect if in_effect else bool(value)
        if not has_effect and settings[name] not in without(name):
            text = f"{name} has no effect beside {other}={value}"
            if in_effect == ("",):
                raise ConfigError(f"{text}. Leave one of them out.")
            words = f"{other} one of {', '.join(in_effect)}" if in_effect else f"{other} above 0"
            raise ConfigError(f"{text}; it has with {words}. Leave it out, or set {other}, too.")


def _checked(values: Mapping[str, Any]) -> Config:
    """The configuration of the values; raises ConfigError if it cannot be trained."""
    config = Config.from_flat(values)
    check_name(values["strategy"])
    check_schedule(config)
    check_labels(config)
    check_selection(config)
    check_compute(config)
    check_networks(config)
    check_features(config)
    return config
