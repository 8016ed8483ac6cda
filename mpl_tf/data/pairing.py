"""Training data of the user's own images, for `fit`."""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.augment import policies, probe, randaugment, self_supervised
from mpl_tf.data import pipeline
from mpl_tf.data.arrays import Array, ShuffledDataset, arrays
from mpl_tf.data.dataset import Images, Pool
from mpl_tf.data.splits import equally_frequent
from mpl_tf.options import ConfigError

# Where there are enough images.
_LABELED_BATCH, _UNLABELED_RATIO = 32, 7
# What `pair` takes as a view.
View: TypeAlias = str | keras.Layer | Callable[..., tf.Tensor] | None


class ReadsViews(Protocol):
    """A method's class, or an object of it."""

    unlabeled_views: tuple[str, ...]


def pair(
    labeled: tuple[Array, Array] | Images | tf.data.Dataset,
    unlabeled: Array | Pool | tf.data.Dataset | None = None,
    *,
    method: ReadsViews | None = None,
    labeled_batch: int | None = None,
    unlabeled_ratio: int | None = None,
    weak: View = "crop",
    strong: View = "auto",
    exclude_labeled: bool = False,
    balance_labels: bool = False,
    num_classes: int | None = None,
    views: Sequence[str] | None = None,
    seed: int = 0,
    start: int = 0,
) -> tf.data.Dataset:
    """Training data for `fit` from labeled and unlabeled images.

        data = mpl_tf.data.pair((images, labels), method=mpl_tf.FlexMatch)
        network = mpl_tf.NETWORKS["small"](data.num_classes, data.image_shape)
        model = mpl_tf.FlexMatch(network, num_unlabeled=data.num_unlabeled)

    Args:
      labeled: one of
        - (images, labels): uint8 [N, H, W, C] or [N, H, W], and class ids [N] from 0; labels of -1
          mark unlabeled images, which then need no `unlabeled`;
        - data.dataset.Images, such as the `train` of `mpl_tf.data.folder`;
        - a finite tf.data.Dataset of single (image uint8 [H, W, C], label) elements.
      unlabeled: uint8 [M, H, W, C] or [M, H, W], a data.dataset.Pool such as Images, or a
        tf.data.Dataset of single images (what else its elements hold is ignored). Labeled images
        are added to it, without their labels, if they are arrays too, or Images of the same store.
        None takes the labeled images, without their labels, and those marked -1.
      method: the method to train, its class or an object of it, which says what it reads of
        unlabeled images. A method that reads "index" is constructed with `num_unlabeled`.
      labeled_batch: labeled images a step (the paper's B); None is 32, or all if there are fewer.
      unlabeled_ratio: unlabeled images a labeled one (the paper's mu); None is 7, or as many as
        there are for a step.
      weak: "crop" (mirrored and shifted by up to an eighth), None, a Keras layer, or a policy: a
        function (images uint8 [n, H, W, C], draws) -> the same shape; see `augment.policies`.
      strong: "randaugment" (the weak view, RandAugment, cutout), one of the names of
        `augment.self_supervised.two_views`, None, a layer or a policy. "auto" is what a
        self-supervised method has in its paper, and "randaugment" for others.
      exclude_labeled: whether to leave labeled images out of the unlabeled ones; they are in by
        default, as in the paper. Of effect on arrays and Images alone.
      balance_labels: whether labeled images of all classes are drawn equally often, those of rare
        ones more often each. Of arrays and Images alone.
      num_classes: to check labels against; None is one more than the greatest label.
      views: in place of `method`, the unlabeled views in a batch, such as "weak", "weak_2",
        "strong", "index"; without either, "weak" and "strong".
      seed: of order and views.
      start: the step to start at. Batch t is a function of (seed, t), except for a
        tf.data.Dataset, which is shuffled through a buffer and starts at step 0 alone.

    Returns:
      An endless tf.data.Dataset of dicts, as every method of this package takes. It has, beside
      what a tf.data.Dataset has (`map`, `take` and so on give Datasets without them):
        - `num_unlabeled`: int, unlabeled images, None if they are a tf.data.Dataset;
        - `class_counts`: integers, labels of each class; not if they are a tf.data.Dataset;
        - `num_classes`: int, None if that is not given and the labeled ones are a tf.data.Dataset;
        - `image_shape`: (height, width, channels);
        - `pool`: (images, index) of all unlabeled images once, without augmentation, as
          `pipeline.whole_pool` gives them; None if they are a tf.data.Dataset.

    Raises:
      ConfigError: arrays of a wrong type, rank or range, shapes that differ, a pool smaller than a
        batch, an unknown view, an index or balanced labels of a tf.data.Dataset; nothing was read.
    """
    views = _views(method, views)
    for name, number in (("seed", seed), ("start", start)):
        if not isinstance(number, numbers.Integral) or not 0 <= number < 2**63:
            raise ConfigError(f"{name} must be a whole number from 0 to 2^63; received {number!r}.")
    _check_names(weak, strong)
    if strong == "auto":
        strong = getattr(method, "defaults", {}).get("strong", "randaugment")
    train, pool = _parts(labeled, unlabeled, exclude_labeled, num_classes)
    if balance_labels:
        if not isinstance(train, Images):
            raise ConfigError(
                "balance_labels needs labels that are known before the first step: arrays or "
                "Images, no tf.data.Dataset."
            )
        train = equally_frequent(train)
    weak_policy, strong_policy = _policies(weak, strong, train.shape)
    for name, view, policy in (("weak", weak, weak_policy), ("strong", strong, strong_policy)):
        if not isinstance(view, str) and any(v.startswith(name) for v in ("weak", *views)):
            probe.check_view(name, policy, train.shape)
    labeled_batch, unlabeled_batch = _batches(
        labeled_batch, unlabeled_ratio, train.size, pool.size if views else None
    )
    data = pipeline.training_batches(
        train,
        pool,
        labeled_batch=labeled_batch,
        unlabeled_batch=unlabeled_batch,
        views=views,
        weak=weak_policy,
        strong=strong_policy,
        seed=seed,
        start=start,
    )
    if isinstance(train, Images):
        data.class_counts = np.bincount(train.labels, minlength=num_classes or 0)
        num_classes = len(data.class_counts) if num_classes is None else num_classes
    data.num_unlabeled, data.num_classes, data.image_shape = pool.size, num_classes, train.shape
    data.pool = None if pool.size is None else pipeline.whole_pool(pool)
    return data


