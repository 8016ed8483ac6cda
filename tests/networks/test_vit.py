"""Vision transformers: numbers of parameters, the formula, patches, names."""

import math

import keras
import numpy as np
import pytest

from mpl_tf.networks import find, parts, vit
from mpl_tf.options import ConfigError


@pytest.mark.parametrize(
    ("name", "side", "parameters"),
    [
        ("vit_h14", 224, 632_045_800),
        ("vit_h14", 518, 633_470_440),
        ("vit_b16", 224, 86_567_656),
        ("vit_ti16", 224, 5_717_416),
        ("vit_s16", 224, 22_050_664),
        ("vit_l16", 224, 304_326_632),
    ],
)
def test_number_of_parameters(name, side, parameters, count):
    depth, width, _ = vit.SIZES[name[4:-2]]
    patch, hidden = int(name[-2:]), 4 * width
    tokens = (side // patch) ** 2 + 1
    block = 4 * (width + 1) * width + (width + 1) * hidden + (hidden + 1) * width + 4 * width
    stem = (3 * patch**2 + 1) * width + (1 + tokens) * width
    assert stem + depth * block + 2 * width + (width + 1) * 1000 == parameters
    if name == "vit_b16":
        assert count(name, side) == parameters


def normalised(x, scale, offset):
    deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return (x - x.mean(-1, keepdims=True)) / deviation * scale + offset


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def attention(x, heads, query, key, value, out):
    size = x.shape[-1] // heads
    queries, keys, values = (
        (x @ kernel + bias).reshape(len(x), -1, heads, size) for kernel, bias in (query, key, value)
    )
    scores = np.einsum("nthd,nshd->nhts", queries, keys) / math.sqrt(size)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    attended = np.einsum("nhts,nshd->nthd", weights, values)
    return attended.reshape(*x.shape) @ out[0] + out[1]


def test_features_are_those_of_the_formula(rng):
    network = vit.build(3, (4, 6, 1), depth=2, width=8, num_heads=2, patch=2)
    backbone = parts.backbone(network)
    for weight in backbone.trainable_weights:
        weight.assign(weight + 0.3 * rng.normal(size=weight.shape))
    images = rng.integers(0, 256, (2, 4, 6, 1))
    values = iter(v.numpy().astype(float) for v in backbone.trainable_weights)

    def pair():
        return next(values), next(values)

    x = images / 127.5 - 1
    patches = x.reshape(2, 2, 2, 3, 2, 1).transpose(0, 1, 3, 2, 4, 5).reshape(2, 6, 4)
    kernel, bias = pair()
    x = patches @ kernel.reshape(4, 8) + bias
    token, positions = pair()
    x = np.concatenate([token.repeat(2, 0), x], 1) + positions
    for _ in range(2):
        y = normalised(x, *pair())
        x = x + attention(y, 2, *(pair() for _ in range(4)))
        y = normalised(x, *pair())
        kernel, bias = pair()
        y = gelu(y @ kernel + bias)
        kernel, bias = pair()
        x = x + y @ kernel + bias
    expected = normalised(x, *pair())[:, 0]
    np.testing.assert_allclose(backbone(images), expected, rtol=1e-3, atol=1e-3)


def test_dropout_stands_where_the_paper_has_it():
    network = vit.build(3, (8, 8, 1), dropout=0.3, depth=2, width=8, num_heads=2, patch=4)
    drops = [x for x in parts.backbone(network).layers if isinstance(x, keras.layers.Dropout)]
    assert [x.rate for x in drops] == [0.3] * (1 + 2 * 2)
    assert len({x.seed for x in drops}) == len(drops)


def test_patches_divide_the_image():
    with pytest.raises(ConfigError, match="patches of 16 pixels; received images of 32x40"):
        find("vit_ti16")(3, (32, 40, 3))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_h0", "patches of at least one pixel, .*patch=0"),
        ("vit_0_64_4", "at least one layer and at most 1,000, .*received depth=0"),
        ("vit_1001_64_4", "at least one layer and at most 1,000, .*received depth=1001"),
        ("vit_2_193_4", "a width that its heads divide; .*width=193, num_heads=3"),
        ("vit_x16", "network must be one of"),
    ],
)
def test_other_networks_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find(name)
