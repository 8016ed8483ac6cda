"""The layers that a network is made of."""

import inspect
from typing import Any

import keras


def all_layers(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All layers inside a network, each once, outer ones before those in them.

    Layers lie in nested models, in wrappers such as keras.layers.TimeDistributed, and in layers
    that users write of other layers. Copies of a network have them in the same order.
    """
    return network._flatten_layers(include_self=False)  # `layers` are those at the top alone


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
