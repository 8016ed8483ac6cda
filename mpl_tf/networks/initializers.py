"""Seeded initial weights."""

import itertools

import keras
import numpy as np


def layer_seeds(seed):
    """Endless distinct seeds for the layers of one network, the same for the same `seed`."""
    generator = np.random.default_rng(seed)
    return (int(generator.integers(2**31)) for _ in itertools.count())


def he_normal_out(seed):
    """Normal with variance 2 / fan_out, the usual one for convolutions of residual networks."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)
