"""The layers that a network is made of."""

import keras


def all_layers(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All layers inside a network, each once, outer ones before those in them.

    Layers lie in nested models, in wrappers such as keras.layers.TimeDistributed, and in layers
    that users write of other layers. Copies of a network have them in the same order.
    """
    return network._flatten_layers(include_self=False)  # `layers` are those at the top alone
