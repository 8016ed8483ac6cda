"""The key of a cache changes with each thing that features depend on, and with nothing else."""

import dataclasses

import keras
import numpy as np
import pytest

from mpl_tf.augment import autoaugment, policies, randaugment
from mpl_tf.data.arrays import arrays
from mpl_tf.features import fingerprint
from mpl_tf.features.views import STRONG, WEAK, ViewSet
from mpl_tf.networks import heads, parts, precision, set_trained
from mpl_tf.options import ConfigError


def test_names_seeds_rates_and_initial_values_do_not_count(make_backbone):
    first = make_backbone()
    digest = fingerprint.of_backbone(first)
    for dropout in (0.5, 0.0, 0.2):
        other = make_backbone(seed=7, initial_seed=7, dropout=dropout)  # and other names of layers
        other.set_weights(first.get_weights())
        other.trainable = False
        assert fingerprint.of_backbone(other) == digest


@keras.saving.register_keras_serializable("test_fingerprint")
class Drops(keras.layers.Layer):
    """Dropout by a user, with and without a rate in training alone."""

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seeds = rate, keras.random.SeedGenerator(seed or 0)

    def call(self, x, training=False):
        return keras.random.dropout(x, self.rate, seed=self.seeds) if training else x

    def get_config(self):
        return super().get_config() | {"rate": self.rate}


@pytest.mark.parametrize("drops", [keras.layers.SpatialDropout2D, Drops])
@pytest.mark.parametrize("nested", [False, True])
def test_what_is_trained_does_not_count(drops, nested):
    x = inputs = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 1)(x))
    x = keras.layers.GlobalAveragePooling2D()(drops(0.3)(x))
    network = keras.Model(inputs, x, name=parts.BACKBONE)
    if nested:
        network = keras.Model(inputs, network(inputs), name=parts.BACKBONE)
    digest = fingerprint.of_backbone(network)
    set_trained(parts.join(network, heads.build(3, 2)), "head")
    assert fingerprint.of_backbone(network) == digest


def test_weights_and_layers_count(make_backbone):
    first = make_backbone()
    moved, other = make_backbone(), make_backbone(activation="elu")
    with precision("bfloat16"):
        narrow = make_backbone()
    for network in (moved, other, narrow):
        network.set_weights(first.get_weights())
    kernel = moved.weights[0]
    kernel.assign(np.nextafter(np.array(kernel), 1))
    assert len({fingerprint.of_backbone(each) for each in (first, moved, other, narrow)}) == 4


@pytest.mark.parametrize(
    "layer",
    [
        lambda name: keras.layers.Activation(name, name=name),
        lambda name: keras.layers.TimeDistributed(keras.layers.Activation(name), name=name),
        lambda name: keras.Sequential([keras.layers.Activation(name, name=name)], name=name),
    ],
)
def test_what_is_called_like_a_layer_counts(layer):
    def make(name):
        inputs = keras.Input((4, 4))
        return keras.Model(inputs, layer(name)(inputs))

    assert fingerprint.of_backbone(make("relu")) != fingerprint.of_backbone(make("gelu"))


