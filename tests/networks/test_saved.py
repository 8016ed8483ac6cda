"""Networks in files that Keras has saved: their heads, sizes, draws, and what is refused."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from mpl_tf.networks import find, has_parts, is_pretrained, parts, set_trained
from mpl_tf.networks.precision import precision
from mpl_tf.options import ConfigError

SHAPE = (8, 8, 3)
POSITIVE = keras.initializers.RandomUniform(0.1, 1.0)


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, *SHAPE)).astype(np.float32)


def trunk(inputs):
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(6, 3, padding="same", name="stem")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    return layers.Dropout(0.5)(x)


def save(path, model):
    """`model` in a file, with batch statistics that are not the initial ones."""
    for weight in model.weights:
        if "moving" in weight.name:
            weight.assign(weight + 0.5)
    model.save(path)
    return model


def build(path, classes=3, shape=SHAPE, **arguments):
    return find(f"file:{path}")(classes, shape, **arguments)


def dense_layer(**arguments):
    return layers.Dense(5, name="predictions", **arguments)


def dense(x, **arguments):
    return dense_layer(**arguments)(x)


def pooled(x):
    return layers.GlobalAveragePooling2D()(x)


ENDS = {  # what follows the trunk -> whether there is a head to cut
    "maps": (lambda x: x, False),
    "features": (pooled, False),
    "softmax": (lambda x: dense(pooled(x), activation="softmax"), True),
    "logits": (lambda x: dense(layers.Dropout(0.1)(pooled(x))), True),
    "activation": (lambda x: layers.Softmax()(dense(pooled(x), use_bias=False)), True),
    "convolution": (
        lambda x: layers.Softmax()(
            layers.Reshape((5,))(
                layers.Conv2D(5, 1, name="predictions")(
                    layers.GlobalAveragePooling2D(keepdims=True)(x)
                )
            )
        ),
        True,
    ),
    "hidden": (  # weights above 0: with others all five units are off in one of 32 draws
        lambda x: layers.Dense(5, activation="relu", kernel_initializer=POSITIVE)(pooled(x)),
        False,
    ),
    "operation": (lambda x: keras.ops.softmax(dense(pooled(x))), True),
    "function": (lambda x: keras.activations.softmax(dense(pooled(x)) / 2), True),
    "log": (lambda x: keras.ops.log_softmax(0.5 * dense(pooled(x))), True),
    "of features": (lambda x: keras.ops.tanh(pooled(x)) * 2, False),
    "nested": (lambda x: layers.Rescaling(0.5)(_sequential(dense_layer())(pooled(x))), True),
    "shared": (lambda x: (d := layers.Dropout(0.1))(dense(d(pooled(x)))), True),
}


def _sequential(*inside):
    return keras.Sequential([layers.Dropout(0.1), *inside], name="ending")


@pytest.mark.parametrize(
    ("end", "file"),
    [*((end, "m.keras") for end in ENDS), ("maps", "m.h5"), ("convolution", "m.h5")],
)
def test_the_head_is_cut_and_the_features_are_those_of_the_file(
    end, file, images, unit_length, tmp_path
):
    make, cuts = ENDS[end]
    x = inputs = keras.Input((None, None, 3))
    x = trunk(x)
    model = save(tmp_path / file, keras.Model(inputs, make(x)))
    network = build(tmp_path / file)
    assert parts.has_parts(network) and network.output_shape == (None, 3)
    expected = model(images) if not cuts else keras.Model(inputs, x)(images)
    if len(expected.shape) == 4:
        expected = np.mean(expected, (1, 2))
    expected = unit_length(expected)
    np.testing.assert_allclose(parts.backbone(network)(images), expected, rtol=1e-5, atol=1e-6)
    assert np.ptp(expected) > 0


@pytest.mark.parametrize("end", [end for end, (_, cuts) in ENDS.items() if cuts])
def test_a_head_of_as_many_classes_is_kept(end, images, tmp_path, caplog):
    inputs = keras.Input(SHAPE)
    model = save(tmp_path / "m.keras", keras.Model(inputs, ENDS[end][0](trunk(inputs))))
    kept = build(tmp_path / "m.keras", classes=5)
    logits = end in ("logits", "log", "nested", "shared")
    expected = model(images) if logits else keras.ops.log(model(images))
    centred = [
        np.asarray(x - keras.ops.mean(x, -1, keepdims=True)) for x in (kept(images), expected)
    ]
    np.testing.assert_allclose(*centred, atol=1e-4)
    other = build(tmp_path / "m.keras", classes=5, head="mlp_4")
    assert other.output_shape == (None, 5)


def test_a_network_of_two_parts_keeps_both(images, tmp_path):
    inputs = keras.Input(SHAPE)
    save(tmp_path / "first.keras", keras.Model(inputs, trunk(inputs)))
    first = build(tmp_path / "first.keras", classes=3, seed=1, head_temperature=0.2)
    first.save(tmp_path / "second.keras")
    second = build(tmp_path / "second.keras", classes=3, seed=2)
    np.testing.assert_allclose(second(images), first(images), rtol=1e-5, atol=1e-5)
    third = build(tmp_path / "second.keras", classes=4)
    for other in (second, third):  # at the length for which rates are
        np.testing.assert_allclose(
            parts.backbone(other)(images), parts.backbone(first)(images), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("channels", [3, 1])
def test_a_network_whose_head_was_kept_keeps_both(images, channels, tmp_path):
    inputs, shape = keras.Input(SHAPE), (8, 8, channels)
    save(tmp_path / "first.keras", keras.Model(inputs, dense(pooled(trunk(inputs)))))
    first = build(tmp_path / "first.keras", classes=5, shape=shape)
    first.save(tmp_path / "second.keras")
    second = build(tmp_path / "second.keras", classes=5, shape=shape)
    images = images[..., :channels]
    np.testing.assert_allclose(second(images), first(images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        parts.backbone(second)(images), parts.backbone(first)(images), rtol=1e-5, atol=1e-6
    )


def _parts(between_first=None, between=None, hidden=0):
    """A user's model of layers called backbone and head, and what they have between."""
    inputs, x = (keras.Input(SHAPE) for _ in range(2))
    backbone = keras.Model(x, layers.Conv2D(6, 3)(x), name=parts.BACKBONE)
    inside = [layers.Dense(4, activation="relu")] if hidden else []
    head = keras.Sequential([*inside, layers.Dense(3)], name=parts.HEAD)
    x = inputs if between_first is None else between_first(inputs)
    return keras.Model(inputs, head(between(backbone(x))))


