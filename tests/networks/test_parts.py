"""Networks of a backbone and a head."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.networks import heads, parts
from mpl_tf.options import ConfigError


def backbone():
    inputs = keras.Input((4, 4, 3))
    features = keras.layers.Dense(5, activation="tanh")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, features, name=parts.BACKBONE)


def test_the_network_is_the_head_of_the_features():
    first, second = backbone(), heads.build(3, 5, seed=1)
    network = parts.join(first, second)
    images = np.random.default_rng(0).uniform(size=(2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(images), second(first(images)))
    assert parts.has_parts(network)
    assert parts.backbone(network) is first
    assert parts.head(network) is second
    assert not parts.has_parts(first)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"features of shape \(None, 6\); received \(None, 5\)"):
        parts.join(backbone(), heads.build(3, 6))
    with pytest.raises(ValueError, match="must be called 'backbone'; received 'head'"):
        parts.join(heads.build(3, 5), heads.build(3, 5))


SHAPES = {
    "linear": [(5, 3)],
    "mlp_7": [(5, 7), (7, 3)],
    "spinal_7": [(2, 7), (3 + 7, 7), (2 + 7, 7), (3 + 7, 7), (4 * 7, 3)],
    "spinal": [(2, 512), (3 + 512, 512), (2 + 512, 512), (3 + 512, 512), (4 * 512, 3)],
}


@pytest.mark.parametrize(("form", "shapes"), SHAPES.items())
def test_a_head_has_its_layers_and_its_seed(form, shapes):
    head, same, other = (heads.build(3, 5, seed=seed, form=form) for seed in (1, 1, 2))
    kernels = [w.shape for w in head.get_weights() if w.ndim == 2]
    assert kernels == shapes
    for a, b, c in zip(head.get_weights(), same.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or not np.array_equal(a, c)


def test_a_spinal_head_by_hand(rng):
    """In training without dropout, and in use with statistics of its own."""
    head = heads.build(3, 5, seed=1, form="spinal_4", dropout=0.0, temperature=0.5)
    for variable in head.weights:  # variances too
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    features = rng.normal(size=(6, 5)).astype(np.float32)
    *blocks, kernel, bias = head.get_weights()
    for training in (False, True):
        left, right, hidden = features[:, :2], features[:, 2:], []
        for number in range(4):
            v, c, gamma, beta, mean, variance = blocks[6 * number : 6 * number + 6]
            half = (left, right)[number % 2]
            x = np.concatenate([half, *hidden[-1:]], 1) @ v + c
            if training:
                mean, variance = x.mean(0), x.var(0)
            x = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
            hidden.append(np.maximum(x, 0))
        logits = (np.concatenate(hidden, 1) @ kernel + bias) / 0.5
        np.testing.assert_allclose(head(features, training=training), logits, rtol=1e-4, atol=1e-4)


def test_a_spinal_head_drops_before_each_layer_and_can_be_synchronized():
    head = heads.build(3, 5, seed=1, form="spinal_4", dropout=0.5, synchronized=True)
    dropped = [each for each in head.layers if isinstance(each, keras.layers.Dropout)]
    norms = [each for each in head.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert [each.rate for each in dropped] == [0.5] * 5
    assert [each.synchronized for each in norms] == [True] * 4
    assert len({each.seed for each in dropped}) == 5
    with pytest.raises(ConfigError, match="head=spinal takes features in two halves; the network"):
        heads.build(3, 1, form="spinal")


@pytest.mark.parametrize("form", ["linear", "mlp_7", "spinal_7"])
def test_a_head_divides_its_logits_by_its_temperature(form, rng):
    features = rng.normal(size=(4, 5)).astype(np.float32)
    plain, cold = (heads.build(3, 5, seed=1, form=form, temperature=t) for t in (1.0, 0.25))
    np.testing.assert_allclose(
        cold(features), 4 * np.asarray(plain(features)), rtol=1e-6, atol=1e-6
    )
    assert len(cold.weights) == len(plain.weights)


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_a_linear_head_takes_the_weights_of_its_logits(temperature, rng):
    features, kernel, bias = (rng.normal(size=s).astype(np.float32) for s in ((4, 5), (5, 3), 3))
    head = heads.build(3, 5, temperature=temperature)
    heads.set_linear(head, kernel, bias)
    np.testing.assert_allclose(head(features), features @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_hidden_vectors_are_as_long_as_features_of_any_number(rng):
    lengths = []
    for num_features in (8, 512):
        features = rng.normal(size=(200, num_features)).astype(np.float32)
        features /= np.linalg.norm(features, axis=-1, keepdims=True)
        hidden = heads.build(3, num_features, seed=1, form="mlp_2048").layers[1]
        lengths.append(np.linalg.norm(hidden(features), axis=-1).mean())
    np.testing.assert_allclose(lengths, 1, atol=0.05)


def test_features_of_length_zero_have_logits_and_gradients():
    layer, features = heads.unit_length(), tf.Variable([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        lengths = layer(features)
    assert np.all(np.isfinite(tape.gradient(lengths, features)))
    np.testing.assert_allclose(lengths, [[0, 0], [0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("form", ["", "mlp", "mlp_0", "MLP_3", "spinal_0", "linear_4"])
def test_other_heads_are_refused(form):
    with pytest.raises(ConfigError, match=f"head must be linear; mlp_WIDTH: .*{form!r}"):
        heads.build(3, 5, form=form)
