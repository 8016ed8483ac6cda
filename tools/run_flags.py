"""The `--flags` of tools that train: flags of mpl_tf.train that all their runs have."""

import dataclasses
from collections.abc import Collection

from mpl_tf.config import flags
from mpl_tf.options import ConfigError

# Where a run lies; and a file of flags, which may have any of the others.
_OF_TOOLS = {*(field.name for field in dataclasses.fields(flags.Launch)), "flagfile"}


def arguments(text: str, set_here: Collection[str], name: str = "--flags") -> list[str]:
    """Comma-separated flag=value as arguments of mpl_tf.train.

    Args:
      text: may be empty.
      set_here: flags that the tool sets, beside those that say where a run lies.
      name: what the text is called.

    Raises:
      ConfigError: it has a flag that the tool sets.
    """
    of_runs = [flag.strip() for flag in text.split(",") if flag.strip()]
    check([flag.partition("=")[0] for flag in of_runs], set_here, name)
    return [f"--{flag}" for flag in of_runs]


def check(names: Collection[str], set_here: Collection[str], name: str) -> None:
    """Raises ConfigError if the tool sets a flag of these names; arguments as of `arguments`."""
    of_tool = {*set_here, *_OF_TOOLS}
    if refused := sorted(n for n in names if n in of_tool or n.removeprefix("no") in of_tool):
        raise ConfigError(f"{name} must leave {', '.join(refused)} to this tool.")
