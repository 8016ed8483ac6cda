"""How much the layers of a network give."""

import contextlib
import math
from collections.abc import Iterator

import keras


def values_of_layers(network: keras.Model) -> Iterator[int]:
    """How many values each layer gives for an image; layers that do not tell are left out."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from values_of_layers(layer)
            continue
        with contextlib.suppress(AttributeError, ValueError):  # of layers with several calls
            for output in keras.tree.flatten(layer.output):
                yield math.prod(side or 1 for side in output.shape[1:])
