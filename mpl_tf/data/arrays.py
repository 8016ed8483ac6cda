"""The user's own arrays and tf.data.Datasets as images for training."""

from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.data.dataset import Images
from mpl_tf.data.stores import ArrayStore
from mpl_tf.images import ranges
from mpl_tf.options import ConfigError

# What NumPy makes an array of.
Array: TypeAlias = Any
# Elements of a tf.data.Dataset among which the next one is drawn.
_BUFFER = 10_000


def arrays(
    images: Array,
    labels: Array | None = None,
    unlabeled: Array | None = None,
    num_classes: int | None = None,
) -> Images:
    """Arrays as data.dataset.Images of one store; labels of -1 mark unlabeled images.

    Args:
      images: uint8 [N, H, W, C] or [N, H, W].
      labels: whole numbers [N] or [N, 1], from -1; None is -1 for all.
      unlabeled: uint8 [M, H, W, C] or [M, H, W], more images, after the first ones; or None.
      num_classes: one more than the greatest label allowed; None allows any.

    Raises:
      ConfigError: a wrong type, rank, length or range.
    """
    images = checked_images(images, "unlabeled" if labels is None else "labeled")
    labels = np.full(len(images), -1) if labels is None else _class_ids(labels)
    if len(labels) != len(images):
        raise ConfigError(f"received {len(images)} images and {len(labels)} labels.")
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or (num_classes is not None and high >= num_classes):
        limit = "at least -1" if num_classes is None else f"from -1 to {num_classes - 1}"
        raise ConfigError(f"labels must be {limit} (-1: unlabeled); received {low} to {high}.")
    absent = np.setdiff1d(np.arange(high), labels)
    if len(absent) and num_classes is None:
        log.warning(
            f"labels go up to {high}, and no image has one of {len(absent)} labels below it, such "
            f"as {absent[0]}: that makes {high + 1} classes. Where that is right, num_classes="
            f"{high + 1} says so."
        )
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


def _class_ids(labels: Array) -> np.ndarray:
    """Labels as int64 [N], or a ConfigError that says what is wrong with them."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    whole = labels.dtype.kind in "iu" or (
        labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())
    )
    if labels.ndim != 1 or not whole:
        one_hot = labels.ndim == 2 and labels.dtype.kind in "iufb"
        raise ConfigError(
            f"labels must be whole numbers [N]; received {labels.dtype} of shape {labels.shape}."
            + " Of one-hot labels, labels.argmax(axis=-1) makes class ids." * one_hot
        )
    if labels.dtype.kind == "u" and len(labels):
        greatest, *others = np.unique(labels)[::-1][:2].tolist()
        if greatest == np.iinfo(labels.dtype).max and greatest - 1 not in others:
            raise ConfigError(
                f"labels of {labels.dtype} hold {greatest}, which is what -1 becomes there. Mark "
                "images without a label by -1 in an array of int64."
            )
    return labels.astype(np.int64)


def checked_images(images: Array, name: str) -> np.ndarray:
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
        if images.max() <= 1:
            log.warning(
                f"{name} images have values of at most {images.max()}, of 0 to 255: nearly black. "
                "Were they scaled to 0 to 1 before? Then scale them back before astype('uint8')."
            )
        return images
    if np.issubdtype(images.dtype, np.floating) and not np.isfinite(images).all():
        raise ConfigError(f"{name} images hold NaN or infinite values.")
    if images.dtype.kind in "buif":
        raise ConfigError(
            f"{name} images must be uint8 with values 0 to 255; {ranges.advice(images)}"
        )
    raise ConfigError(f"{name} images must be uint8; received {images.dtype}.")


class ShuffledDataset:
    """A tf.data.Dataset of single images, shuffled through a buffer and repeated. A Pool.

    Its images have no positions, so that batches are no function of the step.

    Args:
      data: finite, of images uint8 [H, W, C], or of tuples that begin with one.
      with_labels: whether the elements are (image, label); what else an element holds is ignored.

    Raises:
      ConfigError: the elements are something else, or the data is endless.
    """

    size = None
    has_hidden_labels = False

    def __init__(self, data: tf.data.Dataset, with_labels: bool):
        self._data, self._with_labels = data, with_labels
        spec = data.element_spec
        parts = list(spec) if isinstance(spec, (tuple, list)) else [spec]
        if with_labels and len(parts) != 2:
            raise ConfigError(f"labeled must give (image, label); its elements are {spec}.")
        if with_labels and not (parts[1].dtype.is_integer or parts[1].dtype.is_floating):
            raise ConfigError(
                f"labels must be class ids, whole numbers; received {parts[1].dtype.name}."
            )
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
        if data.cardinality() == 0:
            raise ConfigError("a tf.data.Dataset must have at least one element; it has none.")
        height, width, channels = image.shape
        self.shape: tuple[int, int, int] = (height, width, channels)

    def contents(self) -> None:
        """None: such data may give other images whenever it is read."""
        return

    def following(self, images: Images) -> "ShuffledDataset":
        """This pool: `images` lie elsewhere."""
        del images
        return self

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Up to `count` different images, drawn by a seed: uint8 [n, H, W, C]."""
        data = self._data.map(_image).shuffle(_BUFFER, seed=seed).batch(count)
        return next(iter(data)).numpy()

    def batches(
        self,
        batch: int,
        *,
        seed: int,
        stream: int,
        start: int = 0,
        rows: tuple[int, int | None] = (0, None),
    ) -> tf.data.Dataset:
        """Endless shuffled batches; see `Pool`. The index of every image is -1.

        Raises:
          ConfigError: `start` is not 0.
        """
        if start:
            raise ConfigError(f"a tf.data.Dataset starts at step 0 alone; received start={start}.")
        first, count = rows
        last = batch if count is None else first + count

        def element(*parts):
            unknown = tf.constant(-1, tf.int64)
            label = parts[1] if self._with_labels else unknown
            if not label.dtype.is_floating:  # what is no whole number must be seen to be none
                label = tf.cast(label, tf.int64)
            return _image(*parts), label, unknown  # such data need not keep its order

        data = self._data.map(element).shuffle(_BUFFER, seed=(seed << 3) + stream).repeat()
        data = data.batch(batch, drop_remainder=True)
        return data.map(lambda *parts: tuple(part[first:last] for part in parts))


def _image(*parts):
    """The image of an element."""
    return parts[0]
