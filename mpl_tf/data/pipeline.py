"""Batches that are a pure function of (seed, step)."""

import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mpl_tf.augment.draws import Draws
from mpl_tf.augment.policies import Policy, of_view
from mpl_tf.data import service
from mpl_tf.data.dataset import Images, Pool
from mpl_tf.formulas import random
from mpl_tf.options import ConfigError

# Padded batches for evaluation divide by any likely number of replicas.
_EVALUATION_MULTIPLE = 8
# The independent random streams of one run seed; weak_n and strong_n have those from 5 on.
LABELED, UNLABELED, _LABELED_VIEW, _WEAK, _STRONG = range(5)
_VIEW = re.compile(r"(weak|strong)(?:_([2-9]|[1-9]\d+))?")


def pool_size(unlabeled: Pool) -> int:
    """How many unlabeled images there are, for a method that keeps something about each of them.

    Raises:
      ConfigError: the images have no positions.
    """
    if unlabeled.size is None:
        raise ConfigError(
            "a method that keeps something about each unlabeled image needs a pool of known size "
            "whose images have positions: arrays, Images or TFRecord files, no tf.data.Dataset."
        )
    return unlabeled.size


def _view(name):
    """(strength, number, random stream) of the view called `name`; strength is weak or strong."""
    match = _VIEW.fullmatch(name)
    if not match:
        raise ConfigError(
            "views must be of weak, weak_2, weak_3, ..., strong, strong_2, strong_3, ..., index; "
            f"received {name!r}."
        )
    strength, number = match[1], int(match[2] or 1)
    return strength, number, {"weak": _WEAK, "strong": _STRONG}[strength] + 2 * (number - 1)


def check_views(names: Sequence[str], unlabeled: Pool) -> None:
    """Refuses names of views that there are not, and "index" of a pool without positions.

    Raises:
      ConfigError: it is one of these.
    """
    for name in names:
        if name == "index":
            pool_size(unlabeled)
        else:
            _view(name)


def make_batch(
    step: tf.Tensor,
    labeled: tuple[tf.Tensor, ...],
    unlabeled: tuple[tf.Tensor, ...] | None,
    *,
    shape: Sequence[int],
    labeled_batch: int,
    unlabeled_batch: int,
    views: Sequence[str],
    weak: Policy,
    strong: Policy,
    seed: int,
    shard: tuple[int, int] = (0, 1),
) -> dict[str, tf.Tensor]:
    """A batch of the images that were read for a step.

    Args:
      step: integer scalar.
      labeled: (images uint8 [B, H, W, C], labels int64 [B], ...).
      unlabeled: (images uint8 [U, H, W, C], hidden labels int64 [U] or None, index int64 [U]); None
        without views.
      shape: (height, width, channels) of a view.
      labeled_batch, unlabeled_batch, views, weak, strong, seed, shard: as for `training_batches`.
    """
    index, count = shard
    policies = {"weak": weak, "strong": strong}

    def view(policy, stream, images, batch):
        rows = batch // count
        draws = Draws(random.key(seed, stream, step), batch, index * rows, rows)
        return tf.ensure_shape(policy(images, draws), [rows, *shape])

    batch = {"labeled": view(weak, _LABELED_VIEW, labeled[0], labeled_batch), "label": labeled[1]}
    if unlabeled is None:
        return batch
    images, hidden_label, position = unlabeled
    for name in views:
        if name == "index":
            batch["index"] = position
        else:
            strength, number, stream = _view(name)
            policy = of_view(policies[strength], number)
            batch[name] = view(policy, stream, images, unlabeled_batch)
    if hidden_label is not None:
        batch["hidden_label"] = hidden_label
    return batch


