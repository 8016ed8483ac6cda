"""Every network: shapes, seeds, gradients, cloning, images of either type; and finding them."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.config.groups import RunConfig
from mpl_tf.networks import (
    NETWORKS,
    applications,
    bit,
    cells,
    densenet,
    efficientnet,
    find,
    has_parts,
    hub,
    inception_v4,
    polynet,
    resnet,
    saved,
    takes_stem,
    takes_weights,
    vit,
)
from mpl_tf.options import ConfigError

ARCHITECTURES = (
    *NETWORKS.values(),
    resnet.ARCHITECTURE,
    densenet.ARCHITECTURE,
    efficientnet.ARCHITECTURE,
    bit.ARCHITECTURE,
    vit.ARCHITECTURE,
    cells.ARCHITECTURE,
    inception_v4.ARCHITECTURE,
    polynet.ARCHITECTURE,
    applications.ARCHITECTURE,
    saved.ARCHITECTURE,
    hub.ARCHITECTURE,
)


@pytest.fixture(params=sorted(NETWORKS))
def build(request):
    return NETWORKS[request.param]


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)


def test_it_gives_logits(build, images):
    network = build(7, (8, 8, 1))
    logits = network(images).numpy()
    assert logits.shape == (5, 7)
    assert logits.min() < 0  # no softmax at the end
    np.testing.assert_allclose(logits, network(images.astype(np.float32)), 1e-5, 1e-5)


def test_initial_weights_depend_on_the_seed_alone(build):
    one, same, other = (build(3, (8, 8, 1), seed=s).get_weights() for s in (4, 4, 5))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one, other, strict=True):
        assert np.ptp(a) == 0 or not np.array_equal(a, b)  # biases and batch norm are constant


def test_no_two_kernels_share_their_draws(build):
    kernels = [w for w in build(3, (8, 8, 1)).get_weights() if w.ndim > 1]
    assert len({w.ravel()[:8].tobytes() for w in kernels}) == len(kernels)


def test_every_trainable_weight_gets_a_gradient(build, rng):
    network = build(3, (8, 8, 1))
    images = rng.integers(0, 256, (16, 8, 8, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images, training=True) ** 2)
    gradients = tape.gradient(loss, network.trainable_variables)
    for gradient, variable in zip(gradients, network.trainable_variables, strict=True):
        assert gradient is not None, variable.path
        assert np.any(gradient), variable.path


def test_a_clone_with_its_weights_is_its_equal(build, images):
    network = build(3, (8, 8, 1))
    network(images, training=True)  # moves batch statistics away from their initial values
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(clone(images), network(images))


@pytest.mark.parametrize("synchronized", [False, True])
def test_batch_statistics_are_averages_over_many_batches(build, synchronized):
    """Keras's momentum is the decay; 0.01 in its place would follow the last batch."""
    for layer in build(3, (8, 8, 1), synchronized=synchronized).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.99, 1e-3)
            assert layer.synchronized == synchronized


def test_the_small_network_has_the_stated_size():
    assert 64_000 < NETWORKS["small"](10, (8, 8, 1)).count_params() < 67_000


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_registered_networks_are_found(name):
    assert find(name) is NETWORKS[name]


def test_a_wide_resnet_is_found_by_depth_and_width():
    def counts(network):
        return network.name, network.count_params()

    built = find("wide_resnet_10_1")(3, (8, 8, 1), seed=2, dropout=0.0)
    expected = NETWORKS["wide_resnet"](3, (8, 8, 1), depth=10, width=1)
    assert counts(built) == counts(expected)


def test_a_small_network_is_found_by_its_width():
    built = find("small_16")(3, (8, 8, 1), seed=2)
    assert built.count_params() == NETWORKS["small"](3, (8, 8, 1), width=16).count_params()
    with pytest.raises(ConfigError, match="received 'small_0'"):
        find("small_0")


def test_a_wrong_depth_is_refused_when_the_network_is_looked_up():
    with pytest.raises(ConfigError, match="received 27, the nearest is 28"):
        find("wide_resnet_27_2")


def test_a_network_of_keras_is_found_in_any_case():
    assert find("Keras:mobilenetv3SMALL").keywords == {"name": "MobileNetV3Small"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("smal", "Did you mean small"),
        ("wide_resnet_28", "Did you mean wide_resnet"),
        ("resnet50", "Did you mean keras:ResNet50"),
        ("", r"received ''\. --help and docs"),
    ],
)
def test_an_unknown_name_is_answered_with_what_there_is(name, hint):
    with pytest.raises(ConfigError, match=hint) as error:
        find(name)
    for architecture in ARCHITECTURES:
        for form in architecture.forms:
            assert f"{form}, " in f"{str(error.value).partition(';')[0]}, "