@pytest.mark.parametrize(
    "arguments",
    [
        {"between_first": layers.Rescaling(1 / 255), "between": layers.GlobalAveragePooling2D()},
        {"between": layers.GlobalMaxPooling2D()},
        {"between": lambda x: keras.ops.max(x, (1, 2))},
        {"between": layers.GlobalAveragePooling2D(), "hidden": 1},
        {"between_first": lambda x: x / 255, "between": layers.GlobalAveragePooling2D()},
    ],
)
def test_what_lies_between_layers_called_backbone_and_head_stays(arguments, images, tmp_path):
    model = _parts(**arguments)
    assert not parts.has_parts(model)
    model.save(tmp_path / "m.keras")
    kept = build(tmp_path / "m.keras")
    np.testing.assert_allclose(kept(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("frozen", ["all", "some", "nested"])
def test_what_was_frozen_when_the_model_was_saved_is_not(frozen, channels, images, tmp_path):
    x = keras.Input(SHAPE)
    inner = keras.Model(x, trunk(x), name="inner")
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, dense(pooled(inner(inputs))))
    {"all": model, "nested": inner, "some": inner.get_layer("stem")}[frozen].trainable = False
    save(tmp_path / "m.keras", model)
    network = build(tmp_path / "m.keras", shape=(*SHAPE[:2], channels))
    backbone = parts.backbone(network)
    assert [v.name for v in backbone.trainable_variables] == ["kernel", "bias", "gamma", "beta"]
    set_trained(network, "last_1", batch_norm=False)
    assert [v.name for v in backbone.trainable_variables] == ["kernel", "bias"]


@pytest.mark.parametrize(
    ("file", "nested"), [("m.keras", False), ("m.keras", True), ("m.h5", False)]
)
def test_the_matrices_of_lora_are_merged(file, nested, images, rng, tmp_path):
    hidden, last = layers.Dense(4, name="hidden"), dense_layer()
    x = inputs = keras.Input(SHAPE)
    x = pooled((layers.TimeDistributed(hidden) if nested else hidden)(trunk(x)))
    model = keras.Model(inputs, last(x))
    for layer in (hidden, last):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(rng.normal(size=layer.lora_kernel_b.shape))
    path = tmp_path / file
    expected = np.asarray(save(path, model)(images))
    network = build(path, classes=5)
    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-4)
    assert not any("lora" in v.name for v in network.weights)
    set_trained(network, "lora_2")


