"""Shared by all tests: quiet TensorFlow, and networks small enough for hand-written steps."""

import os
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def linear(rng):
    """linear(features, classes): a built float64 network of one dense layer with random weights."""

    def build(features, classes):
        inputs = keras.Input([features], dtype="float64")
        layer = keras.layers.Dense(classes, dtype="float64")
        model = keras.Model(inputs, layer(inputs))
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
        return model

    return build


@pytest.fixture
def convolutional(rng):
    """convolutional(seed): a small network with batch normalisation and dropout on 6x6 images."""

    def build(seed, classes=3, dtype="float64", dropout=0.3):
        layers = keras.layers
        x = inputs = keras.Input([6, 6, 1], dtype=dtype)
        x = layers.Conv2D(4, 3, use_bias=False, dtype=dtype, kernel_initializer=_init(seed))(x)
        x = layers.BatchNormalization(momentum=0.9, dtype=dtype)(x)
        x = layers.LeakyReLU(dtype=dtype)(x)
        x = layers.Flatten(dtype=dtype)(x)
        x = layers.Dropout(dropout, seed=seed, dtype=dtype)(x)
        x = layers.Dense(classes, dtype=dtype, kernel_initializer=_init(seed + 1))(x)
        return keras.Model(inputs, x)

    def _init(seed):
        return keras.initializers.GlorotUniform(seed=seed)

    return build


@pytest.fixture(scope="session")
def free_ports():
    """free_ports(count): ports of this machine that nobody listens on, a list of int."""

    def find(count):
        sockets = [socket.socket() for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        return ports

    return find
