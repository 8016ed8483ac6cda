"""Seeded initial weights."""

import itertools
from collections.abc import Iterator

import keras
import numpy as np


def layer_seeds(seed: int) -> Iterator[int]:
    """Endless distinct seeds for the layers of one network, the same for the same `seed`."""
    generator = np.random.default_rng(seed)
    return (int(generator.integers(2**31)) for _ in itertools.count())


def he_normal_out(seed: int) -> keras.Initializer:
    """Normal with variance 2 / fan_out, for convolutions of residual networks (He et al. 2015)."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)
