"""The configuration of one run, and which options a method has."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Self

from mpl_tf.config.groups import ComputeConfig, OptimizerConfig, RunConfig
from mpl_tf.data.options import DataConfig
from mpl_tf.engine.method import Method, MethodConfig
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.features.options import FeatureConfig, is_cached
from mpl_tf.methods import METHODS
from mpl_tf.networks.options import NetworkConfig
from mpl_tf.options import ConfigError

GROUPS = (RunConfig, NetworkConfig, DataConfig, FeatureConfig, ComputeConfig, OptimizerConfig)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. Make it with `make.make`."""

    run: RunConfig
    network: NetworkConfig
    data: DataConfig
    features: FeatureConfig
    compute: ComputeConfig
    optimizer: OptimizerConfig
    method: MethodConfig

    @property
    def is_cached(self) -> bool:
        """Whether the run trains heads, on cached features of a backbone."""
        return is_cached(self.features, self.network.train)

    def flat(self) -> dict[str, Any]:
        """Option name -> value, of the options that the method has a use for."""
        values = {k: v for part in vars(self).values() for k, v in dataclasses.asdict(part).items()}
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
        return cls(*(group(part, flat) for part in (*GROUPS, METHODS[method].Config)))


def group(part: type, values: Mapping[str, Any]) -> Any:
    """An instance of a dataclass of options, from those of the values that are its fields."""
    names = (field.name for field in dataclasses.fields(part))
    return part(**{name: values[name] for name in names if name in values})


def applies(name: str, method: str) -> bool:
    """Whether the option `name` means anything to the method of that name."""
    method_class = METHODS[method]
    names = {field.name for field in fields(method_class)}
    return name in names - unused_options(method_class)


def unused_options(method_class: type[Method]) -> set[str]:
    """Options of runs, data and optimizers that mean nothing to a method."""
    needs = {field.name: field.metadata["needs"] for field in fields(method_class)}
    return {name for name, need in needs.items() if need and need not in features(method_class)}


def features(method_class: type[Method]) -> set[str]:
    """What a method has that an option may need.

    Its optimizers, by name; "unlabeled", "weak", "strong": unlabeled images, and which views of
    them; "joint_training": its teacher learns in the student's steps; "stored_predictions": its
    teacher predicts once, before them.
    """
    views = method_class.unlabeled_views
    parts = {
        "unlabeled": bool(views),
        "joint_training": method_class.joint_training,
        "stored_predictions": issubclass(method_class, StoredTeacherMethod),
    }
    families = {view.partition("_")[0] for view in views}
    return {*method_class.optimizers, *families, *(name for name, on in parts.items() if on)}


def fields(method_class: type[Method]) -> Iterator[dataclasses.Field]:
    """The fields of all options of a run of the method."""
    for part in (*GROUPS, method_class.Config):
        yield from dataclasses.fields(part)