def _views(method, views):
    """The unlabeled views to make, a tuple."""
    if method is None:
        return ("weak", "strong") if views is None else views
    if views is not None:
        raise ConfigError(f"give method or views, not both; received views={views!r}.")
    if not hasattr(method, "unlabeled_views"):
        raise ConfigError(
            "method must be a method's class, such as mpl_tf.FixMatch, or an object of it; "
            f"received {method!r}."
        )
    return method.unlabeled_views


def _check_names(weak, strong):
    """Raises ConfigError if a view is a name that there is not."""
    strong_names = ("auto", "randaugment", *self_supervised.NAMES)
    for name, view, names in (("weak", weak, ("crop",)), ("strong", strong, strong_names)):
        if isinstance(view, str) and view not in names:
            known = " or ".join(map(repr, names))
            raise ConfigError(
                f"{name} must be {known}, None, a Keras layer or a function, such as those of "
                f"mpl_tf.augment.policies; received {view!r}."
            )


def _policies(weak, strong, shape):
    """(weak, strong) policies of the arguments of `pair`, for images of a shape."""
    weak = policies.Crop() if isinstance(weak, str) else policies.as_policy(weak)
    if isinstance(strong, str) and strong in self_supervised.NAMES:
        return weak, policies.TwoViews(*self_supervised.two_views(strong, min(shape[:2])))
    if isinstance(strong, str):
        return weak, policies.Strong(weak, randaugment.RandAugment())
    return weak, policies.as_policy(strong)


def _batches(
    labeled_batch: int | None,
    unlabeled_ratio: int | None,
    num_labeled: int | None,
    num_unlabeled: int | None,
) -> tuple[int, int]:
    """The sizes of the batches of labeled and of unlabeled images; what is None gives way.

    Args:
      labeled_batch, unlabeled_ratio: as `pair` takes them.
      num_labeled, num_unlabeled: images that there are; None is any number.
    """
    for name, value in (("labeled_batch", labeled_batch), ("unlabeled_ratio", unlabeled_ratio)):
        if value is not None and (not isinstance(value, numbers.Integral) or value < 1):
            raise ConfigError(f"{name} must be a whole number of at least 1; received {value!r}.")
    batch, ratio = give_way(
        labeled_batch or _LABELED_BATCH,
        unlabeled_ratio or _UNLABELED_RATIO,
        batch_is_set=labeled_batch is not None,
        ratio_is_set=unlabeled_ratio is not None,
        num_labeled=num_labeled,
        num_unlabeled=num_unlabeled,
    )
    if num_labeled is not None and batch > num_labeled:
        raise ConfigError(
            f"labeled_batch must be at most the {num_labeled} labeled images; received {batch}."
        )
    if num_unlabeled is not None and batch * ratio > num_unlabeled:
        raise ConfigError(
            f"labeled_batch * unlabeled_ratio must be at most the {num_unlabeled} unlabeled "
            f"images; received {batch} * {ratio}. Leave one of them out, and it fits."
        )
    return batch, batch * ratio


