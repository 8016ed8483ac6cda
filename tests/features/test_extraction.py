"""Features of images for work of one's own."""

import logging

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.data.arrays import arrays
from mpl_tf.networks import heads, parts
from mpl_tf.options import ConfigError


@pytest.fixture
def network():
    inputs = keras.Input((9, 9, 3))
    same = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")(inputs)
    thirds = keras.layers.AveragePooling2D(3)(same)
    backbone = keras.Model(inputs, keras.layers.Flatten()(thirds), name=parts.BACKBONE)
    return parts.join(backbone, heads.build(2, 27))


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (70, 9, 9, 3), np.uint8)


def test_they_are_the_backbones(network, images, tmp_path):
    expected = images.reshape(70, 3, 3, 3, 3, 3).mean((2, 4)).reshape(70, 27)
    features = mpl_tf.features.extract(images, network)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-5)
    some = arrays(images).take(np.array([69, 3]))
    np.testing.assert_allclose(mpl_tf.features.extract(some, network), expected[[69, 3]], rtol=1e-5)
    for _ in range(2):  # computed, and found again
        cached = mpl_tf.features.extract(some, network, str(tmp_path))
        np.testing.assert_allclose(cached, expected[[69, 3]], rtol=1e-3)
    assert len(list(tmp_path.iterdir())) == 1


def test_they_are_computed_often_without_a_warning_of_tensorflow(
    network, images, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    for number in range(7):
        mpl_tf.features.extract(images[:2], network)
        mpl_tf.features.extract(images[number : number + 2], network, str(tmp_path))
    assert "retracing" not in caplog.text


def test_what_is_no_number_is_refused_cached_or_not(network, images, tmp_path):
    for weight in parts.backbone(network).weights:
        weight.assign(weight * np.nan)
    for cache_dir in ("", str(tmp_path)):
        with pytest.raises(ConfigError, match="features that are NaN or infinite"):
            mpl_tf.features.extract(images, network, cache_dir)


def test_what_has_none_is_refused(network, images):
    with pytest.raises(ConfigError, match="one of a backbone and a head"):
        mpl_tf.features.extract(images, parts.backbone(network))
    with pytest.raises(ConfigError, match=r"of shape \(9, 9, 3\); received \(8, 9, 3\)"):
        mpl_tf.features.extract(images[:, 1:], network)
