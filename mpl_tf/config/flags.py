"""Command-line flags, made from the config dataclasses: the only file that names absl.flags."""

import dataclasses
import textwrap

from absl import flags

from mpl_tf.config.groups import ComputeConfig, OptimizerConfig, RunConfig
from mpl_tf.config.make import Config, make
from mpl_tf.data.options import DataConfig
from mpl_tf.engine.method import MethodConfig
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError

_DEFINERS = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


@dataclasses.dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
      config: config.Config.
      workdir: str, the run folder.
      overwrite: bool, whether a run that is there may be replaced.
      workers, worker_index: str and int, as for devices.make_strategy.
    """

    config: Config
    workdir: str
    overwrite: bool
    workers: str
    worker_index: int


class HelpRequested(Exception):  # noqa: N818 - it is no error
    """The command line asks for help; the message is the help text."""


def _sections():
    """(title, dataclass fields) of every group of flags; a name occurs once."""
    seen = set()
    groups = [("What to run", RunConfig), ("Images and views", DataConfig)]
    groups += [("Devices and precision", ComputeConfig)]
    groups += [("Optimizers", OptimizerConfig)]
    groups += [("Every method", MethodConfig)]
    groups += [(f"Method {name}", kind.Config) for name, kind in METHODS.items()]
    for title, part in groups:
        fields = [f for f in dataclasses.fields(part) if f.name not in seen]
        seen |= {f.name for f in fields}
        if fields:
            yield title, fields


def define(values):
    """Defines all flags on `values`; their defaults are None, which means "not set".

    Args:
      values: absl.flags.FlagValues.
    """
    for _, fields in _sections():
        for field in fields:
            definer = _DEFINERS[field.type]
            definer(field.name, None, field.metadata["help"], flag_values=values)
    flags.DEFINE_string(
        "workdir",
        None,
        "Run folder; default runs/<dataset>-<method>-<seed> under the current folder.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Replace the run in the run folder, if there is one.",
        flag_values=values,
    )
    flags.DEFINE_string("workers", "", "Addresses of all workers.", flag_values=values)
    flags.DEFINE_integer("worker_index", -1, "Place among --workers.", flag_values=values)
    flags.DEFINE_bool("help", False, "Show this text.", flag_values=values)
    flags.DEFINE_integer(
        "verbosity", None, "Show TensorFlow's own messages too.", flag_values=values
    )


def parse(argv):
    """A command line as a Command.

    Args:
      argv: sequence of str, the arguments after the program's name; `--flagfile=PATH` reads more
        from a file, one flag a line, and `#` starts a comment line.

    Returns:
      Command.

    Raises:
      ConfigError: the arguments cannot be used.
      HelpRequested: `--help` is among them.
    """
    values = flags.FlagValues()
    define(values)
    try:
        rest = values(["train", *argv])[1:]
    except flags.Error as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"--flagfile: {error}") from error
    if rest:
        raise ConfigError(f"unexpected argument {rest[0]!r}; every setting is a --flag.")
    names = [field.name for _, fields in _sections() for field in fields]
    settings = {name: values[name].value for name in names if values[name].value is not None}
    config = make(settings)
    if values["help"].value:
        raise HelpRequested(_help_text(config))
    run = config.run
    workdir = values["workdir"].value or _default_workdir(run)
    workers, index = values["workers"].value, values["worker_index"].value
    return Command(config, workdir, values["overwrite"].value, workers, index)


def to_lines(config):
    """The configuration as flags, one a line, for `--flagfile`."""
    return [f"--{name}={value}" for name, value in config.flat().items()]


def _default_workdir(run):
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in run.dataset)
    return f"runs/{name}-{run.method}-{run.seed}"


def _help_text(config):
    """Every flag with its meaning, range and default; the defaults are those of `config`."""
    run, flat = config.run, config.flat()
    lines = [
        "Train a method on a dataset, finetune, evaluate, draw and export.",
        "",
        "  python -m mpl_tf.train [--flag=value ...]",
        "  python -m mpl_tf.train --flagfile=flags/digits/mpl.flags",
        "",
        f"Defaults stand in brackets, as they are for --dataset={run.dataset} "
        f"--method={run.method};",
        "add --help to flags of your own to see what they resolve to.",
    ]

    def entry(name, kind, text, default):
        lines.append(f"  --{name}={kind}  [{default}]" if kind else f"  --{name}  [{default}]")
        lines.extend(textwrap.wrap(text, 90, initial_indent="      ", subsequent_indent="      "))

    for title, fields in _sections():
        lines.extend(["", title])
        for field in fields:
            choices = field.metadata["choices"]
            choices = choices() if callable(choices) else choices
            kind = "|".join(sorted(choices)) if choices else field.type.__name__
            if len(kind) > 80:  # the text names them
                kind = "name"
            entry(field.name, kind, field.metadata["help"], flat.get(field.name, "not used"))
    lines.extend(["", "Where and how"])
    folder = _default_workdir(run)
    entry("workdir", "path", "Run folder: everything a run leaves lies there.", folder)
    entry("overwrite", "", "Replace the run in the run folder, if there is one.", "off")
    entry(
        "workers",
        "host:port,...",
        "For strategy=multi_worker: the addresses of all workers, the same on each. TF_CONFIG does "
        "as well.",
        "none",
    )
    entry(
        "worker_index", "int", "The place of this process among them; 0 writes the files.", "none"
    )
    entry("flagfile", "path", "Read flags from a file, one a line.", "none")
    entry("verbosity", "int", "Show TensorFlow's own messages too, whatever its value.", "off")
    lines.extend(["", "Exit status"])
    lines.extend(
        [
            "  0 done; 1 failed while training, or no room on the disk; 2 bad input;",
            "  130 stopped by Ctrl-C; 143 stopped by SIGTERM, the step under way saved.",
            "  The same command continues from the last checkpoint, also after a kill.",
        ]
    )
    return "\n".join(lines)
