"""What `fit` asks of its data before the first step."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf


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
      ValueError: it is no such data, a key is missing, images have another shape than a network
        takes, or a batch does not divide.
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
