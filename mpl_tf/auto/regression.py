"""The candidate "logistic regression": how it answers held-out images, and its network."""

import keras
import numpy as np

from mpl_tf.auto.material import Material
from mpl_tf.features import folds as folding
from mpl_tf.features import probe
from mpl_tf.networks import parts

NAME = "logistic regression"


def answers(material: Material) -> np.ndarray:
    """Logits float [H, K] of `Material.held_out`, by heads that were fitted without them."""
    if material.source.validation is not None:
        return head(material).logits(material.features["validation"])
    return out_of_fold(material)[material.folds != folding.NEVER_HELD_OUT]


def out_of_fold(material: Material) -> np.ndarray:
    """Logits float [N, K] of the labeled images, each by a head that was fitted without its fold.

    Rows of images that are in no fold are NaN.
    """
    labels = material.source.train.labels
    chosen, standard = material.strength, material.standard
    features, folds = material.features["train"], material.folds
    return probe.out_of_fold(features, labels, material.num_classes, folds, chosen, standard)


def head(material: Material) -> probe.Head:
    """It, fitted on all labels."""
    labels, features = material.source.train.labels, material.features["train"]
    chosen, standard = material.strength, material.standard
    return probe.fit(features, labels, material.num_classes, chosen, standard)


def network(backbone: keras.Model, fitted: probe.Head) -> keras.Model:
    """The network of a backbone and a fitted head: images -> logits."""
    features, classes = fitted.kernel.shape
    inputs = keras.Input((features,))
    layer = keras.layers.Dense(classes, dtype="float32")
    model = keras.Model(inputs, layer(inputs), name=parts.HEAD)
    model.set_weights([fitted.kernel, fitted.bias])
    return parts.join(backbone, model)
