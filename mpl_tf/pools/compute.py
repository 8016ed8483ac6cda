"""Predictions of a whole pool, shard after shard, into a folder."""

import errno
import os
import shutil
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tqdm

from mpl_tf import console
from mpl_tf.console import log
from mpl_tf.features.room import in_words
from mpl_tf.options import ConfigError
from mpl_tf.pools import damage, ordered, predictions, writing
from mpl_tf.pools.ordered import Positioned
from mpl_tf.pools.predictions import About

_EVERY = 60.0  # seconds between two lines about the progress, at least
_SOON = 5.0  # seconds after which the first one can tell how long it takes

# Images uint8 [n, H, W, C] -> class probabilities [n, K].
Classify = Callable[[tf.Tensor], tf.Tensor]


def store(path: str, about: About, pool: Positioned, classify: Classify, batch: int) -> None:
    """Computes the shards that are not there yet; says what it will take, and how far it is.

    Args:
      path: the folder; it is made, or continued if it holds the same.
      about: of the predictions.
      pool: the images.
      classify: the model.
      batch: images that are classified at once.

    Raises:
      ConfigError: the folder holds something else or cannot be written, there is no room, an image
        cannot be read, or the model's answers are no numbers.
      OSError: the disk refuses it.
    """
    with writing.begun(path, about) as there:
        numbers = _to_do(path, there)
        _announce(path, there, numbers)
        progress = _Progress(sum(predictions.rows_of_shard(there, n) for n in numbers))
        with console.quiet_decoders(), progress.bar:
            for number in numbers:
                with writing.shard(path, there, number) as (probs, digests):
                    first = number * there["rows_per_shard"]
                    _fill(probs, digests, pool, first, classify, batch, progress)


def _to_do(path: str, about: About) -> list[int]:
    """Numbers of the shards that are not there, or damaged, which is said."""
    missing = set(predictions.missing(path, about))
    for number in range(predictions.number_of_shards(about)):
        if number not in missing and (fault := predictions.damaged(path, about, number)):
            log.warning(f"{fault}. It is computed anew")
            missing.add(number)
    return sorted(missing)


def _announce(path: str, about: About, numbers: list[int]) -> None:
    """Says what is computed, and how much room that takes.

    Raises:
      ConfigError: there is not so much.
    """
    images, classes = about["number_of_images"], len(about["class_names"])
    rows, shards = about["rows_per_shard"], predictions.number_of_shards(about)
    whole = predictions.bytes_on_disk(images, classes, rows)
    text = f"{images:,} images, {classes:,} classes: {in_words(whole)} on the disk, {shards:,} "
    text += f"shards of {rows:,} rows" if shards > 1 else "shard"
    if len(numbers) < shards:
        text += f"; {shards - len(numbers):,} of them are there"
    log.info(text)
    left = sum(predictions.rows_of_shard(about, number) for number in numbers)
    needed, free = predictions.bytes_on_disk(left, classes, rows), shutil.disk_usage(path).free
    if needed > free:
        raise ConfigError(
            f"predictions take {in_words(needed)} in {path}, and {in_words(free)} are free there. "
            "Make room, or choose another folder by --to."
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fill(
    probs: np.ndarray,
    digests: np.ndarray,
    pool: Positioned,
    first: int,
    classify: Classify,
    batch: int,
    progress: "_Progress",
) -> None:
    """Classifies the images of a shard, the first of which has position `first`."""
    row = 0
    for images, of_images in ordered.batches(pool, first, first + len(probs), batch):
        answers = classify(images).numpy()
        if not np.isfinite(answers).all():
            raise ConfigError(
                f"the model gives probabilities that are NaN or infinite, of an image from "
                f"position {first + row} on: check its weights."
            )
        if fault := damage.of_rows(answers.astype(np.float16)):
            raise ConfigError(
                f"the model gives answers that are no probabilities, of images from position "
                f"{first + row} on: {fault}. A model must end in a softmax."
            )
        rows = slice(row, row + len(answers))
        probs[rows], digests[rows] = answers, of_images.numpy()
        row += len(answers)
        progress.add(len(answers))
    if row != len(probs):
        raise ConfigError(
            f"the pool ends after {first + row:,} images, and had more when it was counted: its "
            "files have changed. Start again."
        )


class _Progress:
    """A bar on a terminal, and otherwise a line now and then.

    Args:
      total: images.
    """

    def __init__(self, total: int):
        self.bar = tqdm.tqdm(total=total, unit="image", disable=None, leave=False)
        self._total, self._done, self._timed = total, 0, 0
        self._began = self._told = time.monotonic()
        self._is_first = True

    def add(self, count: int) -> None:
        """Notes that so many more images are done."""
        self.bar.update(count)
        now, self._done = time.monotonic(), self._done + count
        if not self._timed:  # the first batch has the model traced
            self._began, self._timed = now, self._done
            return
        if now - self._told < (_SOON if self._is_first else _EVERY) or self._done == self._total:
            return
        rate = (self._done - self._timed) / (now - self._began)
        left = console.duration((self._total - self._done) / rate)
        if self._is_first or self.bar.disable:
            text = f"{self._done:,} of {self._total:,} images, {rate:,.0f} a second: {left} left"
            self.bar.clear()
            log.info(text)
        self._told, self._is_first = now, False
