"""tf.train.Examples of an encoded image and, if it has one, its label."""

import tensorflow as tf
from google.protobuf import message

# Features that hold the encoded image, and the class id; the first that is there counts.
IMAGE = ("image", "image/encoded")
LABEL = ("label", "image/class/label")


def serialize(image: bytes, label: int = -1) -> bytes:
    """A tf.train.Example: `image`, the encoded image, and `label` unless it is -1."""
    features = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))}
    if label >= 0:
        features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)  # the same file again from the same images


def image(serialized: tf.Tensor) -> tf.Tensor:
    """The encoded images of tf.train.Examples.

    Args:
      serialized: string tensor, [] or [n].

    Returns:
      string tensor of the same shape, "" where there is none.
    """
    features = {name: tf.io.FixedLenFeature([], tf.string, "") for name in IMAGE}
    values = tf.io.parse_example(serialized, features)
    return tf.where(values[IMAGE[0]] == "", values[IMAGE[1]], values[IMAGE[0]])


def features(serialized: bytes) -> dict[str, list]:
    """Name -> values of the features of a tf.train.Example.

    Raises:
      ValueError: it is none.
    """
    try:
        example = tf.train.Example.FromString(serialized)
    except message.DecodeError as error:
        raise ValueError("no tf.train.Example") from error
    values = {}
    for name, feature in example.features.feature.items():
        one_of = feature.WhichOneof("kind")
        values[name] = list(getattr(feature, one_of).value) if one_of else []
    return values


def describe(serialized: bytes) -> str:
    """The features of a tf.train.Example in words, or that it is none or has none."""
    try:
        values = features(serialized)
    except ValueError as error:
        return f"is {error}"
    words = [f"{name} ({_describe(values[name])})" for name in sorted(values)]
    return f"has the features {', '.join(words)}" if words else "has no feature"


def _describe(values):
    sorts = {bytes: "bytes", int: "int64", float: "float"}
    return f"{len(values)} of {sorts[type(values[0])]}" if values else "empty"
