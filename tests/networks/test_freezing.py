"""What of a backbone is trained: the last layers, LoRA's matrices, batch statistics."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from mpl_tf.console import log
from mpl_tf.networks import heads, parts, set_trained
from mpl_tf.networks.freezing import set_classifier_trained
from mpl_tf.networks.layers import leaves
from mpl_tf.options import ConfigError

SHAPE = (6, 6, 3)


def network(*extra, classes=3):
    """A backbone of two convolutions and a dense layer, with batch norm and dropout; a head."""
    x = inputs = keras.Input(SHAPE)
    for layer in extra:
        x = layer(x)
    for name in ("one", "two"):
        x = layers.Conv2D(4, 3, padding="same", name=name)(x)
        x = layers.BatchNormalization(name=f"norm_{name}")(x)
        x = layers.Dropout(0.5, name=f"drop_{name}")(x)
    x = layers.Dense(5, name="three")(layers.GlobalAveragePooling2D()(x))
    backbone = keras.Model(inputs, x, name=parts.BACKBONE)
    return parts.join(backbone, heads.build(classes, 5, dropout=0.0))


def trained(made):
    names = [v.path.split("/")[-2:] for v in parts.backbone(made).trainable_variables]
    return sorted({layer for layer, _ in names})


@pytest.mark.parametrize(
    ("train", "batch_norm", "expected"),
    [
        ("all", True, ["norm_one", "norm_two", "one", "three", "two"]),
        ("all", False, ["one", "three", "two"]),
        ("head", False, []),
        ("last_1", True, ["three"]),
        ("last_2", True, ["norm_two", "three", "two"]),
        ("last_2", False, ["three", "two"]),
        ("last_3", False, ["one", "three", "two"]),
        ("lora_2", False, ["one", "three", "two"]),
    ],
)
def test_what_is_trained(train, batch_norm, expected):
    made = network()
    set_trained(made, train, batch_norm=batch_norm)
    assert trained(made) == expected
    assert len(parts.head(made).trainable_variables) == 2


def _convolutions(x, names=("one", "two")):
    for name in names:
        x = layers.Dropout(0.5, name=f"drop_{name}")(layers.Conv2D(4, 3, name=name)(x))
    return x


def _twice(inputs):
    inside = keras.Input(SHAPE)
    return keras.Model(inside, _convolutions(inside), name="inside")(layers.ReLU()(inputs))


def _sequential(inputs):
    def part(name):
        return keras.Sequential(
            [layers.Conv2D(4, 3, name=name), layers.Dropout(0.5, name=f"drop_{name}")]
        )

    return keras.Sequential([part("one"), part("two")])(inputs)


@keras.saving.register_keras_serializable("test_freezing")
class Block(layers.Layer):
    """A layer of layers."""

    def build(self, shape):
        self.steps = [
            layers.Conv2D(4, 3, name="one"),
            layers.Dropout(0.5, name="drop_one"),
            layers.Conv2D(4, 3, name="two"),
            layers.Dropout(0.5, name="drop_two"),
        ]
        for step in self.steps:
            step.build(shape)
            shape = step.compute_output_shape(shape)

    def call(self, x, training=False):
        for step in self.steps:
            x = step(x)
        return x


@pytest.mark.parametrize("inside", [_convolutions, _twice, _sequential, lambda x: Block()(x)])
def test_the_last_layers_are_those_that_compute_last(inside):
    inputs = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D()(inside(inputs))
    backbone = keras.Model(inputs, layers.Dense(5, name="three")(x), name=parts.BACKBONE)
    names = [layer.name for layer in leaves(backbone)]
    made = parts.join(backbone, heads.build(3, 5))
    set_trained(made, "last_2")
    assert trained(made) == ["three", "two"]
    order = ["one", "drop_one", "two", "drop_two", "three"]
    assert [name for name in names if name in order] == order
    rates = {layer.name: layer.rate for layer in leaves(backbone) if "drop" in layer.name}
    assert rates == {"drop_one": 0.0, "drop_two": 0.5}


def test_a_frozen_backbone_does_in_training_what_it_does_without(rng):
    made = network()
    images = rng.normal(2.0, size=(8, *SHAPE))
    before = [np.array(w) for w in made.get_weights()]
    set_trained(made, "head")
    np.testing.assert_array_equal(made(images, training=True), made(images, training=False))
    for a, b in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_after_the_first_trained_layer_stays():
    made = network()
    set_trained(made, "last_2")
    rates = [parts.backbone(made).get_layer(f"drop_{name}").rate for name in ("one", "two")]
    assert rates == [0.0, 0.5]


@pytest.mark.parametrize("name", ["one", "three"])
def test_lora_equals_its_formula(name, rng):
    made, plain = network(), network()
    plain.set_weights(made.get_weights())
    images = rng.normal(size=(4, *SHAPE))
    expected = plain(images)
    set_trained(made, "lora_2", seed=3)
    np.testing.assert_array_equal(made(images), expected)  # B is zero
    layer, other = (parts.backbone(each).get_layer(name) for each in (made, plain))
    a, b = (v for v in layer.trainable_variables)
    assert [v.name for v in (a, b)] == ["lora_kernel_a", "lora_kernel_b"]
    assert np.any(a.numpy()) and not np.any(b.numpy())
    b.assign(rng.normal(size=b.shape))
    other.kernel.assign(other.kernel + a.numpy() @ b.numpy())
    np.testing.assert_allclose(made(images), plain(images), rtol=1e-4, atol=1e-5)
    assert np.any(made(images) != expected)


def test_the_matrices_of_lora_are_a_function_of_the_seed():
    values = []
    for seed in (1, 1, 2):
        made = network()
        set_trained(made, "lora_2", seed=seed)
        values.append(parts.backbone(made).get_layer("one").lora_kernel_a.numpy())
    np.testing.assert_array_equal(values[0], values[1])
    assert np.any(values[0] != values[2])


def test_lora_says_what_it_wraps(caplog):
    caplog.set_level("INFO", logger=log.name)
    set_trained(network(), "lora_2")
    assert "LoRA of rank 2 wraps 3 layers of the backbone (one, two, three) with" in caplog.text


@keras.saving.register_keras_serializable("test_freezing")
class Scaled(layers.Layer):
    """A layer with a weight of its own and another layer inside."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.inside = layers.Dense(3, name="inside")
        self.inside.build(shape)

    def call(self, x):
        return self.scale * self.inside(x)


