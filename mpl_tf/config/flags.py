"""The flags of a run: those of `python -m mpl_tf.train`, made of the options."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mpl_tf import cli, options
from mpl_tf.config.config import GROUPS, Config, group
from mpl_tf.config.groups import ComputeConfig, OptimizerConfig, RunConfig
from mpl_tf.config.make import make
from mpl_tf.data.options import DataConfig
from mpl_tf.engine import devices
from mpl_tf.features.options import FeatureConfig
from mpl_tf.methods import METHODS
from mpl_tf.networks.options import NetworkConfig
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class Launch:
    """Where a run lies, and which of its processes this is.

    Unlike a Config it says nothing of what is trained.
    """

    workdir: str = option(
        "",
        "Run folder: everything a run leaves lies there. If empty, runs/<dataset>-<method>-<seed> "
        "under the current folder.",
        path=True,
    )
    overwrite: bool = option(False, "Replace the run in the run folder, if there is one.")
    workers: str = option(
        "",
        "For strategy=multi_worker: the addresses of all workers, host:port,host:port,..., the "
        "same on each. TF_CONFIG does as well.",
    )
    worker_index: int = option(
        -1, "The place of this process among --workers, from 0; worker 0 writes the files."
    )


@dataclasses.dataclass(frozen=True)
class Job:
    """What a command line asks for.

    Attributes:
      config: of a run.
      launch: where and how it runs; `workdir` is not empty.
      settings: option name -> value, of the options of the run that are set.
    """

    config: Config
    launch: Launch
    settings: Mapping[str, Any]


def _all_fields() -> list[dataclasses.Field]:
    """A field for each flag; methods may share one, of one type.

    Raises:
      TypeError: a hyperparameter has the name of a general flag, or of another method's
        hyperparameter of another type.
    """
    general = {f.name: f for group in (*GROUPS, Launch) for f in dataclasses.fields(group)}
    reserved = {*general, *cli.FLAGS}
    of_methods: dict[str, dataclasses.Field] = {}
    for method in METHODS.values():
        for field in dataclasses.fields(method.Config):
            other = of_methods.setdefault(field.name, field)
            if field.name in reserved or other.type is not field.type:
                raise TypeError(
                    f"{method.Config.__name__}.{field.name} needs another name: a flag that means "
                    "something else, or has another type, is called so."
                )
    return [*general.values(), *of_methods.values()]


def _sections(method: str) -> list[tuple[str, Sequence[dataclasses.Field]]]:
    """(title, fields) of every group of flags of a method."""
    method_class = METHODS[method]
    about = (method_class.__doc__ or "").partition("\n")[0]
    groups = [
        ("What to run", RunConfig),
        ("Networks of a backbone and a head", NetworkConfig),
        ("Images and views", DataConfig),
        ("Cached features", FeatureConfig),
        ("Devices and precision", ComputeConfig),
        ("Optimizers", OptimizerConfig),
        (f"Method {method}: {about}", method_class.Config),
        ("Where and how", Launch),
    ]
    return [(title, dataclasses.fields(group)) for title, group in groups]


def read(argv: Sequence[str]) -> dict[str, Any]:
    """What a command line sets, of all flags: name -> value; see `cli.read`.

    Raises:
      ConfigError: the arguments cannot be used.
    """
    fields = _all_fields()
    settings, files = cli.read(argv, fields)
    cli.refuse_files(files, fields)
    return settings


def parse(argv: Sequence[str], *, with_devices: bool = False) -> Job:
    """A command line as the run that it asks for.

    Args:
      argv: the arguments after the program's name; see `cli.read`.
      with_devices: whether the run's devices are made, or its workers joined, where that must come
        before TensorFlow looks at TFRecord files: for a program that trains, once.

    Raises:
      ConfigError: the arguments cannot be used.
      cli.HelpRequested: `--help` is among them.
    """
    settings = read(argv)
    help_requested = settings.pop("help", False)
    names = {field.name for field in dataclasses.fields(Launch)}
    launch = Launch(**{name: settings.pop(name) for name in names & settings.keys()})
    is_read_by_tensorflow = str(settings.get("dataset")).startswith("tfrecord:")
    if with_devices and is_read_by_tensorflow and not help_requested:
        _set_up_devices(settings, launch)
    config = make(settings)
    if not launch.workdir:
        launch = dataclasses.replace(launch, workdir=_default_workdir(config.run))
    if help_requested:
        run, defaults = config.run, config.flat() | dataclasses.asdict(launch)
        raise cli.HelpRequested(
            f"The flags that mean something to --method={run.method}; in brackets is what each is "
            f"on\n--dataset={run.dataset} if it is not set. Add --help to flags of your own to see "
            "what they resolve to:\nother methods have other flags, other datasets other values."
            "\n\n" + cli.describe(_sections(run.method), defaults)
        )
    return Job(config, launch, settings)


def _set_up_devices(settings: Mapping[str, Any], launch: Launch) -> None:
    """Makes several devices, or joins other workers, before TensorFlow looks at TFRecord files.

    Later it could not. `make` looks at them, for their recipe.

    Raises:
      ConfigError: as `devices.make_strategy`; or an option of the devices is out of range.
    """
    compute: ComputeConfig = group(ComputeConfig, settings)
    options.check(compute)
    devices.make_strategy(
        compute.strategy, compute.replicas, launch.workers, launch.worker_index, compute.stages
    )


def to_lines(config: Config) -> list[str]:
    """The configuration as flags, one a line, for `--flagfile`."""
    return [cli.line(name, value) for name, value in config.flat().items()]


def _default_workdir(run: RunConfig) -> str:
    prefix, colon, path = run.dataset.partition(":")  # an absolute path: its end tells enough
    parts = path.split(os.sep)[-1 if prefix == "folder" else -2 :]
    dataset = f"{prefix}{colon}{'-'.join(parts)}"
    dataset = "".join(c if c.isalnum() or c in "._-" else "-" for c in dataset)
    return f"runs/{dataset}-{run.method}-{run.seed}"
