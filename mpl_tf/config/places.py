"""Where the files of a run lie: its paths are absolute, so that it is read from anywhere."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from mpl_tf.config.config import fields
from mpl_tf.methods import METHODS
from mpl_tf.networks.published import IMAGENET
from mpl_tf.paths import absolute


def located(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run in which all paths are absolute, and one place has one name.

    Args:
      settings: option name -> value.
    """
    names = {f.name for each in METHODS.values() for f in fields(each) if f.metadata["path"]}
    functions: dict[str, Callable[[str], str]] = dict.fromkeys(names, _path)
    functions |= {"dataset": dataset, "network": network, "teacher_network": network}
    return {
        name: functions[name](value) if name in functions and isinstance(value, str) else value
        for name, value in settings.items()
    }


def dataset(name: str) -> str:
    """A dataset's name; the path after `folder:` or `tfrecord:` is absolute."""
    prefix, _, path = name.partition(":")
    return f"{prefix}:{absolute(path)}" if prefix in ("folder", "tfrecord") and path else name


def network(name: str) -> str:
    """A network's name; the path after `file:`, or of a folder after `hub:`, is absolute."""
    prefix, _, path = name.partition(":")
    is_path = re.fullmatch("(?i)file", prefix) or (
        re.fullmatch("(?i)hub", prefix) and os.path.isdir(os.path.expanduser(path))
    )
    return f"{prefix}:{absolute(path)}" if is_path and path else name


def _path(path: str) -> str:
    return path if path == IMAGENET else absolute(path)
