"""Features of images for work of your own."""

import os

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.augment import policies
from mpl_tf.data.arrays import arrays
from mpl_tf.data.dataset import Images
from mpl_tf.features import compute
from mpl_tf.features.tables import Features
from mpl_tf.features.views import CHUNK, PLAIN, ViewSet
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.paths import local_path


def extract(
    images: np.ndarray | Images, network: keras.Model, cache_dir: str | os.PathLike[str] = ""
) -> np.ndarray:
    """The features that a network has of images as they are.

        source = mpl_tf.data.folder("my_images", image_size=96)
        build = mpl_tf.NETWORKS["keras:MobileNetV2"]
        network = build(len(source.class_names), source.train.shape, weights="imagenet")
        features = mpl_tf.features.extract(source.train, network)
        labels = source.train.labels

    Args:
      images: uint8 [N, H, W, C], or a part of a dataset, such as the `train` or `unlabeled` of
        `mpl_tf.data.folder`.
      network: of a backbone and a head, as `mpl_tf.NETWORKS` makes `keras:NAME`, `file:MODEL.keras`
        and `hub:PRESET`.
      cache_dir: folder in which features are kept, with 16 bits a number, and found again; "" keeps
        none.

    Returns:
      float32 [N, F].

    Raises:
      ConfigError: the network has no backbone, or takes other images; there is no room.
    """
    if not parts.has_parts(network):
        raise ConfigError(
            "network must be one of a backbone and a head, such as mpl_tf.NETWORKS"
            f'["keras:MobileNetV2"](...); received {network.name}, which is one whole.'
        )
    images = images if isinstance(images, Images) else arrays(images)
    backbone = parts.backbone(network)
    if tuple(images.shape) != tuple(backbone.input_shape[1:]):
        raise ConfigError(
            f"the network takes images of shape {tuple(backbone.input_shape[1:])}; received "
            f"{tuple(images.shape)}."
        )
    if directory := local_path("cache_dir", cache_dir):
        plain = ViewSet(PLAIN, policies.unchanged, 1, 0)
        return Features(backbone, {"images": images}, {PLAIN: plain}, directory).plain(images)
    run = compute.forward(backbone)
    positions = tf.data.Dataset.from_tensor_slices(images.positions).batch(CHUNK)
    batches = images.store.batches(positions, CHUNK)
    features = np.concatenate([np.asarray(run(batch), np.float32) for batch in batches])
    return compute.narrowed(features, np.dtype(np.float32))
