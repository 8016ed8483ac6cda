"""What `fit` asks of its data before the first step."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Batches whose labels are looked at before the first step.
_LOOKED_AT = 2


def check_batch(
    data: Any, views: Sequence[str], networks: Mapping[str, keras.Model], equal_parts: int
) -> None:
    """Refuses data whose batches do not fit a step.

    Args:
      data: tf.data.Dataset of dicts, or the tf.distribute.DistributedDataset made of one.
      views: the unlabeled views that the step reads.
      networks: role -> network that the images go through.
      equal_parts: replicas times microbatches, by which batches must divide.

    Raises:
      ValueError: it is no such data, a key is missing, labels are no class ids of the networks,
        images have another shape than a network takes, or a batch does not divide.
    """
    keys = ("labeled", "label", *views)
    batch = getattr(data, "element_spec", None)
    if not isinstance(batch, dict):
        received = type(data).__name__ if batch is None else batch
        raise ValueError(
            f"fit takes a tf.data.Dataset of dicts with {', '.join(keys)}, such as "
            f"mpl_tf.data.pair makes; received {received}."
        )
    missing = [key for key in keys if key not in batch]
    if missing:
        raise ValueError(
            f"a batch must have {', '.join(keys)}; {', '.join(missing)} is missing, and it has "
            f"{', '.join(batch)}."
        )
    if not isinstance(data, tf.data.Dataset):  # specs of several replicas have no single shape
        return
    _, *classifiers, num_classes = next(iter(networks.values())).output_shape
    check_label_spec(batch["label"], classifiers, num_classes)
    for view, spec in batch.items():
        if view != "labeled" and not view.startswith(("weak", "strong")):
            continue
        for role, network in networks.items():
            shape, expected = spec.shape[1:], network.input_shape[1:]
            if not shape.is_compatible_with(expected):
                raise ValueError(
                    f"{role} takes images of shape {tuple(expected)}; received {view} images of "
                    f"shape {tuple(shape)}."
                )
        if (spec.shape[0] or 0) % equal_parts:
            raise ValueError(
                f"{view} images must divide into {equal_parts} equal parts (replicas times "
                f"accumulate_steps); received {spec.shape[0]} a batch."
            )
    _check_labels(data, num_classes)


def check_pool(data: Any, num_unlabeled: int | None) -> None:
    """Refuses data of another pool than a method keeps something about.

    Args:
      data: as `mpl_tf.data.pair` makes it, which says its `num_unlabeled`; of other data nothing is
        known.
      num_unlabeled: images that the method was made for; None if it keeps nothing.

    Raises:
      ValueError: the pool has another size.
    """
    pool = getattr(data, "num_unlabeled", None)
    if num_unlabeled is not None and pool not in (None, num_unlabeled):
        raise ValueError(
            f"the method was made for num_unlabeled={num_unlabeled} images; the data has {pool}. "
            "Construct it with num_unlabeled=data.num_unlabeled."
        )


def class_ids(
    batch: dict[str, tf.Tensor], networks: Mapping[str, keras.Model]
) -> dict[str, tf.Tensor]:
    """The batch, its `label` as int64 [B]: of [B, 1], and of whole numbers in floats, too.

    A loss of [B, 1] against [B] would be broadcast to [B, B] without a word.

    Args:
      batch: of a step.
      networks: role -> network, of logits [N, K], or of [N, S, K], whose labels are [B, S].
    """
    label = batch["label"]
    rank = len(next(iter(networks.values())).output_shape) - 1
    if label.shape.rank > rank:
        label = tf.squeeze(label, -1)
    return batch | {"label": tf.cast(label, tf.int64)}


def check_label_spec(spec: tf.TensorSpec, classifiers: list[int], num_classes: int) -> None:
    """Refuses labels that are no class ids by their shape and type.

    Args:
      spec: of the labels.
      classifiers: [] for networks of logits [N, K], and [S] for those of [N, S, K].
      num_classes: K.

    Raises:
      ValueError: they are one-hot, of another shape, or no numbers.
    """
    shape, dtype = spec.shape, spec.dtype
    expected = ", ".join(["B", *map(str, classifiers)])
    if shape.rank == 2 + len(classifiers) and shape[-1] == num_classes:
        raise ValueError(
            f"label must be class ids [{expected}]; received shape {tuple(shape)}, as one-hot "
            "labels have. tf.argmax(label, axis=-1) makes class ids of them."
        )
    if list(shape[1:]) not in (classifiers, [*classifiers, 1]):
        raise ValueError(
            f"label must be class ids [{expected}] or [{expected}, 1]; received shape {shape}."
        )
    if not (dtype.is_integer or dtype.is_floating):
        raise ValueError(f"label must be class ids, whole numbers; received {dtype.name}.")


def _check_labels(data, num_classes):
    """Raises ValueError if labels are out of range, as far as the first batches show."""
    counts = getattr(data, "class_counts", None)  # of mpl_tf.data.pair, which has looked at all
    if counts is not None:
        wrong = num_classes + np.flatnonzero(counts[num_classes:])
        if wrong.size:
            raise _out_of_range(wrong[0], num_classes)
        return
    batches = list(data.take(_LOOKED_AT))
    if not batches:
        raise ValueError("fit needs data with at least one batch; received none.")
    for batch in batches:
        label = batch["label"].numpy()
        wrong = wrong_labels(label, num_classes)
        if wrong.size:
            raise _out_of_range(wrong.flat[0], num_classes)


def with_checked_labels(data: Any, num_classes: int) -> Any:
    """Data whose labels are looked at as they come, unless somebody has looked at all of them.

    A label that is no class id would count as an image that shows nothing, without a word.

    Args:
      data: as for `check_batch`.
      num_classes: K.

    Returns:
      The data, or a tf.data.Dataset of the same batches that raises
      tf.errors.InvalidArgumentError at the first with such a label.
    """
    if getattr(data, "class_counts", None) is not None or not isinstance(data, tf.data.Dataset):
        return data

    def check(batch):
        label = tf.cast(batch["label"], tf.float64)
        fit = (label == tf.floor(label)) & (label >= 0) & (label < num_classes)
        wrong = tf.boolean_mask(label, ~fit)[:1]
        message = f"label must be whole numbers from 0 to {num_classes - 1}; received"
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(fit), [message, wrong])]):
            return batch | {"label": tf.identity(batch["label"])}

    return data.map(check)


def wrong_labels(label: np.ndarray, num_classes: int) -> np.ndarray:
    """Those of the labels that are no whole numbers from 0 to `num_classes` - 1."""
    return label[(label != np.floor(label)) | (label < 0) | (label >= num_classes)]


def _out_of_range(label, num_classes):
    return ValueError(
        f"label must be whole numbers from 0 to {num_classes - 1}, as the networks have "
        f"{num_classes} classes; received {label}. Images without a label belong to the unlabeled "
        "views."
    )
