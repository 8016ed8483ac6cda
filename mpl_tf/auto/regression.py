"""The candidate "logistic regression": how it answers held-out images, and its network."""

from typing import Any

import keras
import numpy as np

from mpl_tf.auto import probe
from mpl_tf.auto.material import Material
from mpl_tf.engine import calibration
from mpl_tf.networks import parts

NAME = "logistic regression"


def attempt(material: Material) -> tuple[dict[str, Any], np.ndarray]:
    """Measures it.

    Returns:
      (result, probs): what a journal keeps, `right`, 1 for each of `Material.held_out` that is
      answered right, and `temperature`, fitted on them; and the class probabilities of the labeled
      images, out of fold, float [N, K].
    """
    train, seed = material.source.train, material.seed
    probs = probe.out_of_fold(
        material.features["train"],
        train.labels,
        material.num_classes,
        material.folds,
        seed,
        material.standard,
    )
    held_out = material.held_out()
    if held_out is None:
        return {"right": [], "temperature": 1.0}, probs
    if material.source.validation is None:
        answers = probs[~np.isnan(probs[:, 0])]
    else:
        answers = head(material).probabilities(material.features["validation"])
    right = np.argmax(answers, axis=-1) == held_out.labels
    tiny = np.finfo(np.float64).tiny
    temperature, _ = calibration.fit(np.log(np.maximum(answers, tiny)), held_out.labels)
    return {"right": right.astype(int).tolist(), "temperature": temperature}, probs


def head(material: Material) -> probe.Head:
    """It, fitted on all labels."""
    labels, classes = material.source.train.labels, material.num_classes
    features, standard = material.features["train"], material.standard
    strength = probe.choose_strength(features, labels, classes, material.seed, standard)
    return probe.fit(features, labels, classes, strength, standard)


def network(backbone: keras.Model, fitted: probe.Head) -> keras.Model:
    """The network of a backbone and a fitted head: images -> logits."""
    features, classes = fitted.kernel.shape
    inputs = keras.Input((features,))
    layer = keras.layers.Dense(classes, dtype="float32")
    model = keras.Model(inputs, layer(inputs), name=parts.HEAD)
    model.set_weights([fitted.kernel, fitted.bias])
    return parts.join(backbone, model)