@keras.saving.register_keras_serializable("test_fingerprint")
class Permuted(keras.layers.Layer):
    """Features in an order by a seed, without draws in training."""

    def __init__(self, seed, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

    def call(self, x):
        return keras.ops.take(x, np.random.default_rng(self.seed).permutation(x.shape[-1]), -1)

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


def test_a_seed_that_inference_needs_counts():
    digests = [
        fingerprint.of_backbone(keras.Sequential([keras.Input([9]), Permuted(seed)]))
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_the_class_of_a_layer_counts():
    def make(name):
        inputs = keras.Input([4])
        return keras.Model(inputs, getattr(keras.layers, name)(name=name)([inputs, inputs]))

    assert fingerprint.of_backbone(make("Add")) != fingerprint.of_backbone(make("Multiply"))


@pytest.mark.parametrize(("option", "counts"), [("momentum", False), ("epsilon", True)])
def test_of_batch_norm_counts_what_inference_needs(option, counts):
    def make(value):
        layer = keras.layers.BatchNormalization(**{option: value})
        return keras.Sequential([keras.Input([4]), layer])

    assert (fingerprint.of_backbone(make(0.1)) != fingerprint.of_backbone(make(0.2))) == counts


def test_how_layers_are_connected_counts():
    def make(order):
        inputs = keras.Input([4])
        first, second = (keras.layers.Dense(4, kernel_initializer="ones") for _ in range(2))
        parts = [first(inputs), second(first(inputs))]
        return keras.Model(inputs, keras.layers.Subtract()([parts[i] for i in order]))

    assert fingerprint.of_backbone(make([0, 1])) == fingerprint.of_backbone(make([0, 1]))
    assert fingerprint.of_backbone(make([0, 1])) != fingerprint.of_backbone(make([1, 0]))


def key(backbone="b", images=None, view=None, dtype="float16"):
    if images is None:
        images = arrays(np.arange(2 * 192, dtype=np.uint8).reshape(2, 8, 8, 3), [0, 1])
    view = view or ViewSet(WEAK, policies.Crop(), 2, 0)
    digest = fingerprint.of_images(images)
    return fingerprint.key(fingerprint.describe(backbone, images, digest, view, dtype))


def other_images():
    pixels = np.arange(2 * 192, dtype=np.uint8).reshape(2, 8, 8, 3)
    changed = pixels.copy()
    changed[1, 7, 7, 2] += 1
    return {
        "a pixel": arrays(changed, [0, 1]),
        "the order": arrays(pixels[::-1], [0, 1]),
        "the number": arrays(pixels[:1], [0]),
        "the shape": arrays(pixels.reshape(2, 4, 16, 3), [0, 1]),
    }


VIEW = ViewSet(WEAK, policies.Crop(), 2, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": "c"},
        {"dtype": "float32"},
        *({"images": images} for images in other_images().values()),
        *(
            {"view": dataclasses.replace(VIEW, **change)}
            for change in (
                {"name": STRONG},
                {"policy": policies.Crop(flip=False)},
                {"policy": policies.Shift(flip=True)},
                {"count": 3},
                {"seed": 1},
            )
        ),
    ],
)
def test_each_thing_changes_the_key(changed):
    assert key(**changed) != key()


def test_labels_do_not_count():
    pixels = np.arange(2 * 192, dtype=np.uint8).reshape(2, 8, 8, 3)
    assert key(images=arrays(pixels, [1, -1])) == key()


def test_the_format_counts(monkeypatch):
    before = key()
    monkeypatch.setattr(fingerprint, "FORMAT", fingerprint.FORMAT + 1)
    assert key() != before


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (policies.unchanged, "unchanged"),
        (policies.Crop(), "Crop(flip=True)"),
        (
            policies.Strong(policies.unchanged, randaugment.RandAugment(magnitude=3), 0.25),
            "Strong(weak=unchanged, distort=RandAugment(layers=2, magnitude=3, translate=None, "
            "cutout=None), cutout=0.25)",
        ),
        (autoaugment.AutoAugment("svhn"), "AutoAugment(policy='svhn', translate=None)"),
    ],
)
def test_policies_say_what_they_depend_on(policy, text):
    assert fingerprint.of_policy(policy) == text


def test_a_layer_says_so_without_its_name():
    layers = [policies.FromLayer(keras.layers.RandomRotation(0.1)) for _ in range(2)]
    first, second = map(fingerprint.of_policy, layers)
    assert first == second
    assert "0.1" in first
    other = policies.FromLayer(keras.layers.RandomRotation(0.2))
    assert fingerprint.of_policy(other) != first


def test_a_function_says_nothing():
    with pytest.raises(ConfigError, match="must be a policy of"):
        fingerprint.of_policy(lambda images, draws: images)