def training_batches(
    labeled: Pool,
    unlabeled: Pool,
    *,
    labeled_batch: int,
    unlabeled_batch: int,
    views: Sequence[str],
    weak: Policy,
    strong: Policy,
    seed: int,
    start: int = 0,
    shard: tuple[int, int] = (0, 1),
    data_service: str = "",
) -> tf.data.Dataset:
    """The endless training data of a method.

    Args:
      labeled: the labeled images.
      unlabeled: the unlabeled images.
      labeled_batch: labeled images a step, over all shards.
      unlabeled_batch: unlabeled images a step, over all shards.
      views: the unlabeled views in a batch: "weak" and "strong"; more of them, drawn apart,
        "weak_2", "weak_3", ..., "strong_2", ...; "index", the images' positions in the pool.
        Without a view no unlabeled image is read.
      weak: policy of the weak view and of labeled images.
      strong: policy of the strong view.
      seed: of the run.
      start: the step to start at.
      shard: (index, count): which part of every global batch to give; batches must divide by
        `count`. All shards together give what one gives, whatever `count` is.
      data_service: HOST:PORT of a service that makes the batches, each that of its step, but in no
        certain order; "" has this process make them. See `service.in_blocks`.

    Returns:
      tf.data.Dataset of dicts: `labeled` uint8 [B,H,W,C], `label` int64 [B], and the views, uint8
      [U,H,W,C] each, of the same images, and `index` int64 [U], from 0 to `pool_size` - 1. If
      hidden labels are known there is `hidden_label` int64 [U] too, for diagnostics alone, -1 where
      it is not known.

    Raises:
      ValueError: a batch does not divide by the number of shards.
      ConfigError: a view is unknown, or is the "index" of a pool without positions.
    """
    _, count = shard
    check_views(views, unlabeled)
    for name, batch in (("labeled_batch", labeled_batch), ("unlabeled_batch", unlabeled_batch)):
        if batch % count:
            raise ValueError(f"{name} must be a multiple of {count} shards; received {batch}.")

    def from_step(first):
        return _batches(
            labeled,
            unlabeled,
            first,
            shape=labeled.shape,
            labeled_batch=labeled_batch,
            unlabeled_batch=unlabeled_batch,
            views=views,
            weak=weak,
            strong=strong,
            seed=seed,
            shard=shard,
        )

    if data_service:
        return service.in_blocks(from_step, start, data_service)
    return from_step(start)


def _batches(labeled, unlabeled, start, **how):
    """The batches from step `start` on, an integer or a scalar tensor; `how`: for `make_batch`."""
    (index, count), views = how["shard"], how["views"]

    def read(pool, batch, stream):
        rows = (index * (batch // count), batch // count)
        return pool.batches(batch, seed=how["seed"], stream=stream, start=start, rows=rows)

    parts = [
        tf.data.Dataset.range(start, tf.int64.max),
        read(labeled, how["labeled_batch"], LABELED),
    ]
    if views:
        parts.append(read(unlabeled, how["unlabeled_batch"], UNLABELED))
    has_hidden_labels = bool(views) and unlabeled.has_hidden_labels

    def load(step, labeled_part, unlabeled_part=None):
        if unlabeled_part is not None and not has_hidden_labels:
            images, _, position = unlabeled_part
            unlabeled_part = images, None, position
        return make_batch(step, labeled_part, unlabeled_part, **how)

    options = tf.data.Options()
    options.deterministic = True
    data = tf.data.Dataset.zip(*parts).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return data.prefetch(2).with_options(options)


def whole_pool(unlabeled: Pool, batch: int = 512) -> tf.data.Dataset:
    """All unlabeled images, as they are, each at least once.

    Args:
      unlabeled: the pool, whose images have positions.
      batch: images a batch, at most; the last one wraps to images that were there.

    Returns:
      tf.data.Dataset of (images uint8 [n, H, W, C], index int64 [n]), from 0 to `pool_size` - 1.

    Raises:
      ConfigError: the images have no positions.
    """
    count = pool_size(unlabeled)
    batch = min(batch, count)
    read = unlabeled.batches(batch, seed=0, stream=UNLABELED, start=0, rows=(0, batch))
    return read.take(-(-count // batch)).map(lambda images, label, index: (images, index))


def evaluation_batches(images: Images, batch: int = 512, padded: bool = False) -> tf.data.Dataset:
    """All images once, in order.

    Args:
      images: the images, with their labels.
      batch: images a batch.
      padded: whether the last batch is filled up, with its first image, to be like the
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
