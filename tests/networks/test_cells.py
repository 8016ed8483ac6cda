"""Networks of cells: counts of the papers, wiring, gradients, drop path, names."""

import types

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
from keras import layers
from keras.src.applications import nasnet as nasnet_of_keras

from mpl_tf.networks import cells, find, parts
from mpl_tf.options import ConfigError

COUNTS = [
    ("pnasnet_5_large", 331, 1000, 86_057_668),
    pytest.param("amoebanet_a", 331, 1001, 86_721_806, marks=pytest.mark.slow),
    pytest.param("nasnet_a_mobile", 224, 1000, 5_289_978, marks=pytest.mark.slow),
    pytest.param("nasnet_a_large", 331, 1000, 88_753_150, marks=pytest.mark.slow),
    pytest.param("amoebanet_b", 480, 1001, 557_286_057, marks=pytest.mark.slow),
    pytest.param("amoebanet_c", 331, 1001, 155_277_171, marks=pytest.mark.slow),
    # GPipe's paper has 318 M of (18, 416), and 82 M of (18, 208).
    pytest.param("amoebanet_d_6_416", 224, 1000, 317_541_696, marks=pytest.mark.slow),
    pytest.param("amoebanet_d", 224, 1001, 81_140_766, marks=pytest.mark.slow),
    # CIFAR-10: the papers have 3.3 M, 3.2 M and 3.2 M.
    pytest.param("nasnet_a_6_32", 32, 10, 3_346_538, marks=pytest.mark.slow),
    pytest.param("pnasnet_5_3_48", 32, 10, 3_189_082, marks=pytest.mark.slow),
    pytest.param("amoebanet_a_6_36", 32, 10, 3_218_266, marks=pytest.mark.slow),
]
SMALL = [
    ("amoebanet_d", 27_042),
    pytest.param("amoebanet_c", 74_178, marks=pytest.mark.slow),
    pytest.param("amoebanet_a", 59_050, marks=pytest.mark.slow),
    pytest.param("amoebanet_b", 36_338, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def nasnet():
    return cells.build(10, (33, 33, 3), seed=1, repeats=1, filters=8, stem="large")


@pytest.fixture(scope="module")
def pnasnet():
    return cells.build(10, (8, 8, 1), seed=1, family="pnasnet_5", repeats=1, filters=8)


@pytest.mark.parametrize(("name", "side", "classes", "parameters"), COUNTS)
def test_the_number_of_parameters_is_the_papers(name, side, classes, parameters, count):
    assert count(name, side, classes) == parameters


def check_gradients(network, rng):
    images = rng.uniform(0, 255, (8, *network.input_shape[1:])).astype(np.float32)
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        loss = tf.reduce_sum(logits**2)
    assert logits.shape == (8, 10)
    gradients = tape.gradient(loss, network.trainable_variables)
    for gradient, variable in zip(gradients, network.trainable_variables, strict=True):
        assert gradient is not None, variable.path
        assert np.all(np.isfinite(gradient)) and np.any(gradient), variable.path


@pytest.mark.parametrize(("family", "parameters"), SMALL)
def test_each_weight_of_a_small_member_gets_a_gradient(family, parameters, rng):
    network = cells.build(10, (9, 8, 1), family=family, repeats=1, filters=8)
    check_gradients(network, rng)
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == parameters


def test_each_weight_gets_a_gradient_with_the_stem_for_large_images(nasnet, rng):
    check_gradients(nasnet, rng)


@pytest.fixture
def of_keras(monkeypatch):
    """of_keras(skips, stem, side, repeats, filters): Keras's NASNet-A without its padding of pools.

    Zeros at the border count in none of the published network's. Keras's has them since it serves
    other backends than TensorFlow.
    """

    def pad(padding, name=""):
        return lambda x: (
            x if name.startswith("reduction_pad_1") else layers.ZeroPadding2D(padding)(x)
        )

    def pool(kind):
        return lambda size, strides, padding, name: kind(size, strides, padding="same")

    changed = {"ZeroPadding2D": pad}
    changed |= {name: pool(getattr(layers, name)) for name in ("MaxPooling2D", "AveragePooling2D")}
    namespace = types.SimpleNamespace(**(vars(layers) | changed))
    monkeypatch.setattr(nasnet_of_keras, "layers", namespace)

    def build(skips, stem, side, repeats, filters):
        shape, channels = (side, side, 3), 24 * filters
        build = nasnet_of_keras.NASNet
        return build(shape, channels, repeats, stem, skips, 2, False, None, pooling="avg")

    return build


def check_same_function(network, reference, rng):
    backbone, side = parts.backbone(network), network.input_shape[1]
    weights = [
        rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else rng.normal(0, 0.3, w.shape)
        for w in reference.get_weights()
    ]
    before = backbone.get_weights()
    reference.set_weights(weights)
    backbone.set_weights(weights)
    images = rng.uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    expected = reference(images / 127.5 - 1).numpy()
    assert expected.mean() > 1
    np.testing.assert_allclose(backbone(images), expected, rtol=1e-4, atol=1e-4)
    backbone.set_weights(before)


def test_with_kerass_weights_it_is_kerass_nasnet(nasnet, of_keras, rng):
    check_same_function(nasnet, of_keras(True, 96, 33, 1, 8), rng)


@pytest.mark.slow
def test_with_kerass_weights_it_is_kerass_mobile_nasnet(of_keras, rng):
    network = cells.build(10, (64, 64, 3), family="nasnet_a_mobile", repeats=2, filters=12)
    check_same_function(network, of_keras(False, 32, 64, 2, 12), rng)


def test_a_branch_is_dropped_at_a_rate_that_grows_with_depth(pnasnet):
    drops = [x for x in parts.backbone(pnasnet).layers if isinstance(x, layers.Dropout)]
    assert all(x.noise_shape == (None, 1, 1, 1) for x in drops)
    # Three cells of nine branches that are no identities.
    expected = np.repeat([0.4 / 3, 0.8 / 3, 0.4], 9)
    np.testing.assert_allclose([x.rate for x in drops], expected)
    assert len({x.seed for x in drops}) == len(drops)


def test_a_group_halves_the_image_and_doubles_the_channels(nasnet, pnasnet):
    def of_cells(network):
        joined = [x for x in parts.backbone(network).layers if isinstance(x, layers.Concatenate)]
        return [x.output.shape[1:] for x in joined if len(x.input) > 2]  # of two: halves of states

    assert of_cells(pnasnet) == [(8, 8, 5 * 8), (4, 4, 5 * 16), (2, 2, 5 * 32)]
    assert of_cells(nasnet) == [
        *((8, 8, 4 * 2), (4, 4, 4 * 4), (4, 4, 6 * 8)),
        *((2, 2, 4 * 16), (2, 2, 6 * 16), (1, 1, 4 * 32), (1, 1, 6 * 32)),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nasnet_a_0_16", "at least 1 cell in each of its groups and at most 100; received 0"),
        ("nasnet_a_101_16", "at most 100; received 101"),
        ("amoebanet_b_2_7", "at least 8 filters; received 7"),
    ],
)
def test_numbers_that_make_no_network_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find(name)


def test_images_that_the_large_stem_cannot_take_are_refused():
    with pytest.raises(ConfigError, match=r"at least 3x3 pixels; received 2x9\. --image_size"):
        cells.build(10, (2, 9, 3), stem="large")
    with pytest.raises(ConfigError, match="stem must be one of auto, small, large; received 'big'"):
        cells.build(10, (8, 8, 3), stem="big")


@pytest.mark.slow
@pytest.mark.parametrize("family", cells.FAMILIES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_small_member_learns_digits(family, jit_compile):
    digits = sklearn.datasets.load_digits()
    images = digits.images[:512, :, :, None] * (255 / 16)
    network = cells.build(
        10, (8, 8, 1), family=family, repeats=1, filters=8, dropout=0.0, drop_path=0.0
    )
    network.compile(
        keras.optimizers.SGD(0.02, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    history = network.fit(images, digits.target[:512], batch_size=64, epochs=6, verbose=0)
    assert history.history["accuracy"][-1] > 0.9
