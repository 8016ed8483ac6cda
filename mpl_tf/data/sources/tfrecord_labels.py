"""The class ids in TFRecord files, and the names of the classes."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mpl_tf import files
from mpl_tf.images import example
from mpl_tf.options import ConfigError

_BATCH = 256
_NAMED = 5  # classes in a message
_DTYPES = {int: tf.int64, float: tf.float32}


def read(path: str) -> np.ndarray:
    """The class ids of a TFRecord file.

    They are in the feature `label`, else `image/class/label`, as one whole number a record, of type
    int64 or float.

    Args:
      path: the file; all of it is read.

    Returns:
      int64 [N], -1 where there is none.

    Raises:
      ConfigError: the file is damaged, or its labels are something else.
    """
    data = tf.data.TFRecordDataset(path)
    try:
        first = next(data.as_numpy_iterator(), None)
        if first is None:
            return np.empty(0, np.int64)
        name, dtype = _feature(path, first)
        feature = {name: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)}

        def parse(records):
            values = tf.io.parse_example(records, feature)[name]
            return values.row_lengths(), values.flat_values

        batches = list(data.batch(_BATCH).map(parse, tf.data.AUTOTUNE).as_numpy_iterator())
    except tf.errors.DataLossError as error:
        raise ConfigError(f"{path} is damaged: {files.reason(error)}.") from error
    except tf.errors.InvalidArgumentError as error:
        raise ConfigError(
            f"labels of {path} must be of one type; some are no {dtype.name}, as the first is."
        ) from error
    lengths, values = (np.concatenate(column) for column in zip(*batches, strict=True))
    if (lengths > 1).any():
        record = int(np.argmax(lengths > 1))
        at = int(lengths[:record].sum())
        raise _refused(path, record, name, values[at : at + lengths[record]].tolist())
    numbers = np.flatnonzero(lengths)  # records that have a label
    whole = np.floor(values) == values
    if not whole.all():
        raise _refused(path, numbers[~whole][0], name, [values[~whole][0].item()])
    labels = np.full(len(lengths), -1)
    labels[numbers] = values
    return labels


def _feature(path, record):
    """(name, type) of the feature with the label of a record, bytes."""
    try:
        features = example.features(record)
    except ValueError as error:
        raise ConfigError(f"{path} must hold tf.train.Examples; record 0 is {error}.") from error
    name = next((name for name in example.LABEL if features.get(name)), "")
    if not name:
        raise ConfigError(
            f"{path} must have a label in the feature {' or '.join(example.LABEL)}; record 0 "
            f"{example.describe(record)}."
        )
    values = features[name]
    if type(values[0]) not in _DTYPES:
        raise _refused(path, 0, name, values)
    return name, _DTYPES[type(values[0])]


def _refused(path, record, name, values):
    received = repr(values[0])
    if len(values) > 1:
        received = f"{len(values)} values ({', '.join(map(repr, values[:_NAMED]))}, ...)"
    return ConfigError(
        f"{path}: the label of an image must be one whole number, its class id (not its name, nor "
        f"one-hot); received {received} in feature {name} of record {record}."
    )


def name_classes(labels: Mapping[str, np.ndarray], names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes, after a check that they fit the labels.

    Args:
      labels: part -> class ids, int64 [N]; there is "labeled".
      names: one a class id, if they are known.

    Returns:
      `names`; without them "0", "1" and so on, one a class id of the labeled images.

    Raises:
      ConfigError: a label is no class id; or, without names, there is a gap in the class ids.
    """
    of_labeled = labels["labeled"]
    count = len(names) if names else len(np.unique(of_labeled[of_labeled >= 0]))
    least = min(int(of_part.min(initial=count)) for of_part in labels.values())
    for part, of_part in labels.items():
        for record in np.flatnonzero((of_part < 0) | (of_part >= count))[:1]:
            raise ConfigError(
                f"labels of {part} images must be from 0 to {count - 1}{_why(names, count)}; "
                f"received {of_part[record]} in record {record}"
                f"{_hint(of_part[record], least, int(of_labeled.max()), count)}."
            )
    return tuple(names) if names else tuple(map(str, range(count)))


def _why(names, count):
    if names:
        return f", as info.json names {count} classes"
    return f", as they are of {count} different classes"


def _hint(label, least, greatest, count):
    if label == -1:
        return " (-1: none)"
    if least == 1 and greatest == count:
        return ": class ids begin at 0, these at 1; subtract 1 from each"
    return ""
