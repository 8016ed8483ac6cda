"""The candidate "logistic regression": how it answers held-out images, and its network."""

from typing import Any

import keras
import numpy as np

from mpl_tf.auto.material import Material
from mpl_tf.features import folds as folding
from mpl_tf.features import probe
from mpl_tf.formulas import calibration
from mpl_tf.networks import parts

NAME = "logistic regression"


def attempt(material: Material) -> tuple[dict[str, Any], np.ndarray]:
    """Measures it.

    Returns:
      (result, probs): what a journal keeps, `right`, 1 for each of `Material.held_out` that is
      answered right, and `calibration_temperature`, fitted on them; and the class probabilities of
      the labeled images, out of fold and calibrated, float [N, K].
    """
    train = material.source.train
    logits = probe.out_of_fold(
        material.features["train"],
        train.labels,
        material.num_classes,
        material.folds,
        strength(material),
        material.standard,
    )
    inside = material.folds != folding.NEVER_HELD_OUT
    temperature, _ = calibration.determined_temperature(logits[inside], train.labels[inside])
    probs = calibration.probabilities(logits, temperature)
    held_out, answers = material.held_out(), logits[inside]
    if held_out is None:
        return {"right": [], "calibration_temperature": 1.0}, probs
    if material.source.validation is not None:
        answers = head(material).logits(material.features["validation"])
        temperature, _ = calibration.determined_temperature(answers, held_out.labels)
    right = np.argmax(answers, axis=-1) == held_out.labels
    return {"right": right.astype(int).tolist(), "calibration_temperature": temperature}, probs


def strength(material: Material) -> float:
    """Of the penalty, chosen on all labels."""
    labels, seed = material.source.train.labels, material.seed
    features, standard = material.features["train"], material.standard
    return probe.choose_strength(features, labels, material.num_classes, seed, standard)


def head(material: Material) -> probe.Head:
    """It, fitted on all labels."""
    labels, features = material.source.train.labels, material.features["train"]
    chosen, standard = strength(material), material.standard
    return probe.fit(features, labels, material.num_classes, chosen, standard)


def network(backbone: keras.Model, fitted: probe.Head) -> keras.Model:
    """The network of a backbone and a fitted head: images -> logits."""
    features, classes = fitted.kernel.shape
    inputs = keras.Input((features,))
    layer = keras.layers.Dense(classes, dtype="float32")
    model = keras.Model(inputs, layer(inputs), name=parts.HEAD)
    model.set_weights([fitted.kernel, fitted.bias])
    return parts.join(backbone, model)
