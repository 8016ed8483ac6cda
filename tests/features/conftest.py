"""A small backbone, and images whose features are cached."""

import functools

import keras
import numpy as np
import pytest

from mpl_tf.augment import policies, randaugment
from mpl_tf.data.arrays import arrays
from mpl_tf.features.options import FeatureConfig
from mpl_tf.features.tables import Features
from mpl_tf.features.views import view_sets

SHAPE, SIZE = (8, 8, 3), 5
WEAK = policies.Crop()
STRONG = policies.Strong(WEAK, randaugment.RandAugment())


@pytest.fixture(scope="session")
def make_backbone():
    """make_backbone(seed, ...): images [N, 8, 8, 3] -> features [N, 5]."""

    def make(seed=0, initial_seed=0, activation="relu", dropout=0.5):
        x = inputs = keras.Input(SHAPE)
        x = keras.layers.Rescaling(1 / 255)(x)
        initial = keras.initializers.GlorotUniform(initial_seed)
        x = keras.layers.Conv2D(SIZE, 3, activation=activation, kernel_initializer=initial)(x)
        x = keras.layers.Dropout(dropout, seed=seed)(x)
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="backbone")

    return make


@pytest.fixture(scope="session")
def images():
    """Two parts of one dataset, of 150 and 70 images: three chunks and two. None is changed."""
    pixels = np.random.default_rng(0).integers(0, 256, (220, *SHAPE), np.uint8)
    both = arrays(pixels, np.arange(220) % 3)
    return {"train": both.take(np.arange(150)), "unlabeled": both.take(np.arange(150, 220))}


@pytest.fixture(scope="session")
def features_in(make_backbone, images):
    """features_in(folder, backbone, **options): Features of these images in a folder."""

    def make(folder, backbone=None, parts=images, weak=WEAK, strong=STRONG, **options):
        made = FeatureConfig(**options)
        sets = view_sets(made, weak, strong)
        backbone = backbone or make_backbone()
        return Features(backbone, parts, sets, str(folder), made.cache_dtype)

    return make


@pytest.fixture
def make_features(features_in, tmp_path):
    """make_features(backbone, **options): Features of these images in a folder of the test."""
    return functools.partial(features_in, tmp_path / "features")
