"""The user's own arrays, images and tf.data.Datasets as training data."""

import types

import numpy as np
import tensorflow as tf

from mpl_tf.augment import policies, randaugment
from mpl_tf.data import pipeline
from mpl_tf.data.dataset import Images
from mpl_tf.data.stores import ArrayStore
from mpl_tf.options import ConfigError


def pair(
    labeled,
    unlabeled=None,
    *,
    labeled_batch=32,
    unlabeled_ratio=7,
    weak="crop",
    strong="randaugment",
    exclude_labeled=False,
    num_classes=None,
    views=("weak", "strong"),
    seed=0,
    start=0,
):
    """Training data for `fit` from labeled and unlabeled images.

    Args:
      labeled: one of
        - (images, labels): uint8 [N, H, W, C] or [N, H, W], and integers [N] from 0; labels of -1
          mark unlabeled images, which then need no `unlabeled`;
        - data.dataset.Images;
        - a finite tf.data.Dataset of single (image uint8 [H, W, C], label) elements.
      unlabeled: uint8 [M, H, W, C], data.dataset.Images, or a tf.data.Dataset of single images
        (what else its elements hold is ignored); None takes the labeled images, whose labels then
        count as unknown, and those marked -1.
        Images of the same store as the labeled ones are joined by these.
      labeled_batch: int, labeled images a step (the paper's B).
      unlabeled_ratio: int, unlabeled images a labeled one (the paper's mu).
      weak: "crop" (mirrored and shifted by up to an eighth), None, a Keras layer, or a policy: a
        function (images uint8 [n, H, W, C], draws) -> the same shape; see `augment.policies`.
      strong: "randaugment" (the weak view, RandAugment, cutout), None, a layer or a policy.
      exclude_labeled: bool, whether to leave labeled images out of the unlabeled ones; they are in
        by default, as in the paper. Of effect on arrays and Images alone.
      num_classes: int, to check labels against; None does not.
      views: what the method reads of unlabeled images: `method.unlabeled_views`. A method that
        reads "index" is constructed with `num_unlabeled`, which the function of that name gives.
      seed: int, of order and views.
      start: int, the step to start at. Batch t is a function of (seed, t), except for a
        tf.data.Dataset, which is shuffled through a buffer and starts at step 0 alone.

    Returns:
      An endless tf.data.Dataset of dicts, as every method of this package takes.

    Raises:
      ConfigError: arrays of a wrong type, rank or range, shapes that differ, a pool smaller than a
        batch, an unknown view, an index of a tf.data.Dataset; nothing was read.
    """
    weak = policies.Crop() if isinstance(weak, str) and weak == "crop" else policies.as_policy(weak)
    if isinstance(strong, str) and strong == "randaugment":
        strong = policies.Strong(weak, randaugment.RandAugment())
    elif isinstance(strong, str) or isinstance(weak, str):
        raise ConfigError(
            f"weak must be 'crop' and strong 'randaugment', or None, a Keras layer or a function; "
            f"received {weak!r} and {strong!r}."
        )
    else:
        strong = policies.as_policy(strong)
    if min(labeled_batch, unlabeled_ratio) < 1:
        raise ConfigError(
            f"labeled_batch and unlabeled_ratio must be at least 1; received {labeled_batch} and "
            f"{unlabeled_ratio}."
        )
    known, pool = _parts(labeled, unlabeled, exclude_labeled, num_classes)
    for name, part, batch in (
        ("labeled", known, labeled_batch),
        ("unlabeled", pool if views else None, labeled_batch * unlabeled_ratio),
    ):
        if isinstance(part, Images) and len(part) < batch:
            raise ConfigError(
                f"a batch of {batch} {name} images needs at least as many; received {len(part)}."
            )
    return pipeline.training_batches(
        types.SimpleNamespace(labeled=known, unlabeled=pool),
        labeled_batch=labeled_batch,
        unlabeled_batch=labeled_batch * unlabeled_ratio,
        views=views,
        weak=weak,
        strong=strong,
        seed=seed,
        start=start,
    )


def num_unlabeled(labeled, unlabeled=None, *, exclude_labeled=False):
    """How many unlabeled images `pair` makes of its arguments of the same names, an int.

    Raises:
      ConfigError: as in `pair`; a tf.data.Dataset gives its images no positions.
    """
    return pipeline.pool_size(_parts(labeled, unlabeled, exclude_labeled, None)[1])


def _parts(labeled, unlabeled, exclude_labeled, num_classes):
    """(labeled, unlabeled), each Images or a _Shuffled."""
    if isinstance(labeled, tf.data.Dataset):
        known = _Shuffled(labeled, with_labels=True)
        pool = known.without_labels()
    else:
        everything = labeled
        if not isinstance(labeled, Images):
            images, labels = _two(labeled)
            separate = None
            if unlabeled is not None and not isinstance(unlabeled, (Images, tf.data.Dataset)):
                separate, unlabeled = unlabeled, None
            everything = arrays(images, labels, separate, num_classes=num_classes)
        chosen = everything.labels >= 0
        if not chosen.any():
            raise ConfigError("no image is labeled: every label is -1.")
        known = everything.take(np.flatnonzero(chosen))
        rest = np.flatnonzero(~chosen) if exclude_labeled else np.arange(len(everything))
        pool = _hidden(everything, rest)
    if isinstance(unlabeled, tf.data.Dataset):
        pool = _Shuffled(unlabeled, with_labels=False)
    elif unlabeled is not None and isinstance(labeled, tf.data.Dataset):
        pool = unlabeled if isinstance(unlabeled, Images) else arrays(unlabeled)
    elif unlabeled is not None:
        pool = unlabeled
        if isinstance(pool, Images) and pool.store is known.store and not exclude_labeled:
            pool = pool.join(_hidden(known, np.isin(known.positions, pool.positions, invert=True)))
    if known.shape != pool.shape:
        raise ConfigError(
            f"labeled and unlabeled images must have one shape; received {known.shape} and "
            f"{pool.shape}."
        )
    return known, pool


