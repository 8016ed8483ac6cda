"""EfficientNet: numbers of parameters, Keras's features, stochastic depth, names."""

import keras
import numpy as np
import pytest
from keras.src.applications.efficientnet import EfficientNet  # public for B0 to B7 alone

from mpl_tf.networks import efficientnet, find, parts
from mpl_tf.options import ConfigError

SMALL = {"width": 0.25, "depth": 0.5}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("efficientnet_b0", 5_288_548),
        ("efficientnet_l2", 480_309_308),
        ("efficientnet_b6_wide", 316_649_180),
        *(
            pytest.param(f"efficientnet_b{index}", parameters, marks=pytest.mark.slow)
            for index, parameters in [
                (1, 7_794_184),
                (2, 9_109_994),
                (3, 12_233_232),
                (4, 19_341_616),
                (5, 30_389_784),
                (6, 43_040_704),
                (7, 66_347_960),
                (8, 87_413_142),
            ]
        ),
    ],
)
def test_number_of_parameters(name, parameters, count):
    assert count(name) == parameters


def of_layers(network):
    """The weights of a network's convolutions, dense layers and batch normalisations."""
    leave_out = (keras.layers.Normalization, keras.layers.Dropout)
    made_of = [x for x in network.layers if not isinstance(x, leave_out)]
    return [weight for layer in made_of for weight in layer.weights]


def test_features_are_those_of_keras(rng):
    shape = (40, 32, 3)
    theirs = EfficientNet(
        *(0.25, 0.5, 32),
        include_top=False,
        weights=None,
        input_shape=shape,
        pooling="avg",
        name="reference",
    )
    for weight in theirs.weights:  # batch statistics, too, are to be told from initial ones
        weight.assign(weight + 0.1 * np.abs(rng.normal(size=weight.shape)))
    *_, normalization = (x for x in theirs.layers if isinstance(x, keras.layers.Normalization))
    ours = parts.backbone(efficientnet.build(3, shape, **SMALL))
    for weight, value in zip(of_layers(ours), of_layers(theirs), strict=True):
        weight.assign(np.reshape(value, weight.shape))  # they squeeze with 1x1 convolutions
    images = rng.integers(0, 256, (2, *shape)).astype(np.float32)
    without = keras.Model(normalization.output, theirs.output)  # its statistics are to be loaded
    scaled = keras.applications.densenet.preprocess_input(images.copy())
    expected = np.asarray(without(scaled))
    np.testing.assert_allclose(ours(images), expected, rtol=1e-3, atol=1e-3 * np.ptp(expected))
    assert np.ptp(expected) > 0


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(32, 1.0, 32), (16, 0.25, 8), (32, 1.1, 32), (24, 1.1, 24), (80, 1.4, 112), (40, 1.1, 48)],
)
def test_channels_are_rounded_to_eights(channels, width, expected):
    assert efficientnet.rounded(channels, width) == expected


def test_blocks_are_left_out_more_often_the_deeper_they_are(rng):
    drops = [
        layer
        for layer in parts.backbone(efficientnet.build(3, (32, 32, 3), **SMALL)).layers
        if isinstance(layer, keras.layers.Dropout)
    ]
    # Nine blocks: (1, 1, 1, 2, 2, 2, 1) of the seven stages; one stage's first adds its input.
    rates = [0.2 * index / 10 for index in (4, 6, 8)]
    assert [layer.rate for layer in drops] == pytest.approx(rates)
    assert {layer.noise_shape for layer in drops} == {(None, 1, 1, 1)}
    assert len({layer.seed for layer in drops}) == len(drops)
    without = efficientnet.build(3, (32, 32, 3), stochastic_depth=0.0, **SMALL)
    assert not any(isinstance(x, keras.layers.Dropout) for x in parts.backbone(without).layers)


@pytest.mark.parametrize("member", efficientnet.MEMBERS)
def test_a_member_has_the_dropout_of_its_size(member):
    found = find(f"efficientnet_{member}").keywords
    assert found["dropout"] == efficientnet.MEMBERS[member][3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_b9", "one of the names b0, b1, .* or the coefficients .*efficientnet_b9"),
        ("efficientnet_0_1", "greater than 0 and at most 100; received width=0 and depth=1"),
        ("efficientnet_1_1000", "received width=1 and depth=1000"),
    ],
)
def test_other_networks_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find(name)