@pytest.mark.parametrize("name", ["wide_resnet_10_1", "small_16", "keras:mobilenet"])
def test_networks_with_arguments_are_built_by_the_table_too(name):
    assert NETWORKS[name](3, (32, 32, 3)).output_shape == (None, 3)
    with pytest.raises(ConfigError, match="network must be one of: mlp, small, "):
        NETWORKS[f"{name}_"[::-1]]


EXAMPLES = {
    "mlp": ["mlp"],
    "small": ["small", "small_1", "small_9999"],
    "wide_resnet": ["wide_resnet", "wide_resnet_28_10"],
    "resnet_DEPTH": ["resnet_50", "resnext_101_64x4d", "se_resnet_14x0.5", "senet_154"],
    "densenet_DEPTH": ["densenet_264", "densenet_100_12"],
    "efficientnet_NAME": ["efficientnet_b0", "efficientnet_b6_wide", "efficientnet_1.2_1"],
    "bit_DEPTHxWIDTH": ["bit_152x4", "bit_14x0.5"],
    "vit_SIZEPATCH": ["vit_h14", "vit_ti16", "vit_2_64_4"],
    "nasnet_a_REPEATS_FILTERS": ["nasnet_a_large", "amoebanet_d", "nasnet_a_mobile_1_8"],
    "inception_v4": ["inception_v4", "inception_v4_1_1_1_0.25"],
    "polynet": ["polynet", "polynet_10_20_10_2"],
    "keras:NAME": ["keras:VGG16", "KERAS:", "Keras:nothing"],
    "file:MODEL.keras": ["file:", "FILE:m.keras", "file:a/b.h5"],
    "hub:PRESET": ["hub:", "Hub:vit_base", "hub:hf://a/b"],
}
NOBODYS = [
    "",
    "Small",
    "small_",
    "small_01",
    "small_12345",
    "wide_resnet_28",
    "resnet",
    "resnet_50_64",
    "densenet",
    "efficientnet_1",
    "bit_152",
    "vit_16",
    "keras",
    "keras_VGG16",
    "m.keras",
    "nasnet_a",
    "nasnet_a_6",
    "amoebanet_e",
    "nasnet_a_large_6_168",
    "inception_v4_0.25",
    "polynet_1_1_1",
]


def test_each_architecture_matches_its_own_names_alone():
    assert [architecture.forms[0] for architecture in ARCHITECTURES] == list(EXAMPLES)
    names = [name for examples in EXAMPLES.values() for name in examples] + NOBODYS
    for architecture in ARCHITECTURES:
        matched = [name for name in names if architecture.matches(name)]
        assert matched == EXAMPLES[architecture.forms[0]]


def test_only_networks_of_keras_take_weights():
    assert takes_weights("keras:VGG16") and takes_weights("KERAS:vgg16")
    assert not any(takes_weights(name) for name in (*NETWORKS, *NOBODYS, "small_16"))


def test_networks_have_two_parts_or_one():
    assert has_parts("keras:VGG16") and has_parts("resnet_50")
    assert not any(has_parts(name) for name in (*NETWORKS, *NOBODYS, "small_16"))


def test_networks_take_a_stem_or_none():
    assert takes_stem("resnet_50")
    assert not any(takes_stem(name) for name in (*NETWORKS, "keras:ResNet50"))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda each: each.forms[0])
def test_published_names_are_found(architecture):
    for name in architecture.names:
        assert architecture.find(name), name
        assert [each for each in ARCHITECTURES if each.matches(name)] == [architecture]


def test_the_help_has_every_architecture():
    (field,) = (f for f in dataclasses.fields(RunConfig) if f.name == "network")
    for architecture in ARCHITECTURES:
        assert architecture.text in str(field.metadata)


def test_an_mlp_of_large_images_is_refused_before_it_is_built():
    with pytest.raises(ConfigError, match=r"images of 2000x2000x3 would need 1,536,000,000\. Take"):
        NETWORKS["mlp"](10, (2000, 2000, 3))


@pytest.mark.parametrize("num_classes", [0, 1, 3.0, "3", None, True])
def test_a_number_of_classes_that_is_none_is_refused(num_classes):
    with pytest.raises(ConfigError, match="whole number of classes, at least 2; received"):
        NETWORKS["mlp"](num_classes, (8, 8, 1))


@pytest.mark.parametrize(
    "shape", [(8, 8), (8, -8, 1), (None, None, 3), (8.0, 8, 1), 8, (1, 8, 8, 3)]
)
@pytest.mark.parametrize("name", ["mlp", "small_8"])
def test_what_is_no_shape_of_images_is_refused(name, shape):
    with pytest.raises(ConfigError, match=r"the shape \(height, width, channels\) of its images"):
        NETWORKS[name](3, shape)
