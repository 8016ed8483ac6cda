"""The flags of a run: those of `python -m mpl_tf.train`, made of the options."""

import dataclasses
from collections.abc import Iterator, Sequence

from mpl_tf import cli
from mpl_tf.config.config import Config
from mpl_tf.config.groups import ComputeConfig, OptimizerConfig, RunConfig
from mpl_tf.config.make import make
from mpl_tf.data.options import DataConfig
from mpl_tf.engine.method import MethodConfig
from mpl_tf.methods import METHODS
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
    """What a command line asks for: a run, and where and how it runs; `workdir` is not empty."""

    config: Config
    launch: Launch


def _sections() -> Iterator[tuple[str, list[dataclasses.Field]]]:
    """(title, fields) of every group of flags; a flag of several groups stands in the first."""
    names: set[str] = set()
    groups: list[tuple[str, type]] = [
        ("What to run", RunConfig),
        ("Images and views", DataConfig),
        ("Devices and precision", ComputeConfig),
        ("Optimizers", OptimizerConfig),
        ("Every method", MethodConfig),
    ]
    groups += [(f"Method {name}", method.Config) for name, method in METHODS.items()]
    groups += [("Where and how", Launch)]
    for title, group in groups:
        fields = [field for field in dataclasses.fields(group) if field.name not in names]
        names |= {field.name for field in fields}
        if fields:
            yield title, fields


def parse(argv: Sequence[str]) -> Job:
    """A command line as the run that it asks for.

    Args:
      argv: the arguments after the program's name; see `cli.read`.

    Raises:
      ConfigError: the arguments cannot be used.
      cli.HelpRequested: `--help` is among them.
    """
    sections = list(_sections())
    settings, files = cli.read(argv, [field for _, fields in sections for field in fields])
    cli.refuse_files(files)
    help_requested = settings.pop("help", False)
    names = {field.name for field in dataclasses.fields(Launch)}
    launch = Launch(**{name: settings.pop(name) for name in names & settings.keys()})
    config = make(settings)
    if not launch.workdir:
        launch = dataclasses.replace(launch, workdir=_default_workdir(config.run))
    if help_requested:
        defaults = config.flat() | dataclasses.asdict(launch)
        raise cli.HelpRequested(
            f"Defaults stand in brackets, as they are for --dataset={config.run.dataset} "
            f"--method={config.run.method};\n"
            "add --help to flags of your own to see what they resolve to.\n\n"
            + cli.describe(sections, defaults)
        )
    return Job(config, launch)


def to_lines(config: Config) -> list[str]:
    """The configuration as flags, one a line, for `--flagfile`."""
    return [f"--{name}={value}" for name, value in config.flat().items()]


def _default_workdir(run: RunConfig) -> str:
    dataset = "".join(c if c.isalnum() or c in "._-" else "-" for c in run.dataset)
    return f"runs/{dataset}-{run.method}-{run.seed}"
