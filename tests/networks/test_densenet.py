"""DenseNet: numbers of parameters, Keras's features, names."""

import keras
import numpy as np
import pytest
from keras.src.applications.densenet import DenseNet  # public for three depths alone

from mpl_tf.networks import densenet, find, parts
from mpl_tf.options import ConfigError


@pytest.mark.parametrize(
    ("name", "side", "classes", "parameters"),
    [
        ("densenet_264", 224, 1000, 33_337_704),
        ("densenet_100_12", 32, 10, 769_162),
        pytest.param("densenet_121", 224, 1000, 7_978_856, marks=pytest.mark.slow),
        pytest.param("densenet_161", 224, 1000, 28_681_000, marks=pytest.mark.slow),
        pytest.param("densenet_201", 224, 1000, 20_013_928, marks=pytest.mark.slow),
    ],
)
def test_number_of_parameters(name, side, classes, parameters, count):
    assert count(name, side, classes) == parameters


def test_features_are_those_of_keras(rng):
    blocks, shape = (1, 1, 2, 1), (32, 48, 3)
    theirs = DenseNet(blocks, False, None, None, shape, "avg", name="reference")
    network = densenet.build(3, shape, stem="large", blocks=blocks)
    ours = parts.backbone(network)
    for weight in theirs.weights:  # batch statistics, too, are to be told from initial ones
        weight.assign(weight + 0.1 * np.abs(rng.normal(size=weight.shape)))
    ours.set_weights(theirs.get_weights())
    images = rng.integers(0, 256, (2, *shape)).astype(np.float32)
    expected = np.asarray(theirs(keras.applications.densenet.preprocess_input(images.copy())))
    np.testing.assert_allclose(ours(images), expected, rtol=1e-3, atol=1e-3 * np.ptp(expected))
    assert np.ptp(expected) > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("densenet_120", r"one of 121, 161, 169, 201, 264, or 6n \+ 4 .*received 120"),
        ("densenet_4", "received 4"),
        ("densenet_121_0", "a growth of at least 1; received blocks=.*growth=0"),
    ],
)
def test_other_networks_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find(name)


@pytest.mark.parametrize(
    ("stem", "least"), [("small", 4), ("large", 16)]
)  # of three blocks, so that pooling leaves a pixel
def test_images_are_not_too_small(stem, least):
    densenet.build(3, (least, least, 1), stem=stem, blocks=(1, 1, 1), growth=1)
    with pytest.raises(ConfigError, match=f"of 3 blocks with the {stem} .* {least}x{least} pixels"):
        densenet.build(3, (least, least - 1, 1), stem=stem, blocks=(1, 1, 1), growth=1)