def test_head_and_masks_are_a_function_of_the_seed(images, tmp_path):
    inputs = keras.Input(SHAPE)
    save(tmp_path / "m.keras", keras.Model(inputs, trunk(inputs)))
    one, same, other = (build(tmp_path / "m.keras", seed=seed) for seed in (1, 1, 2))

    def masked(network):
        return np.asarray(parts.backbone(network)(images, training=True))

    drawn = masked(one)
    np.testing.assert_array_equal(drawn, masked(same))
    assert np.any(drawn != masked(other))
    head, of_same, of_other = (parts.head(each).get_weights()[0] for each in (one, same, other))
    np.testing.assert_array_equal(head, of_same)
    assert np.any(head != of_other)


def test_a_grey_image_counts_as_three_equal_channels(images, unit_length, tmp_path):
    inputs = keras.Input((None, None, 3))
    model = save(tmp_path / "m.keras", keras.Model(inputs, pooled(trunk(inputs))))
    grey = images[..., :1]
    network = build(tmp_path / "m.keras", shape=(8, 8, 1))
    expected = unit_length(model(np.repeat(grey, 3, -1)))
    np.testing.assert_allclose(parts.backbone(network)(grey), expected, rtol=1e-5, atol=1e-6)


def test_layers_compute_in_the_precision_of_the_run(images, tmp_path):
    inputs = keras.Input(SHAPE)
    save(tmp_path / "m.keras", keras.Model(inputs, pooled(trunk(inputs))))
    with precision("bfloat16"):
        network = build(tmp_path / "m.keras", synchronized=True)
    backbone = parts.backbone(network)
    assert backbone.get_layer("stem").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network(images).dtype == tf.float32
    (norm,) = (x for x in backbone.layers if isinstance(x, layers.BatchNormalization))
    assert norm.synchronized


def test_files_come_with_weights_and_give_two_parts():
    assert has_parts("file:x.keras") and is_pretrained("FILE:x.keras", "")
    assert not is_pretrained("keras:VGG16", "") and is_pretrained("keras:VGG16", "imagenet")
    assert not is_pretrained("small", "imagenet")


def _lambda(inputs):
    return layers.Lambda(lambda x: x * 2)(inputs)


def _quantized(x):
    layer = layers.Dense(4, name="whole")
    x = pooled(layer(x))
    layer.quantize("int8")
    return x


def _diverged(x):
    layer = layers.BatchNormalization(name="norm")
    x = layer(x)
    layer.moving_mean.assign([0, np.nan, 0])
    return x