@pytest.mark.parametrize(
    ("train", "expected"),
    [("head", []), ("last_3", ["one", "three", "two"]), ("all", ["inside", "scaled"])],
)
def test_layers_with_layers_inside_are_frozen_too(train, expected):
    made = network(Scaled(name="scaled"))
    set_trained(made, train, batch_norm=False)
    assert set(expected) <= set(trained(made)) | {"scaled"}
    assert train == "all" or trained(made) == expected


@keras.saving.register_keras_serializable("test_freezing")
class Counting(layers.Layer):
    """A layer that counts its passes in training."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(2, 2))
        self.passes = self.add_weight(name="passes", shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.passes.assign_add(1.0)
        return x


@keras.saving.register_keras_serializable("test_freezing")
class Shifting(layers.Layer):
    """A layer that does something else in training, and shows it by no variable."""

    def call(self, x, training=False):
        return x + 1.0 if training else x


def _spectral():
    return layers.SpectralNormalization(layers.Dense(4), name="kept")


def test_what_changes_its_weights_in_training_may_do_so_where_it_is_trained():
    made = _alone(layers.Dense(4), _spectral())
    set_trained(made, "last_1")
    assert [v.name for v in parts.backbone(made).trainable_variables] == ["kernel", "bias"]
    set_trained(_alone(_spectral()), "all", batch_norm=False)


def test_lora_has_no_higher_rank_than_a_kernel(caplog):
    caplog.set_level("INFO", logger=log.name)
    made = network(layers.Dense(6, name="first"))  # of 3 channels
    set_trained(made, "lora_4")
    ranks = {layer.name: getattr(layer, "lora_rank", None) for layer in leaves(made)}
    assert {name: rank for name, rank in ranks.items() if rank} == {
        "first": 3,
        "one": 4,
        "two": 4,
        "three": 4,
    }
    assert "1 of a lower rank, the smaller side of their kernel" in caplog.text


def _alone(*inside):
    x = inputs = keras.Input(SHAPE)
    for layer in inside:
        x = layer(x)
    backbone = keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name=parts.BACKBONE)
    return parts.join(backbone, heads.build(3, backbone.output_shape[-1]))


@pytest.mark.parametrize(
    ("train", "inside", "message"),
    [
        ("", (), "train must be all; head; last_N, .*; received ''"),
        ("last", (), "train must be .*'last'"),
        ("last_0", (), "train must be .*'last_0'"),
        ("lora_x", (), "train must be .*'lora_x'"),
        ("lora_5", (), "lora_5 would train more than there is: .* is 4. Take a lower one"),
        ("last_4", (), "last_4 needs as many layers with kernels; the backbone has 3"),
        ("lora_2", (layers.DepthwiseConv2D(3),), "lora_2 would train nothing: the backbone has no"),
        (
            "lora_2",
            (layers.Dense(3, kernel_constraint="non_neg", name="kept"),),
            "lora_2, layer 'kept': Lora is incompatible with kernel constraints",
        ),
        ("head", (layers.RandomFlip(name="flip"),), "'flip', a RandomFlip, draws at random in"),
        ("head", (_spectral(),), "'kept', a SpectralNormalization, changes its weights in"),
        ("last_1", (_spectral(), layers.Dense(3)), "'kept', a SpectralNorm.*Take train=all, or"),
        ("lora_2", (_spectral(),), "'kept', a SpectralNormalization, changes"),
        ("head", (Counting(name="counts"),), "'counts', a Counting, changes its weights in train"),
        ("head", (Shifting(name="shift"),), r"gives other features in training .* \(shift\) does"),
        ("all", (layers.ReLU(),), "train=all would train no weight of the backbone; take train="),
    ],
)
def test_what_cannot_be_trained_is_refused(train, inside, message):
    made = _alone(*inside) if inside else network()
    with pytest.raises(ConfigError, match=message):
        set_trained(made, train)


def of_one_part(*, norm=True):
    """A convolution with a norm, another, and a classifier behind a hidden layer with dropout."""
    x = inputs = keras.Input(SHAPE)
    for name in ("one", "two"):
        x = layers.Conv2D(4, 3, padding="same", name=name)(x)
        x = layers.BatchNormalization(name=f"norm_{name}")(x) if norm else x
        x = layers.Dropout(0.5, name=f"drop_{name}")(x)
    x = layers.Dense(5, name="three", activation="relu")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(3, name="four")(layers.Dropout(0.5, name="drop")(x)))


@pytest.mark.parametrize(
    ("made", "expected", "dropping"),
    [
        (of_one_part(), {"norm_two", "four"}, {"drop"}),
        (of_one_part(norm=False), {"four"}, {"drop"}),
        (network(), {"norm_two", "dense"}, set()),
    ],
    ids=["one part", "without a norm", "two parts"],
)
@pytest.mark.parametrize("frozen_before", [False, True])
def test_the_classifier_and_the_norm_before_it(made, expected, dropping, frozen_before):
    if frozen_before and parts.has_parts(made):
        set_trained(made, "lora_1", batch_norm=False)
    elif frozen_before:
        made.trainable = False
    set_classifier_trained(made)
    names = {v.path.split("/")[-2] for v in made.trainable_variables}
    assert {re.sub(r"dense_\d+", "dense", name) for name in names} == expected
    dropouts = [layer for layer in leaves(made) if "drop" in layer.name and layer.rate]
    assert {layer.name for layer in dropouts} - {"dropout"} == dropping
    x = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    norms = {layer.name: layer for layer in leaves(made) if "norm" in layer.name}
    before = {name: np.array(layer.moving_mean) for name, layer in norms.items()}
    made(x, training=True)
    moved = {name for name, v in before.items() if not np.array_equal(v, norms[name].moving_mean)}
    assert moved == expected & {"norm_two"}


def test_without_a_kernel_there_is_no_classifier():
    inputs = keras.Input((4,))
    with pytest.raises(ConfigError, match="has no layer with a kernel"):
        set_classifier_trained(keras.Model(inputs, layers.ReLU()(inputs)))
