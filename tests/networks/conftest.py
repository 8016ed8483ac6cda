"""Shared by the tests of networks: weights as Keras publishes them, lengths, and counts."""

import h5py
import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state

from mpl_tf import networks


@pytest.fixture
def unit_length():
    """unit_length(features): [N, F], each divided by its length, as backbones give them."""

    def divide(features):
        return features / np.linalg.norm(features, axis=-1, keepdims=True)

    return divide


@pytest.fixture
def write_published():
    """write_published(path, network): a file of a network's weights, as Keras publishes them."""

    def write(path, network):
        """The HDF5 layout of the files that keras.applications downloads."""
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.4.0"
            for layer in network.layers:
                group = file.create_group(layer.name)
                names = [f"weight_{i}".encode() for i in range(len(layer.weights))]
                group.attrs["weight_names"] = names
                for name, value in zip(names, layer.get_weights(), strict=True):
                    group.create_dataset(name.decode(), data=value)

    return write


@pytest.fixture
def count():
    """count(name, side): trainable parameters with 1,000 classes; no weight is allocated."""

    def number(name, side=224, classes=1000):
        try:
            with keras.StatelessScope(initialize_variables=False):
                network = networks.find(name)(classes, (side, side, 3))
        finally:  # the next scope, one of Keras's, would allocate them
            global_state.set_global_attribute("uninitialized_variables", [])
        return sum(int(np.prod(v.shape)) for v in network.trainable_variables)

    return number
