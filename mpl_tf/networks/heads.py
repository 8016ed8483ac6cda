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

FORMS = (
    "linear; mlp_WIDTH: a hidden layer of WIDTH units with ReLU before it; spinal, spinal_WIDTH: "
    "SpinalNet's four of WIDTH units (512)"
)
_SPINAL_WIDTH = 512  # the authors'


def build(
    num_classes: int,
    num_features: int,
    seed: int = 0,
    dropout: float = 0.2,
    form: str = "linear",
    temperature: float = 1.0,
    synchronized: bool = False,
) -> keras.Model:
    """A head.

        linear:      logits = (W dropout(features) + b) / temperature
        mlp_WIDTH:   logits = (W dropout(relu(V features + c)) + b) / temperature
        spinal_WIDTH, of features (left, right), each half of them, left the smaller one:
            h1 = relu(norm(V1 dropout(left) + c1))
            h2 = relu(norm(V2 dropout([right, h1]) + c2))
            h3 = relu(norm(V3 dropout([left, h2]) + c3))
            h4 = relu(norm(V4 dropout([right, h3]) + c4))
            logits = (W dropout([h1, h2, h3, h4]) + b) / temperature

    spinal is SpinalNet's head for transfer (Kabir et al., arXiv 2007.03347; their code,
    Transfer_Learning_STL10.py), with batch normalisation `norm`. Their dropout is 0.5.

    Args:
      num_classes: K, at least 2.
      num_features: F.
      seed: of the initial weights and the dropout masks.
      dropout: in [0, 1), before the last layer; in a spinal head before each.
      form: one of FORMS.
      temperature: greater than 0.
      synchronized: whether batch normalisation, of a spinal head, computes statistics over all
        replicas.

    Returns:
      keras.Model, features [N, F] -> logits [N, K], called `parts.HEAD`.

    Raises:
      ConfigError: there is no such form.

    Example:
        head = build(10, 1280, seed=1, form="mlp_256")
        logits = head(features)
    """
    seeds = layer_seeds(seed)
    return draw(num_classes, num_features, seeds, dropout, form, temperature, synchronized)


def draw(
    num_classes: int,
    num_features: int,
    seeds: Iterator[int],
    dropout: float,
    form: str,
    temperature: float,
    synchronized: bool,
) -> keras.Model:
    """`build` with the next seeds of a network in place of a seed."""
    shape, width = _parse(form)
    x = inputs = keras.Input((num_features,))
    if shape == "mlp":
        x = layers.Dense(width, activation="relu", kernel_initializer=_he(next(seeds)))(x)
    elif shape == "spinal":
        x = _spine(x, width, seeds, dropout, synchronized)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    outputs = layers.Dense(num_classes, kernel_initializer=initializer, dtype=full())(x)
    if temperature != 1:
        outputs = layers.Rescaling(1 / temperature, dtype=full())(outputs)
    return keras.Model(inputs, outputs, name=HEAD)


def _he(seed: int) -> keras.initializers.Initializer:
    """He's by fan-out: hidden vectors are as long as features, whatever their numbers."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal", seed=seed)


def _spine(
    features: keras.KerasTensor,
    width: int,
    seeds: Iterator[int],
    dropout: float,
    synchronized: bool,
) -> keras.KerasTensor:
    """[h1, h2, h3, h4] of a spinal head, [N, 4 * width]."""
    if features.shape[-1] < 2:
        raise ConfigError(
            f"head=spinal takes features in two halves; the network has {features.shape[-1]}."
        )
    half = features.shape[-1] // 2
    halves = features[:, :half], features[:, half:]
    hidden: list[keras.KerasTensor] = []
    for number in range(4):
        x = halves[number % 2]
        if hidden:
            x = layers.Concatenate()([x, hidden[-1]])
        x = layers.Dropout(dropout, seed=next(seeds))(x)
        x = layers.Dense(width, kernel_initializer=_he(next(seeds)))(x)
        x = layers.BatchNormalization(synchronized=synchronized)(x)
        hidden.append(layers.ReLU()(x))
    return layers.Concatenate()(hidden)


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


def check(form: str) -> None:
    """Raises ConfigError unless `form` is one of FORMS."""
    _parse(form)


def _parse(form: str) -> tuple[str, int]:
    """(linear, mlp or spinal; units of its hidden layers)."""
    match = re.fullmatch(r"(linear|spinal)|(mlp|spinal)_([1-9]\d{0,4})", form)
    if match is None:
        raise ConfigError(f"head must be {FORMS}; received {form!r}.")
    if match[1]:
        return match[1], _SPINAL_WIDTH
    return match[2], int(match[3])
