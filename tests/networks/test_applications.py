"""Networks of keras.applications: scaling, seeds, weights files, what is refused."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import networks
from mpl_tf.engine.logits import check_logits
from mpl_tf.networks import applications, parts
from mpl_tf.options import ConfigError
from mpl_tf.serving import saved_model

SHAPE = (32, 32, 3)
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, *SHAPE)).astype(np.uint8)


@pytest.fixture(scope="module")
def efficientnet():
    """It has all there is: drop-connect, batch norm and a normalisation with weights."""
    return applications.build(5, SHAPE, seed=1, name="EfficientNetB0")


@pytest.fixture(scope="module")
def mobilenet():
    return applications.build(5, SHAPE, seed=1, name="MobileNetV3Small")


@pytest.fixture(scope="module")
def other_mobilenet():
    return applications.build(5, SHAPE, seed=2, synchronized=True, name="MobileNetV3Small")


def headless(name):
    build = getattr(keras.applications, name)
    return build(include_top=False, weights=None, pooling="avg", input_shape=SHAPE)


def layers(network):
    return [*parts.backbone(network).layers, *parts.head(network).layers]


def scaled_by(network):
    """Images as they come out of the network's normalisation."""
    return keras.Model(parts.backbone(network).input, normalization(network).output)


def normalization(network):
    (layer,) = (
        x for x in parts.backbone(network).layers if isinstance(x, keras.layers.Normalization)
    )
    return layer


def test_every_network_of_keras_is_there():
    published = {n for n in dir(keras.applications) if n[0].isupper()}
    assert set(applications.names()) == published
    assert {"ResNet50", "EfficientNetB7", "ConvNeXtTiny", "NASNetLarge", "VGG19"} <= published


@pytest.mark.parametrize("family", sorted(applications._SCALING))
def test_images_are_scaled_as_the_family_expects(family, images):
    pixels = images.astype(np.float32)
    expected = getattr(keras.applications, family).preprocess_input(pixels.copy())
    scaled = applications._scale(tf.constant(pixels), applications._SCALING[family])
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_it_gives_logits_of_images_of_either_type(efficientnet, images):
    check_logits(efficientnet, "student")
    logits = efficientnet(images).numpy()
    assert logits.shape == (4, 5)
    np.testing.assert_allclose(logits, efficientnet(images.astype(np.float32)), 1e-5, 1e-5)


