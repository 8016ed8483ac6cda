"""`info.json` beside TFRecord files: the names of the classes, and where chunks of records begin.

Without it the files are scanned, and class ids stand for the names.
"""

import json
import os
from collections.abc import Iterable
from typing import NotRequired, TypedDict

import numpy as np
import tensorflow as tf

from mpl_tf import files, forms
from mpl_tf.data.sources.tfrecord_format import Shard
from mpl_tf.options import ConfigError

INFO = "info.json"
_LARGEST = 2**62  # bytes of a file, and records


class _Entry(TypedDict):
    """What is known of a file; `every` is the number of records in a chunk."""

    size: int
    records: int
    every: int
    offsets: list[int]


class _Info(TypedDict):
    class_names: NotRequired[list[str | int] | None]
    shards: NotRequired[dict[str, _Entry]]


def write(folder: str, shards: Iterable[Shard], class_names: Iterable[str]) -> None:
    """Writes info.json."""
    table = {
        os.path.basename(shard.path): _Entry(
            size=shard.size,
            records=shard.records,
            every=shard.records_per_chunk,
            offsets=shard.offsets.tolist(),
        )
        for shard in shards
    }
    content = json.dumps({"class_names": list(class_names), "shards": table})
    files.write_text(os.path.join(folder, INFO), content)


def read(folder: str) -> tuple[tuple[str, ...] | None, dict[str, Shard]]:
    """The content of info.json.

    Args:
      folder: where it lies.

    Returns:
      (class_names, shards), the latter by path; (None, {}) without the file. Both entries are
      optional in it, so one can be written by hand to name the classes.

    Raises:
      ConfigError: the file has another form, contradicts itself, or names a class twice.
    """
    path = os.path.join(folder, INFO)
    if not tf.io.gfile.exists(path):
        return None, {}
    try:
        if "://" not in path:
            files.check_regular(path)
        with tf.io.gfile.GFile(path) as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError, tf.errors.OpError) as error:
        fault = files.reason(error)
    else:
        fault = forms.fault(content, _Info, "content") or _contradiction(content)
    if fault:
        raise ConfigError(
            f"{path} is damaged, or not this program's: {fault}. Without it the files are scanned."
        )
    shards = {}
    for name, entry in content.get("shards", {}).items():
        at = os.path.join(folder, name)
        offsets = np.array(entry["offsets"], np.int64)
        shards[at] = Shard(at, entry["size"], entry["records"], entry["every"], offsets)
    names = tuple(map(str, content.get("class_names") or ()))
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path} names the class {name!r} twice; each needs its own name.")
    return names or None, shards


def _contradiction(content: _Info) -> str:
    """What cannot be true of any file, in words; "" if nothing."""
    for name, entry in content.get("shards", {}).items():
        size, count, every = entry["size"], entry["records"], entry["every"]
        offsets = entry["offsets"]
        chunks = -(-count // every) if every > 0 else -1
        if min(size, count) < 0 or max(size, count, every) > _LARGEST or chunks < 0:
            return f"{name} has a size, a number of records or an every that is impossible"
        if len(offsets) != chunks:
            return f"{name} has {len(offsets)} offsets for {chunks} chunks"
        edges = np.array([*offsets, size], object)
        if chunks and (edges[0] != 0 or (edges[1:] <= edges[:-1]).any()):
            return f"the offsets of {name} do not increase from 0 to less than its size"
    return ""
