"""What is delivered of the best candidate: its export, lists of images, and pictures of them."""

import contextlib
import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import config, files
from mpl_tf.auto import label_next, sheets, suspicious, tables
from mpl_tf.auto.material import Material
from mpl_tf.config import flags
from mpl_tf.console import log
from mpl_tf.data.dataset import Images, Source
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
    training,
)
from mpl_tf.serving import saved_model

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
    lines = flags.to_lines(settings)

    def trained(overwrite: bool) -> keras.Model:
        training.train_and_evaluate(settings, path, lines, overwrite=overwrite, source=source)
        _, network = restore.restore(restore.find(path))
        return network

    try:
        return trained(overwrite=replaced)
    except (ConfigError, checkpoint.CheckpointError) as error:
        if replaced or not is_there or faults.is_of_disk(error):
            raise
        log.warning(f"The run in {path} cannot be continued and begins anew: {error}")
        return trained(overwrite=True)


def drop(path: str) -> None:
    """Removes a run, and nothing else that lies in its folder.

    Args:
      path: the run folder, which need not be there.

    Raises:
      OSError: it cannot be removed.
    """
    for name in (*folder.ARTIFACTS, folder.EVALUATION, folder.LOCK):
        for file in (name, files.partial_name(name)):
            files.vanish(os.path.join(path, file))
    with contextlib.suppress(OSError):  # somebody has put something there
        os.rmdir(path)


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


def export(path: str, network: keras.Model, class_names: Sequence[str], temperature: float) -> str:
    """The network as `path`/export/1, the only version; returns its folder.

    Raises:
      OSError: it cannot be written.
    """
    directory = os.path.join(path, folder.EXPORT)
    files.vanish(directory)  # of an interrupted start
    return saved_model.export(network, directory, class_names, temperature=temperature)


def lists(
    path: str, material: Material, probs: np.ndarray, out_of_fold: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Writes predictions, images to label next and suspicious labels, each with a contact sheet.

    Args:
      path: the folder.
      material: the images.
      probs: float [U, K], class probabilities of the unlabeled images.
      out_of_fold: float [N, K], of the labeled images, each without its label's part in it.
      count: images to label next, at most.

    Returns:
      (positions of the unlabeled images to label next, those of labeled images with suspicious
      labels).

    Raises:
      OSError: a list cannot be written.
    """
    source, names = material.source, material.source.class_names
    train, unlabeled = source.train, source.unlabeled
    chosen = np.zeros(0, np.int64)
    if isinstance(unlabeled, Images):
        tables.write_predictions(
            os.path.join(path, tables.PREDICTIONS), unlabeled.ids, probs, names
        )
        first = np.arange(min(len(unlabeled), sheets.MOST + 1))
        _sheet(
            path,
            tables.PREDICTIONS,
            "Unlabeled images",
            unlabeled,
            first,
            _likeliest(probs[first], names, 1),
        )
        chosen = label_next.choose(probs, material.features["unlabeled"], count, material.seed)
        tables.write_label_next(
            os.path.join(path, tables.LABEL_NEXT), unlabeled.ids, probs, names, chosen
        )
        _sheet(
            path,
            tables.LABEL_NEXT,
            "Images to label next",
            unlabeled,
            chosen,
            _likeliest(probs[chosen], names, 2),
        )
    positions, classes = suspicious.find(out_of_fold, train.labels)
    tables.write_suspicious(
        os.path.join(path, tables.SUSPICIOUS),
        train.ids,
        train.labels,
        out_of_fold,
        names,
        positions,
        classes,
    )
    lines = [
        (f"labeled {names[train.labels[i]]}", f"predicted {out_of_fold[i, k]:.0%} {names[k]}")
        for i, k in zip(positions, classes, strict=True)
    ]
    _sheet(path, tables.SUSPICIOUS, "Labels that predictions contradict", train, positions, lines)
    answered = np.all(np.isfinite(out_of_fold), axis=-1)
    right = np.argmax(out_of_fold[answered], axis=-1) == train.labels[answered]
    if len(right):
        log.info(
            f"{len(positions)} of {len(train)} labels are suspicious to a classifier that is right "
            f"in {np.mean(right):.0%} of them: look at them in {tables.SUSPICIOUS}"
        )
    return chosen, positions


def _likeliest(probs: np.ndarray, names: Sequence[str], count: int) -> list[tuple[str, ...]]:
    best = np.argsort(-probs, axis=-1, kind="stable")[:, :count]
    return [
        tuple(f"{row[k]:.0%} {names[k]}" for k in classes)
        for row, classes in zip(probs, best, strict=True)
    ]


def _sheet(
    path: str,
    list_name: str,
    title: str,
    images: Images,
    positions: np.ndarray,
    lines: Sequence[Sequence[str]],
) -> None:
    """A contact sheet beside a list; images beyond those that have room are counted, not read."""
    shown = images.take(positions[: sheets.MOST])
    captions = [(sheets.end_of(name), *line) for name, line in zip(shown.ids, lines, strict=False)]
    file = os.path.join(path, os.path.splitext(list_name)[0] + ".png")
    if len(positions) > len(shown):
        title += f", the first {len(shown)}"
    sheets.draw(file, title=title, images=list(shown.images), captions=captions)
