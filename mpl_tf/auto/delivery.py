"""What is delivered of the best candidate: its run on all labels, its answers, its export."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import config, files
from mpl_tf.auto import staging
from mpl_tf.auto.material import Material
from mpl_tf.console import log
from mpl_tf.data.dataset import Source
from mpl_tf.engine import calibration as engine
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.runs import (
    calibration,
    callbacks,
    checkpoint,
    faults,
    folder,
    restore,
    results,
    training,
)
from mpl_tf.serving import loading, saved_model

_ROWS = 4096  # features that a head sees at once


class NotTrainedError(Exception):
    """A candidate could not be trained on all labels, and others may be; the message says why."""


def train(settings: config.Config, source: Source, path: str) -> keras.Model:
    """A run of a candidate on all labels; one that is there is continued, or taken as it is.

    Args:
      settings: of the candidate.
      source: the images.
      path: the run folder. A run of other settings, which was delivered by a start with less time,
        is replaced, and so is one that is damaged.

    Returns:
      The network that the run delivers, images -> logits.

    Raises:
      NotTrainedError: its training failed.
      ConfigError, checkpoint.CheckpointError: the disk is full, or cannot be written.
    """
    try:
        return _run(settings, source, path)
    except (callbacks.NonFiniteError, ConfigError, checkpoint.CheckpointError) as error:
        if faults.is_of_disk(error):
            raise
        raise NotTrainedError(str(error)) from error
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        if not faults.is_short_of_memory(error):
            raise
        raise NotTrainedError(f"there is not enough memory ({files.reason(error)})") from error


def _run(settings: config.Config, source: Source, path: str) -> keras.Model:
    is_there, replaced = folder.is_run(path), False
    if is_there:
        try:
            folder.state(path, settings.flat())
        except ConfigError:
            replaced = True

    def trained(overwrite: bool) -> keras.Model:
        training.train_and_evaluate(settings, path, overwrite=overwrite, source=source)
        _, network = restore.restore(restore.find(path))
        return network

    try:
        return trained(overwrite=replaced)
    except (ConfigError, checkpoint.CheckpointError) as error:
        if replaced or not is_there or faults.is_of_disk(error):
            raise
        log.warning(f"The run in {path} cannot be continued and begins anew: {error}")
        return trained(overwrite=True)


def logits(network: keras.Model, material: Material, part: str, is_cached: bool) -> np.ndarray:
    """Logits of the images of a part of the dataset, float32 [n, K].

    Args:
      network: images -> logits.
      material: the images.
      part: "unlabeled", "test" or "validation".
      is_cached: whether the network has the backbone of the material, whose features are there.
    """
    if is_cached:
        rows = material.features[part]
        batches = (rows[first : first + _ROWS] for first in range(0, len(rows), _ROWS))
        return engine.logits(parts.head(network), map(tf.convert_to_tensor, batches))
    (values,) = calibration.logits({"": network}, getattr(material.source, part)).values()
    return values


def export(
    path: str,
    staged: str,
    network: keras.Model,
    class_names: Sequence[str],
    temperature: float,
    config: Mapping[str, Any],
) -> tuple[str, str]:
    """The network as an export: the one that is there, if it has these weights, else a new version.

    Args:
      path: the folder of all, in which an earlier delivery may lie, of the same images.
      staged: the folder in which this one is written.
      network: images -> logits.
      class_names: K of them.
      temperature: what logits are divided by.
      config: what the network was trained with.

    Returns:
      (the folder of the export, relative to `path` once the delivery is there; a digest of its
      weights, which results.json has as "weights_digest").

    Raises:
      OSError: it cannot be written.
    """
    digest = results.weights_digest({"network": network})
    there = staging.delivered(path)
    same = {"weights_digest": digest, "calibration_temperature": temperature}
    if all(there.get(name) == value for name, value in same.items()):
        with contextlib.suppress(ConfigError):  # it is gone or damaged
            loading.load(os.path.join(path, there["export"]))
            return there["export"], digest
    directory = os.path.join(staged, folder.EXPORT)
    written = saved_model.export(
        network, directory, class_names, config=config, temperature=temperature
    )
    last = max(saved_model.versions(os.path.join(path, folder.EXPORT)), default=0)
    os.rename(written, os.path.join(directory, str(last + 1)))
    return os.path.join(folder.EXPORT, str(last + 1)), digest
