"""Images and labels that a trainer is handed, and whether they fit its networks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.engine.batches import check_label_spec, wrong_labels


def check_labeled(
    caller: str, x: Any, y: Any, networks: Mapping[str, keras.Model], trained_on: Any
) -> None:
    """Refuses images with labels that do not fit networks; of Datasets the first batch is read.

    Args:
      caller: for messages, such as "evaluate".
      x: images [N,H,W,C], or a tf.data.Dataset of batches (images, label) or (images, label,
        weight).
      y: labels [N]; None of a Dataset.
      networks: role -> network that the images go through.
      trained_on: as for `check_images`.

    Raises:
      ValueError: there are no labels, or they are no class ids, or images are as in `check_images`.
    """
    if isinstance(x, tf.data.Dataset):
        spec = x.element_spec
        if not isinstance(spec, tuple) or len(spec) not in (2, 3):
            raise ValueError(
                f"{caller} takes a tf.data.Dataset of batches (images, label); received {spec}."
            )
        images, label_spec = spec[:2]
    elif _is_array(x):
        if y is None:
            raise ValueError(
                f"{caller} needs labels beside images, as in {caller}(images, labels); received "
                "images alone."
            )
        images, label_spec = x, tf.TensorSpec(np.shape(y), np.asarray(y).dtype)
    else:  # of other data nothing is known before it is read
        return
    check_images(caller, images, networks, trained_on)
    _, *classifiers, num_classes = next(iter(networks.values())).output_shape
    check_label_spec(label_spec, classifiers, num_classes)
    if isinstance(x, tf.data.Dataset):
        images, y, *_ = next(iter(x.take(1)), (None, np.zeros(0)))
        if images is not None and trained_on == tf.uint8:
            _check_range(caller, np.asarray(images))
    wrong = wrong_labels(np.asarray(y), num_classes)
    if wrong.size:
        raise ValueError(
            f"labels must be whole numbers from 0 to {num_classes - 1}, as the networks have "
            f"{num_classes} classes; {caller} received {wrong.flat[0]}. Leave images without a "
            "label out."
        )


def check_images(
    caller: str, images: Any, networks: Mapping[str, keras.Model], trained_on: Any
) -> None:
    """Refuses images of another shape or scale than networks take, and warns of another range.

    Args:
      caller: for messages, such as "predict".
      images: [N,H,W,C], or the tf.TensorSpec of such; other data is not looked at.
      networks: role -> network that the images go through.
      trained_on: dtype of the images that the networks were trained on; None if not known.

    Raises:
      ValueError: they have another shape, or were scaled from 0 to 255 to less.
    """
    if not (_is_array(images) or isinstance(images, tf.TensorSpec)):
        return
    array = images if isinstance(images, tf.TensorSpec) else np.asarray(images)
    shape = tf.TensorShape(array.shape)
    for role, network in networks.items():
        expected = network.input_shape[1:]
        if not shape.is_compatible_with([None, *expected]):
            sizes = ", ".join(map(str, expected))
            raise ValueError(
                f"{caller} takes images [N, {sizes}], as {role} does; received shape {shape}."
            )
    if not shape[0] and shape[0] is not None:
        raise ValueError(f"{caller} takes at least one image; received shape {shape}.")
    if isinstance(array, np.ndarray) and trained_on == tf.uint8:
        _check_range(caller, array)


def check_dataset(
    caller: str, data: tf.data.Dataset, networks: Mapping[str, keras.Model], trained_on: Any
) -> None:
    """As `check_images`, of a Dataset of batches of images, or of tuples that begin with them.

    Of floating images the first batch is read, for its range.
    """
    spec = data.element_spec
    spec = spec[0] if isinstance(spec, tuple) else spec
    check_images(caller, spec, networks, trained_on)
    if isinstance(spec, tf.TensorSpec) and spec.dtype.is_floating and trained_on == tf.uint8:
        for batch in data.take(1):
            _check_range(caller, np.asarray(batch[0] if isinstance(batch, tuple) else batch))


def range_of(data: Any) -> tuple[float, float] | None:
    """Least and greatest value of the labeled images in the first batch.

    Args:
      data: as `fit` takes it.

    Returns:
      None if images are not floating, or nothing can be read without a strategy.
    """
    if isinstance(data, tf.data.Dataset) and data.element_spec["labeled"].dtype.is_floating:
        for batch in data.take(1):
            images = batch["labeled"].numpy()
            return float(images.min()), float(images.max())
    return None


def _check_range(caller: str, images: np.ndarray) -> None:
    """Refuses images that were scaled to [0, 1] or [-1, 1], and warns of other ranges.

    Whole numbers may be images in black and white, and a value beyond 0 to 255 comes of resizing.

    Raises:
      ValueError: values are fractions of such a range.
    """
    if images.dtype.kind not in "buif":
        return
    low, high = float(np.min(images)), float(np.max(images))
    if low >= -1 and high <= 1 and (images != np.floor(images)).any():
        factor = "images * 255.0" if low >= 0 else "(images + 1.0) * 127.5"
        raise ValueError(
            f"{caller} received images of fractions from {low:.3g} to {high:.3g}; the networks "
            "were trained on values from 0 to 255, which they scale themselves. Pass the images as "
            f"they were before they were scaled, or {factor}."
        )
    if low < 0 or high > 255 or (high <= 1 and (high or images.dtype.kind == "f")):
        log.warning(
            f"\nWarning: {caller} received images of values from {low:.3g} to {high:.3g}; the "
            "networks were trained on values from 0 to 255, which they scale themselves."
        )


def _is_array(x):
    return isinstance(x, (np.ndarray, list, tuple)) or tf.is_tensor(x)