def _hidden(images, chosen):
    """The chosen ones of `images`, without their labels."""
    return images.relabel(np.full(len(images), -1)).take(chosen)


def _two(labeled):
    if not isinstance(labeled, (tuple, list)) or len(labeled) != 2:
        raise ConfigError(
            "labeled must be (images, labels), data.dataset.Images or a tf.data.Dataset; received "
            f"{type(labeled).__name__}."
        )
    return labeled


def arrays(images, labels=None, unlabeled=None, num_classes=None):
    """Arrays as data.dataset.Images of one store; labels of -1 mark unlabeled images.

    Args:
      images: uint8 [N, H, W, C] or [N, H, W].
      labels: integers [N], from -1; None is -1 for all.
      unlabeled: uint8 [M, H, W, C] or [M, H, W], more images, after the first ones; or None.
      num_classes: int, one more than the greatest label allowed; None allows any.

    Raises:
      ConfigError: a wrong type, rank, length or range.
    """
    images = checked_images(images, "labeled")
    labels = np.full(len(images), -1) if labels is None else np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(
            f"labels must be integers of rank 1; received {labels.dtype} of shape {labels.shape}."
        )
    if len(labels) != len(images):
        raise ConfigError(f"received {len(images)} images and {len(labels)} labels.")
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or (num_classes is not None and high >= num_classes):
        limit = "at least -1" if num_classes is None else f"from -1 to {num_classes - 1}"
        raise ConfigError(f"labels must be {limit} (-1: unlabeled); received {low} to {high}.")
    if unlabeled is not None:
        unlabeled = checked_images(unlabeled, "unlabeled")
        if unlabeled.shape[1:] != images.shape[1:]:
            raise ConfigError(
                f"labeled and unlabeled images must have one shape; received {images.shape[1:]} "
                f"and {unlabeled.shape[1:]}."
            )
        labels = np.concatenate([labels, np.full(len(unlabeled), -1)])
        images = np.concatenate([images, unlabeled])
    numbers = np.arange(len(images))
    return Images(ArrayStore(images), numbers, labels.astype(np.int64), numbers)


def checked_images(images, name):
    """`images` as uint8 [N, H, W, C], or a ConfigError that says what is wrong with them."""
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ConfigError(
            f"{name} images must be [N, H, W] or [N, H, W, C] with C 1 or 3, N at least 1; "
            f"received shape {images.shape}."
        )
    if images.dtype == np.uint8:
        return images
    if np.issubdtype(images.dtype, np.floating) and not np.isfinite(images).all():
        raise ConfigError(f"{name} images hold NaN or infinite values.")
    if np.issubdtype(images.dtype, np.number):
        low, high = images.min(), images.max()
        hint = " Multiply values of 0 to 1 by 255." if low >= 0 and high <= 1 else ""
        raise ConfigError(
            f"{name} images must be uint8 with values 0 to 255; received {images.dtype} from "
            f"{low:g} to {high:g}.{hint} Convert them with .astype('uint8')."
        )
    raise ConfigError(f"{name} images must be uint8; received {images.dtype}.")


class _Shuffled:
    """A tf.data.Dataset of single images, shuffled through a buffer and repeated."""

    def __init__(self, data, with_labels):
        self.data, self.with_labels = data, with_labels
        spec = data.element_spec
        parts = list(spec) if isinstance(spec, (tuple, list)) else [spec]
        if with_labels and len(parts) != 2:
            raise ConfigError(f"labeled must give (image, label); its elements are {spec}.")
        image = parts[0]
        if not isinstance(image, tf.TensorSpec) or image.shape.rank != 3 or image.dtype != tf.uint8:
            raise ConfigError(
                "a tf.data.Dataset must give single uint8 images [H, W, C], not batches; its "
                f"elements are {spec}."
            )
        if not image.shape.is_fully_defined():
            raise ConfigError(f"images must have one static shape; received {image.shape}.")
        if data.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ConfigError("a tf.data.Dataset must be finite: it is repeated here.")
        self.shape, self.tupled = tuple(image.shape), isinstance(spec, (tuple, list))
        self.labels = np.array([-1])  # none are known for diagnostics

    def without_labels(self):
        return _Shuffled(self.data, with_labels=False)

    def batches(self, batch, *, seed, stream, start, rows, buffer=10_000):
        if start:
            raise ConfigError(f"a tf.data.Dataset starts at step 0 alone; received start={start}.")
        first, count = rows
        last = batch if count is None else first + count

        def element(*parts):
            unknown = tf.constant(-1, tf.int64)
            label = tf.cast(parts[1], tf.int64) if self.with_labels else unknown
            return parts[0], label, unknown  # an index: such data need not keep its order

        data = self.data.map(element).shuffle(buffer, seed=(seed << 3) + stream).repeat()
        data = data.batch(batch, drop_remainder=True)
        return data.map(lambda *parts: tuple(part[first:last] for part in parts))
