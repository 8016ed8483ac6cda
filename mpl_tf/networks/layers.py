"""The layers that a network is made of."""

import inspect
from collections.abc import Iterator
from typing import Any

import keras

# The name of the state of a layer that draws at random, such as the masks of dropout.
SEED_STATE = "seed_generator_state"


def all_layers(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All layers inside a network, each once, in the order in which they compute.

    Layers lie in nested models, in wrappers such as keras.layers.TimeDistributed, and in layers
    that users write of other layers: after the one that they are in, and before the one that
    follows it. A layer that users write has those inside it in the order in which it made them.
    Copies of a network have them in the same order.
    """
    return list({id(layer): layer for layer in _inside(network)}.values())


def _inside(network: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    for layer in network._layers:  # `layers` are those at the top of a model alone
        yield layer
        yield from _inside(layer)


def leaves(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers of `all_layers` that have none inside."""
    return [layer for layer in all_layers(network) if not layer._layers]


def variables_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The variables of a layer, without those of the layers inside it."""
    inside = {id(variable) for each in layer._layers for variable in each.variables}
    return [variable for variable in layer.variables if id(variable) not in inside]


def draws(layer: keras.layers.Layer) -> bool:
    """Whether a layer draws at random itself, as dropout does in training."""
    return any(variable.name == SEED_STATE for variable in variables_of(layer))


def from_config(layer_class: type[keras.Layer], config: dict[str, Any]) -> keras.Layer:
    """A layer of a configuration.

    What the class writes into its configuration and its constructor does not take is left out: the
    patch embedding of KerasHub's ViT has two such numbers, which follow from the others.
    """
    try:
        return layer_class.from_config(dict(config))
    except (TypeError, ValueError):
        taken = {*inspect.signature(layer_class).parameters, "name", "trainable", "dtype"}
        known = {key: value for key, value in config.items() if key in taken}
        if len(known) == len(config):
            raise
        return layer_class.from_config(known)


def drop_path(rate: float, seed: int) -> keras.layers.Dropout:
    """A layer that drops a branch of a network for whole images: stochastic depth, drop path.

        training:  outputs[i] = kept[i] * inputs[i] / (1 - rate),  kept[i] ~ Bernoulli(1 - rate)
        else:      outputs = inputs

    Args:
      rate: in [0, 1), the probability with which an image's branch is dropped.
      seed: of the draws.

    Returns:
      A layer, [N, H, W, C] -> [N, H, W, C].
    """
    return keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), seed=seed)
