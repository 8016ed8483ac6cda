"""Heads: what makes logits of a backbone's features."""

import re
from collections.abc import Iterator

import keras
import numpy as np
from keras import layers

from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.parts import HEAD
from mpl_tf.networks.precision import full
from mpl_tf.options import ConfigError

FORMS = "linear, or mlp_WIDTH: a hidden layer of WIDTH units with ReLU before it"


def build(
    num_classes: int,
    num_features: int,
    seed: int = 0,
    dropout: float = 0.2,
    form: str = "linear",
    temperature: float = 1.0,
) -> keras.Model:
    """A head.

        linear:      logits = (W dropout(features) + b) / temperature
        mlp_WIDTH:   logits = (W dropout(relu(V features + c)) + b) / temperature

    Args:
      num_classes: K, at least 2.
      num_features: F.
      seed: of the initial weights and the dropout masks.
      dropout: in [0, 1), before the last layer.
      form: one of FORMS.
      temperature: greater than 0.

    Returns:
      keras.Model, features [N, F] -> logits [N, K], called `parts.HEAD`.

    Raises:
      ConfigError: there is no such form.

    Example:
        head = build(10, 1280, seed=1, form="mlp_256")
        logits = head(features)
    """
    return draw(num_classes, num_features, layer_seeds(seed), dropout, form, temperature)


def draw(
    num_classes: int,
    num_features: int,
    seeds: Iterator[int],
    dropout: float,
    form: str,
    temperature: float,
) -> keras.Model:
    """`build` with the next seeds of a network in place of a seed."""
    width = hidden_width(form)
    x = inputs = keras.Input((num_features,))
    if width:
        # He's by fan-out: hidden vectors are as long as features, whatever their numbers.
        initializer = keras.initializers.VarianceScaling(
            2.0, "fan_out", "truncated_normal", seed=next(seeds)
        )
        x = layers.Dense(width, activation="relu", kernel_initializer=initializer)(x)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    outputs = layers.Dense(num_classes, kernel_initializer=initializer, dtype=full())(x)
    if temperature != 1:
        outputs = layers.Rescaling(1 / temperature, dtype=full())(outputs)
    return keras.Model(inputs, outputs, name=HEAD)


def unit_length() -> keras.Layer:
    """The last layer of a backbone that starts from learned weights: x / |x|.

    How long the features of published networks are differs by a factor of hundreds. At unit length
    one learning rate serves them all, and random initial weights of a head are next to nothing
    beside what it learns.
    """
    return layers.UnitNormalization(dtype=full())


def usual_length(num_features: int) -> keras.Layer:
    """The last layer of a backbone whose head is kept: x / sqrt(F), which keeps logits exact.

    The length of features behind a ReLU is of the order of sqrt(F).

    Args:
      num_features: F.
    """
    return layers.Rescaling(num_features**-0.5, dtype=full())


def set_linear(head: keras.Model, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Gives a linear head the weights at which `logits = features @ kernel + bias`.

    Args:
      head: of `build`; its W and b are those times its temperature.
      kernel: [F, K].
      bias: [K].
    """
    temperature = 1.0
    if isinstance(head.layers[-1], layers.Rescaling):
        temperature = 1 / head.layers[-1].scale
    head.set_weights([temperature * kernel, temperature * bias])


def hidden_width(form: str) -> int:
    """Units of the hidden layer of a head; 0 of one without.

    Raises:
      ConfigError: there is no such form.
    """
    if form == "linear":
        return 0
    match = re.fullmatch(r"mlp_([1-9]\d{0,4})", form)
    if match is None:
        raise ConfigError(f"head must be {FORMS}; received {form!r}.")
    return int(match.group(1))
