"""Inception-v4, and what PolyNet shares with it: counts, sizes, gradients, names."""

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
from keras import layers

from mpl_tf.networks import find, parts
from mpl_tf.networks.layers import all_layers
from mpl_tf.networks.precision import precision
from mpl_tf.options import ConfigError

SMALL = {"inception_v4": "inception_v4_1_1_1_0.0625", "polynet": "polynet_1_1_2_0.0625"}


def small(name, seed=1, **arguments):
    return find(SMALL[name])(10, (75, 76, 1), seed=seed, **arguments)


@pytest.fixture(scope="module", params=SMALL)
def network(request):
    return small(request.param)


ONE_FAST = pytest.mark.parametrize(
    "network", ["polynet", pytest.param("inception_v4", marks=pytest.mark.slow)], indirect=True
)


@pytest.mark.parametrize(
    ("name", "side", "parameters"),
    [
        ("inception_v4", 299, 42_679_816),
        pytest.param("polynet", 331, 95_366_600, marks=pytest.mark.slow),
    ],
)
def test_number_of_parameters(name, side, parameters, count):
    assert count(name, side) == parameters


def test_the_sizes_of_a_small_member(network):
    joined = [x for x in parts.backbone(network).layers if isinstance(x, layers.Concatenate)]
    sizes = [x.output.shape[1] for x in joined]
    assert sizes == sorted(sizes, reverse=True)
    assert list(dict.fromkeys(sizes)) == [17, 15, 7, 3, 1]
    assert (
        parts.backbone(network).output_shape[1]
        == {"inception_v4": 96, "polynet": 128}[network.name]
    )


def test_each_weight_gets_a_gradient(network, rng):
    images = rng.uniform(0, 255, (8, 75, 76, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        loss = tf.reduce_sum(logits**2)
    assert logits.shape == (8, 10)
    gradients = tape.gradient(loss, network.trainable_variables)
    for gradient, variable in zip(gradients, network.trainable_variables, strict=True):
        assert gradient is not None, variable.path
        assert np.all(np.isfinite(gradient)) and np.any(gradient), variable.path


@ONE_FAST
def test_a_saved_network_is_the_same_function(network, rng, tmp_path):
    images = rng.uniform(0, 255, (4, 75, 76, 1)).astype(np.float32)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(loaded(images), network(images), rtol=1e-5, atol=1e-5)


def check_layers_and_weights(network, seed, rng):
    """Builds another one in bfloat16, with a seed; `network` has seed 1."""
    with precision("bfloat16"):
        other = small(network.name, seed, synchronized=True, head_temperature=0.5)
    images = rng.uniform(0, 255, (4, 75, 76, 1)).astype(np.float32)
    assert parts.backbone(other)(images).dtype == tf.bfloat16
    logits = other(images)
    assert logits.dtype == tf.float32 and np.all(np.isfinite(logits))
    norms = [x for x in all_layers(other) if isinstance(x, layers.BatchNormalization)]
    assert norms and all(x.synchronized for x in norms)
    assert parts.head(other).layers[-1].scale == 2
    for a, b in zip(network.get_weights(), other.get_weights(), strict=True):
        assert np.ptp(a) == 0 or np.array_equal(a, b) == (seed == 1)


@ONE_FAST
def test_arguments_and_the_policy_are_those_of_layers_and_another_seed_gives_other_weights(
    network, rng
):
    check_layers_and_weights(network, 2, rng)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(network, rng):
    check_layers_and_weights(network, 1, rng)


@pytest.mark.parametrize(
    ("name", "received"),
    [
        ("inception_v4_0_1_1_1", "0, 1, 1 and 1"),
        ("inception_v4_1_1_1_0", "1, 1, 1 and 0"),
        ("polynet_1_1_0_0.5", "1, 1, 0 and 0.5"),
    ],
)
def test_numbers_that_make_no_network_are_refused(name, received):
    with pytest.raises(ConfigError, match=f"width greater than 0; received {received}\\."):
        find(name)


@pytest.mark.parametrize("name", SMALL)
def test_images_of_less_than_75_pixels_are_refused(name):
    with pytest.raises(ConfigError, match=r"at least 75x75 pixels; received 80x74\. --image_size"):
        find(name)(10, (80, 74, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_small_member_learns_digits(name, jit_compile):
    digits = sklearn.datasets.load_digits()
    images = np.kron(digits.images[:256, :, :, None] * (255 / 16), np.ones((1, 10, 10, 1)))
    network = find(SMALL[name])(10, (80, 80, 1), dropout=0.0)
    network.compile(
        keras.optimizers.SGD(0.02, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    history = network.fit(images, digits.target[:256], batch_size=32, epochs=12, verbose=0)
    assert history.history["accuracy"][-1] > 0.7