def give_way(
    labeled_batch: int,
    unlabeled_ratio: int,
    *,
    batch_is_set: bool,
    ratio_is_set: bool,
    num_labeled: int | None,
    num_unlabeled: int | None,
) -> tuple[int, int]:
    """Sizes of a step's batches, made smaller where the user did not set them.

    The labeled batch is at most the labeled images. If the unlabeled images are too few, the ratio
    gives way first, down to 1; what is set stays, and the other gives way alone.

    Args:
      labeled_batch: labeled images a step, at least 1.
      unlabeled_ratio: unlabeled images a labeled one, at least 1.
      batch_is_set, ratio_is_set: whether the user set it.
      num_labeled, num_unlabeled: images that there are; None for any number.

    Returns:
      (labeled_batch, unlabeled_ratio), both at least 1; they may still be too large where they are
      set.
    """
    labeled = math.inf if num_labeled is None else num_labeled
    unlabeled = math.inf if num_unlabeled is None else num_unlabeled
    if not batch_is_set:
        least = unlabeled_ratio if ratio_is_set else 1
        labeled_batch = int(max(1, min(labeled_batch, labeled, unlabeled // least)))
    if not ratio_is_set:
        unlabeled_ratio = int(max(1, min(unlabeled_ratio, unlabeled // labeled_batch)))
    return labeled_batch, unlabeled_ratio


def _parts(labeled, unlabeled, exclude_labeled, num_classes):
    """(labeled images, unlabeled images), two Pools of one shape."""
    train: Pool
    if isinstance(labeled, tf.data.Dataset):
        train = ShuffledDataset(labeled, with_labels=True)
        pool = ShuffledDataset(labeled, with_labels=False)
    else:
        images = labeled
        if not isinstance(labeled, Images):
            _check_no_labels(unlabeled)
            arrays_too = unlabeled is not None and not isinstance(
                unlabeled, (Pool, tf.data.Dataset)
            )
            more, unlabeled = (unlabeled, None) if arrays_too else (None, unlabeled)
            _check_two(labeled)
            images = arrays(labeled[0], labeled[1], more, num_classes)
        is_labeled = images.labels >= 0
        if not is_labeled.any():
            raise ConfigError("no image is labeled: every label is -1.")
        train = images.take(np.flatnonzero(is_labeled))
        pool = images.take(np.flatnonzero(~is_labeled)) if exclude_labeled else images
        pool = pool.without_labels()
    if unlabeled is not None:
        pool = _pool(unlabeled)
        if isinstance(train, Images) and isinstance(pool, Images) and not exclude_labeled:
            pool = _with_labeled(pool, train)
    if train.shape != pool.shape:
        raise ConfigError(
            f"labeled and unlabeled images must have one shape; received {train.shape} and "
            f"{pool.shape}."
        )
    return train, pool


def _pool(unlabeled):
    if isinstance(unlabeled, tf.data.Dataset):
        return ShuffledDataset(unlabeled, with_labels=False)
    _check_no_labels(unlabeled)
    return unlabeled if isinstance(unlabeled, Pool) else arrays(unlabeled)


def _check_no_labels(unlabeled):
    if isinstance(unlabeled, tuple):
        raise ConfigError(
            f"unlabeled must be images alone; received a tuple of {len(unlabeled)}. Leave labels "
            "out: unlabeled=images."
        )


def _with_labeled(pool, train):
    """`pool`, and after it those images of `train` that it lacks, if both lie in one store."""
    if pool.store is not train.store:
        return pool
    lacking = np.isin(train.positions, pool.positions, invert=True)
    return pool.join(train.take(np.flatnonzero(lacking)).without_labels())


def _check_two(labeled):
    if not isinstance(labeled, (tuple, list)) or len(labeled) != 2:
        raise ConfigError(
            "labeled must be (images, labels), data.dataset.Images or a tf.data.Dataset; received "
            f"{type(labeled).__name__}."
        )
