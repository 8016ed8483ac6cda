"""tf.train.Examples of an encoded image and, if it has one, its label."""

import tensorflow as tf


def serialize(image: bytes, label: int = -1) -> bytes:
    """A tf.train.Example: `image`, the encoded image, and `label` unless it is -1."""
    features = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))}
    if label >= 0:
        features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)  # the same file again from the same images


def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Images and labels of tf.train.Examples.

    Args:
      serialized: string tensor, [] or [n].

    Returns:
      (image, label): string, the encoded image in feature `image`, else `image/encoded`, else "";
      int64, feature `label`, else `image/class/label`, else -1. Both of the argument's shape.
    """
    text = tf.io.FixedLenFeature([], tf.string, "")
    number = tf.io.FixedLenFeature([], tf.int64, -1)
    names = {"image": text, "image/encoded": text, "label": number, "image/class/label": number}
    values = tf.io.parse_example(serialized, names)
    image = tf.where(values["image"] == "", values["image/encoded"], values["image"])
    return image, tf.where(values["label"] < 0, values["image/class/label"], values["label"])
