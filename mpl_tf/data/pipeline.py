"""Batches that are a pure function of (seed, step)."""

import re

import numpy as np
import tensorflow as tf

from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

# Padded batches for evaluation divide by any likely number of replicas.
_EVALUATION_MULTIPLE = 8
# The independent random streams of one run seed; weak_n and strong_n have those from 5 on.
_LABELED, _UNLABELED, _LABELED_VIEW, _WEAK, _STRONG = range(5)
_VIEW = re.compile(r"(weak|strong)(?:_([2-9]|[1-9]\d+))?")


def order(count, batch, seed, stream, start):
    """Endless positions of batches `start`, `start + 1`, ...: a fresh permutation an epoch.

    Batches wrap from one epoch into the next. Starting late costs no more than starting at 0.

    Args:
      count: int, number of images, at least 1.
      batch: int, images a batch.
      seed: int, of the run.
      stream: int, which of the run's random streams.
      start: int, the first batch.

    Returns:
      tf.data.Dataset of int64 [batch].
    """
    first = start * batch

    def epoch_order(epoch):
        key = tf.random.experimental.stateless_fold_in(tf.constant([seed, stream], tf.int64), epoch)
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        return tf.data.Dataset.from_tensor_slices(shuffled)

    epochs = tf.data.Dataset.range(first // count, tf.int64.max)
    return epochs.flat_map(epoch_order).skip(first % count).batch(batch, drop_remainder=True)


def shuffled(images, batch, *, seed, stream, start=0, rows=(0, None)):
    """Endless batches of images, every image once an epoch.

    Args:
      images: data.dataset.Images.
      batch: int, images a global batch.
      seed, stream, start: as for `order`.
      rows: (first, count), the rows of each global batch that are wanted; None is all from first.

    Returns:
      tf.data.Dataset of (uint8 [n, H, W, C], labels int64 [n], index int64 [n]); the index of an
      image is its position, from 0 to `len(images) - 1`.
    """
    with tf.device("CPU"):
        positions, labels = tf.constant(images.positions), tf.constant(images.labels)
    first, count = rows
    last = batch if count is None else first + count
    index = order(len(images), batch, seed, stream, start).map(lambda every: every[first:last])
    pixels = images.store.batches(index.map(lambda i: tf.gather(positions, i)), last - first)
    known = index.map(lambda i: (tf.gather(labels, i), i))
    return tf.data.Dataset.zip(pixels, known).map(lambda shown, both: (shown, *both))


def pool_size(unlabeled):
    """How many unlabeled images there are, for a method that keeps something about each of them.

    Args:
      unlabeled: as in `training_batches`.

    Raises:
      ConfigError: its images have no positions.
    """
    if not hasattr(unlabeled, "__len__"):
        raise ConfigError(
            "a method that keeps something about each unlabeled image needs a pool of known size "
            "whose images have positions: arrays, Images or TFRecord files, no tf.data.Dataset."
        )
    return len(unlabeled)


def _view(name):
    """(kind, random stream) of the view called `name`; kind is "weak" or "strong"."""
    found = _VIEW.fullmatch(name)
    if not found:
        raise ConfigError(
            "views must be of weak, weak_2, weak_3, ..., strong, strong_2, strong_3, ..., index; "
            f"received {name!r}."
        )
    kind, number = found[1], int(found[2] or 1)
    return kind, {"weak": _WEAK, "strong": _STRONG}[kind] + 2 * (number - 1)


def training_batches(
    split, *, labeled_batch, unlabeled_batch, views, weak, strong, seed, start=0, shard=(0, 1)
):
    """The endless training data of a method.

    Args:
      split: data.splits.Split, or anything with `labeled` and `unlabeled`: each data.dataset.Images
        or an object whose `batches(batch, seed=, stream=, start=, rows=)` is like `shuffled`.
      labeled_batch: int, labeled images a step, over all shards.
      unlabeled_batch: int, unlabeled images a step, over all shards.
      views: sequence of str, what is wanted of unlabeled images: "weak" and "strong" views; more
        of them, drawn apart, "weak_2", "weak_3", ..., "strong_2", ...; "index", the images' places
        in the pool. None reads no unlabeled image.
      weak: policy of the weak view and of labeled images (see `augment.policies`).
      strong: policy of the strong view.
      seed: int, of the run.
      start: int, the step to start at.
      shard: (index, count): the part of every global batch that is wanted; batches must divide by
        `count`. All shards together give what one gives, whatever `count` is.

    Returns:
      tf.data.Dataset of dicts: `labeled` uint8 [B,H,W,C], `label` int64 [B], and the views, uint8
      [U,H,W,C] each, of the same images, and `index` int64 [U], from 0 to `pool_size` - 1. If
      hidden labels are known there is `hidden_label` int64 [U] too, for diagnostics alone, -1 where
      it is not known.

    Raises:
      ValueError: a batch does not divide by the number of shards.
      ConfigError: a view is unknown, or "index" is wanted of a pool without positions.
    """
    index, count = shard
    shown = [name for name in views if name != "index"]
    streams = {name: _view(name) for name in shown}
    if len(shown) < len(views):
        pool_size(split.unlabeled)
    for name, batch in (("labeled_batch", labeled_batch), ("unlabeled_batch", unlabeled_batch)):
        if batch % count:
            raise ValueError(f"{name} must be a multiple of {count} shards; received {batch}.")

    def part(source, batch, stream):
        rows = (index * (batch // count), batch // count)
        arguments = {"seed": seed, "stream": stream, "start": start, "rows": rows}
        read = getattr(source, "batches", None)
        return read(batch, **arguments) if read else shuffled(source, batch, **arguments)

    parts = [
        tf.data.Dataset.range(start, tf.int64.max),
        part(split.labeled, labeled_batch, _LABELED),
    ]
    if views:
        parts.append(part(split.unlabeled, unlabeled_batch, _UNLABELED))
    known = bool(views) and (split.unlabeled.labels >= 0).any()
    policies = {"weak": weak, "strong": strong}

    def load(step, labeled, unlabeled=None):
        def view(policy, stream, images, batch):
            base = tf.constant([seed, stream], tf.int64)
            key = tf.random.experimental.stateless_fold_in(base, step)
            shown = policy(images, Draws(key, batch, index * (batch // count), batch // count))
            return tf.ensure_shape(shown, images.shape)

        batch = {
            "labeled": view(weak, _LABELED_VIEW, labeled[0], labeled_batch),
            "label": labeled[1],
        }
        for name, (kind, stream) in streams.items():
            batch[name] = view(policies[kind], stream, unlabeled[0], unlabeled_batch)
        if len(shown) < len(views):
            batch["index"] = unlabeled[2]
        if known:
            batch["hidden_label"] = unlabeled[1]
        return batch

    options = tf.data.Options()
    options.deterministic = True
    data = tf.data.Dataset.zip(*parts).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return data.prefetch(2).with_options(options)


def evaluation_batches(images, batch=512, padded=False):
    """All images once, in order.

    Args:
      images: data.dataset.Images.
      batch: int, images a batch.
      padded: bool, whether the last batch is filled up, with its first image, to be like the
        others; then there is a third element, weights float32 [n], 0 for what was added.

    Returns:
      tf.data.Dataset of (uint8 [n, H, W, C], labels int64 [n]), or of these with the weights.
    """
    index, weight = np.arange(len(images)), np.ones(len(images), np.float32)
    if padded:
        batch = min(batch, -(-len(images) // _EVALUATION_MULTIPLE) * _EVALUATION_MULTIPLE)
        missing = -len(images) % batch
        index, weight = np.pad(index, (0, missing)), np.pad(weight, (0, missing))
    slices = tf.data.Dataset.from_tensor_slices
    positions = slices(images.positions[index]).batch(batch)
    parts = [images.store.batches(positions, batch), slices(images.labels[index]).batch(batch)]
    if padded:
        parts.append(slices(weight).batch(batch))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return tf.data.Dataset.zip(*parts).prefetch(2).with_options(options)