def test_the_same_seed_gives_the_same_weights_and_masks(efficientnet):
    same = applications.build(5, SHAPE, seed=1, name="EfficientNetB0")
    for a, b in zip(efficientnet.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    ones, drawn = tf.ones((64, 1, 1, 1)), set()
    for a, b in zip(*map(layers, (efficientnet, same)), strict=True):
        if isinstance(a, keras.layers.Dropout):
            mask = a(ones, training=True).numpy()
            np.testing.assert_array_equal(mask, b(ones, training=True))
            drawn.add(mask.tobytes())
    assert len(drawn) == 10  # nine blocks are skipped by a draw of their own, and the head's


def test_another_seed_gives_other_weights(mobilenet, other_mobilenet):
    for a, b in zip(mobilenet.get_weights(), other_mobilenet.get_weights(), strict=True):
        assert np.ptp(a) == 0 or not np.array_equal(a, b)  # biases and batch norm are constant


def test_no_two_kernels_share_their_draws(mobilenet):
    kernels = [w for w in mobilenet.get_weights() if w.ndim > 1]
    assert len({w.ravel()[:8].tobytes() for w in kernels}) == len(kernels)


def test_global_random_states_stay_as_they_are():
    def states():
        return random.getstate(), np.random.get_state()[1].tolist()

    before = states()
    applications.build(5, SHAPE, name="VGG16")
    assert states() == before


def test_a_clone_with_its_weights_is_its_equal(efficientnet, images):
    clone = keras.models.clone_model(efficientnet)
    clone.set_weights(efficientnet.get_weights())
    expected = efficientnet(images)
    np.testing.assert_array_equal(clone(images), expected)
    assert np.ptp(expected) > 0


def test_a_grey_image_counts_as_three_equal_channels(images):
    grey, coloured = (applications.build(5, (32, 32, c), name="VGG16") for c in (1, 3))
    one = images[..., :1]
    np.testing.assert_allclose(grey(one), coloured(np.repeat(one, 3, axis=-1)), 1e-5, 1e-5)


def test_batch_statistics_can_be_synchronized(mobilenet, other_mobilenet):
    for network, expected in ((mobilenet, False), (other_mobilenet, True)):
        norms = [x for x in layers(network) if isinstance(x, keras.layers.BatchNormalization)]
        assert {x.synchronized for x in norms} == {expected}


def test_dropout_is_before_the_head(mobilenet):
    assert parts.head(mobilenet).layers[-2].rate == 0.2


def test_the_export_needs_no_code_of_this_package(tmp_path, images):
    network = applications.build(5, SHAPE, name="VGG16")
    saved_model.export(network, str(tmp_path))
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    served = serve(images=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(served, tf.nn.softmax(network(images)), atol=1e-5)


def test_efficientnet_normalises_with_the_statistics_of_imagenet(efficientnet, images):
    expected = keras.applications.densenet.preprocess_input(images.astype(np.float32))
    scaled = scaled_by(efficientnet)(images)
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


# Weights files


@pytest.mark.parametrize(
    ("name", "file", "channels"),
    [
        ("MobileNetV3Small", "mobilenet.weights.h5", 3),
        ("VGG16", "vgg.keras", 3),
        ("VGG16", "vgg_notop.h5", 1),
    ],
)
def test_a_weights_file_gives_the_features_of_keras(
    name, file, channels, images, rng, tmp_path, write_published, unit_length
):
    backbone, path = headless(name), str(tmp_path / file)
    size = 1e-3 if name == "VGG16" else 0.1  # without batch statistics values would overflow
    for weight in backbone.weights:  # batch statistics, too, are to be told from initial ones
        weight.assign(weight + size * np.abs(rng.normal(size=weight.shape)))
    if file.endswith("notop.h5"):
        write_published(path, backbone)
    elif file.endswith(".weights.h5"):
        backbone.save_weights(path)
    else:
        backbone.save(path)
    images = images[..., :channels]
    pixels = np.broadcast_to(images, (4, *SHAPE)).astype(np.float32)
    if name == "VGG16":
        pixels = keras.applications.vgg16.preprocess_input(pixels)
    network = applications.build(5, (32, 32, channels), weights=path, name=name)
    expected = unit_length(backbone(pixels))
    np.testing.assert_allclose(parts.backbone(network)(images), expected, rtol=1e-3, atol=1e-5)
    assert np.ptp(expected) > 0


def test_the_head_on_a_weights_file_depends_on_the_seed(tmp_path):
    path = str(tmp_path / "vgg.weights.h5")
    headless("VGG16").save_weights(path)
    networks = (applications.build(5, SHAPE, seed=s, weights=path, name="VGG16") for s in (1, 1, 2))
    one, same, other = (network.get_weights() for network in networks)
    equal = [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert equal == [True] * (len(equal) - 2) + [False, True]  # the head's bias is zero


def test_the_published_statistics_of_efficientnet_are_used(images, tmp_path, write_published):
    path = str(tmp_path / "efficientnet_notop.h5")
    original = headless("EfficientNetB0")
    # The published files have the standard deviation where Keras takes the variance.
    published = [np.array(IMAGENET_MEAN), np.array(IMAGENET_STD), np.array(0)]
    (layer,) = (x for x in original.layers if isinstance(x, keras.layers.Normalization))
    layer.set_weights(published)
    write_published(path, original)
    network = applications.build(5, SHAPE, weights=path, name="EfficientNetB0")
    scaled = scaled_by(network)(images)
    expected = (images / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(scaled, expected, atol=1e-4)
    assert not normalization(network).weights  # a clone takes the statistics from the config
    for layer in ("stem_conv", "top_bn"):
        for a, b in zip(
            original.get_layer(layer).get_weights(),
            parts.backbone(network).get_layer(layer).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_other_statistics_are_used_as_they_are():
    layer = keras.layers.Normalization()
    layer.build((None, 3))
    layer.set_weights([np.array([0.1, 0.2, 0.3]), np.array([4.0, 9.0, 16.0]), np.array(0)])
    constant = applications._constant_normalization(layer, loaded=True)
    np.testing.assert_allclose(constant(np.ones((1, 3))), [[0.9 / 2, 0.8 / 3, 0.7 / 4]], rtol=1e-6)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.h5", "none.h5 is no file"),
        ("weights.ckpt", r"imagenet, or a file that ends in .h5, .weights.h5 or .keras; received"),
        ("text.h5", "does not fit"),
        ("text.keras", "does not fit"),
        ("text.weights.h5", "does not fit"),
    ],
)
def test_what_is_no_weights_file_is_refused(file, message, tmp_path):
    if file.startswith("text"):
        (tmp_path / file).write_text("no weights")
    with pytest.raises(ConfigError, match=message):
        applications.build(5, SHAPE, weights=str(tmp_path / file), name="VGG16")


@pytest.mark.parametrize("file", ["other_notop.h5", "other.weights.h5"])
def test_the_weights_of_another_network_are_refused(file, mobilenet, tmp_path, write_published):
    path = str(tmp_path / file)
    if file.endswith(".weights.h5"):
        mobilenet.save_weights(path)
    else:
        write_published(path, mobilenet)
    with pytest.raises(ConfigError, match=r"weights of keras:VGG16 without its head.*not fit"):
        applications.build(5, SHAPE, weights=path, name="VGG16")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value, tmp_path):
    path = str(tmp_path / "diverged.weights.h5")
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="last")])
    network.layers[-1].bias.assign([0, value])
    network.save_weights(path)
    with pytest.raises(ConfigError, match=r"weights=.*diverged.* not finite .* weight .*last/bias"):
        applications._load(network, path, "VGG16")


# What is refused


@pytest.mark.parametrize("name", applications.names())
def test_images_smaller_than_the_network_takes_are_refused(name):
    least = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}.get(name, 32)
    message = f"keras:{name} needs images of at least {least}x{least} pixels; received "
    for height, width in ((least - 1, least), (least, least - 1)):
        with pytest.raises(ConfigError, match=f"{message}{height}x{width}"):
            applications.build(5, (height, width, 3), name=name.upper())
        with pytest.raises(ValueError, match="at least"):  # Keras's own limit is no other
            getattr(keras.applications, name)(
                include_top=False, weights=None, input_shape=(height, width, 3)
            )


def test_two_channels_are_refused():
    with pytest.raises(ConfigError, match="1 or 3 channels; received 2"):
        applications.build(5, (32, 32, 2), name="VGG16")


def test_an_unknown_name_is_answered_with_all_names_the_close_ones_first():
    with pytest.raises(
        ConfigError, match=r"one of ConvNeXtBase, .*received 'resnet5'.*ResNet50"
    ) as error:
        applications.canonical("resnet5")
    assert all(name in str(error.value) for name in applications.names())


def test_a_file_of_weights_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=f"network_weights {tmp_path}/w.h5 is no file"):
        networks.find("keras:MobileNetV2")(3, (32, 32, 3), seed=0, weights="~/w.h5")
    (tmp_path / "w.h5").touch()
    networks.check("keras:MobileNetV2", "~/w.h5", 32)