REFUSED = [
    ("m.keras", _quantized, r"m.keras is quantized: its layer 'whole' has int8 weights"),
    ("m.keras", _diverged, r"m.keras holds values that are not finite .* in the weight norm/mov"),
    (
        "m.keras",
        lambda x: layers.Dense(1, activation="relu")(layers.Flatten()(x)),
        r"m.keras gives one feature, and at unit length that is the same for each image. Save",
    ),
    ("no.keras", None, r"network=file:.*no.keras is no file"),
    ("m.onnx", None, r"ending in .keras or .h5; received '.*m.onnx'"),
    ("m.weights.h5", "text", r"holds weights alone. Save the model"),
    ("m.keras", "text", r"m.keras cannot be loaded: "),
    ("m.h5", "text", r"m.h5 cannot be loaded: "),
    ("m.keras", _lambda, r"holds code \(a Lambda layer\), which would run here, and is not loaded"),
    ("m.h5", _lambda, r"holds code \(a Lambda layer\), which would run here, and is not loaded"),
    (
        "m.keras",
        lambda x: layers.Softmax()(layers.GlobalAveragePooling2D(name="mean")(x)),
        r"ends with a softmax of what 'mean', a GlobalAveragePooling2D, makes, and only a dense",
    ),
    (
        "m.keras",
        lambda x: keras.ops.softmax(keras.ops.mean(x, (1, 2))),
        r"ends with a softmax of what 'mean.*', a Mean, makes.*Save the model without its head",
    ),
    (
        "m.keras",
        layers.Reshape((64, 3)),
        r"\[N, F\] or maps \[N, h, w, F\]; received \(None, 64, 3",
    ),
]


@pytest.mark.parametrize(("file", "content", "message"), REFUSED)
def test_what_cannot_be_used_is_refused(file, content, message, tmp_path):
    path = tmp_path / file
    if content == "text":
        path.write_text("no model")
    elif content:
        inputs = keras.Input(SHAPE)
        keras.Model(inputs, content(inputs)).save(path)
    with pytest.raises(ConfigError, match=message):
        build(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((16, 16, 3), r"takes images of 8x8 pixels; received 16x16. Take --image_size=8"),
        ((8, 8, 2), "takes images of 3 channels; received 2"),
    ],
)
def test_images_that_the_model_does_not_take_are_refused(shape, message, tmp_path):
    inputs = keras.Input(SHAPE)
    save(tmp_path / "m.keras", keras.Model(inputs, trunk(inputs)))
    with pytest.raises(ConfigError, match=message):
        build(tmp_path / "m.keras", shape=shape)


def test_a_model_without_scaling_is_warned_of(tmp_path, caplog):
    inputs = keras.Input(SHAPE)
    keras.Model(inputs, layers.Conv2D(2, 3)(inputs)).save(tmp_path / "m.keras")
    build(tmp_path / "m.keras")
    assert "no layer that scales images" in caplog.text


def test_the_real_backbone_gives_the_features_that_its_file_gives(unit_length, rng):
    """EfficientNet-Lite0 of ImageNet, for images of any size."""
    folder = os.environ.get("MPL_TF_BACKBONES", "")
    path = os.path.join(folder, "efficientnet_lite0_imagenet_notop.keras")
    if not os.path.isfile(path):
        pytest.skip("$MPL_TF_BACKBONES is no folder with efficientnet_lite0_imagenet_notop.keras")
    network = build(path, classes=10, shape=(64, 64, 3))
    images = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    expected = keras.saving.load_model(path, compile=False)(images)
    assert expected.shape == (2, 1280)
    features = parts.backbone(network)(images)
    np.testing.assert_allclose(features, unit_length(expected), atol=1e-5)


def test_layers_that_are_added_have_names_of_their_own(tmp_path, monkeypatch, images):
    """Keras numbers layers in each process: those of a file may have the names that come next."""
    inputs = keras.Input(SHAPE)
    x = layers.UnitNormalization(name="last")(pooled(trunk(inputs)))
    model = save(tmp_path / "a.keras", keras.Model(inputs, x))
    last = layers.UnitNormalization(name="last")
    monkeypatch.setattr("mpl_tf.networks.heads.unit_length", lambda: last)
    np.testing.assert_allclose(
        parts.backbone(build(tmp_path / "a.keras"))(images), model(images), atol=1e-6
    )
