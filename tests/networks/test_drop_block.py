"""DropBlock: masks by hand, the schedule, where ResNets have it, and that it is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import config
from mpl_tf.networks import heads, parts, resnet
from mpl_tf.networks.drop_block import DropBlock
from mpl_tf.options import ConfigError
from mpl_tf.runs.checkpoint import Checkpoints

SMALL = {"depth": 14, "width": 0.125, "seed": 1}


def test_squares_by_hand(monkeypatch, rng):
    """Two corners of one channel, whose squares overlap; what is left has the mean of all."""
    monkeypatch.setattr(keras.random, "uniform", lambda shape, seed: drawn[..., : shape[3]])
    drawn = np.ones((2, 3, 4, 2), np.float32)
    drawn[0, 0, 1, 0] = drawn[0, 1, 2, 0] = 0.0
    inputs = rng.normal(size=(2, 5, 6, 2)).astype(np.float32)
    kept = np.ones_like(inputs)
    kept[0, 0:3, 1:4, 0] = kept[0, 1:4, 2:5, 0] = 0
    outputs = DropBlock(0.1, 3)(inputs, training=True)
    np.testing.assert_allclose(outputs, inputs * kept / kept.mean(), rtol=1e-6)


def test_the_threshold_of_draws_rises_to_the_papers_gamma(monkeypatch):
    """0.2 * 5 * 6 / (3^2 * 3 * 4) after four passes; in use nothing is dropped or counted."""
    ones, layer = np.ones((1, 5, 6, 1), np.float32), DropBlock(0.2, 3, steps=4)
    gamma, shares = 0.2 * 5 * 6 / (9 * 3 * 4), (0.0, 0.25, 0.5, 0.75, 1.0, 1.0)
    for passes, share in enumerate(shares):
        for factor, is_dropped in ((0.999, True), (1.001, False)):
            value = np.full((1, 3, 4, 1), factor * share * gamma, np.float32)
            monkeypatch.setattr(keras.random, "uniform", lambda *_, v=value, **__: v)
            if not layer.built:
                layer.build(ones.shape)
            layer.passes.assign(passes)
            outputs = np.asarray(layer(ones, training=True))
            assert (outputs == 0).all() == (is_dropped and share > 0)
        assert float(layer.passes) == passes + 1
    np.testing.assert_array_equal(layer(ones), ones)
    assert float(layer.passes) == passes + 1


@pytest.mark.parametrize("narrow", ["mixed_bfloat16", "mixed_float16"])
def test_passes_are_counted_in_float32(narrow):
    layer = DropBlock(0.2, 3, steps=10_000, dtype=narrow)
    layer.build((1, 4, 4, 1))
    layer.passes.assign(4_097)  # after which neither type counts on by one
    outputs = layer(np.ones((1, 4, 4, 1)), training=True)
    assert float(layer.passes) == 4_098 and outputs.dtype == narrow.removeprefix("mixed_")


def test_as_much_is_dropped_as_is_asked_for_and_all_of_a_map_that_is_smaller():
    layer = DropBlock(0.1, 3, seed=1)
    outputs = np.asarray(layer(np.ones((200, 16, 16, 4), np.float32), training=True))
    assert np.mean(outputs == 0) == pytest.approx(0.09, abs=0.015)  # some squares overlap
    assert outputs.mean() == pytest.approx(1, abs=1e-4)
    of_maps = np.asarray(DropBlock(0.5, 7, seed=1)(np.ones((300, 2, 3, 1)), training=True))
    dropped = (of_maps == 0).reshape(300, 2, 3)
    squares = dropped[:, :, :2].all((1, 2)) | dropped[:, :, 1:].all((1, 2))
    np.testing.assert_array_equal(squares, dropped.any((1, 2)))


def test_resnets_have_it_in_their_last_two_stages():
    network = resnet.build(3, (16, 16, 3), drop_block=0.2, drop_block_size=3, **SMALL)
    blocks = [x for x in parts.backbone(network).layers if isinstance(x, DropBlock)]
    assert [(x.rate, x.size) for x in blocks] == [(0.05, 3)] * 4 + [(0.2, 3)] * 4
    assert len({x.seed for x in blocks}) == 8
    plain = resnet.build(3, (16, 16, 3), **SMALL)
    assert not any(isinstance(x, DropBlock) for x in parts.backbone(plain).layers)
    passes = {id(x.passes) for x in blocks}  # the initial weights are the same with it
    weights = [x for x in network.weights if id(x) not in passes]
    for one, other in zip(plain.weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_with_all_devices_continues_to_the_last_bit(tmp_path, rng):
    """DropBlock, a spinal head with dropout, CutMix in half of the steps, and SAM."""

    def build():
        x = inputs = keras.Input((6, 6, 1))
        x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.GlorotUniform(1))(x)
        x = keras.layers.GlobalAveragePooling2D()(DropBlock(0.5, 2, steps=6, seed=2)(x))
        backbone = keras.Model(inputs, x, name=parts.BACKBONE)
        head = heads.build(3, 4, seed=3, form="spinal_4", dropout=0.5)
        model = mpl_tf.Supervised(parts.join(backbone, head), mix="cutmix", mix_probability=0.5)
        model.compile(keras.optimizers.SGD(0.1, 0.9), sam_rho=0.1, run_eagerly=True)
        return model

    batch = {"labeled": rng.normal(size=(8, 6, 6, 1)), "label": np.arange(8) % 3}
    data = tf.data.Dataset.from_tensors(batch).repeat()
    straight, resumed = build(), build()
    straight.fit(data, steps_per_epoch=3, verbose=0, renew_statistics=False)
    Checkpoints(straight, str(tmp_path)).save(3)
    assert Checkpoints(resumed, str(tmp_path)).restore() == 3
    for model in (straight, resumed):
        model.fit(data, steps_per_epoch=3, verbose=0, renew_statistics=False)
    assert {float(v) for v in straight.student.weights if v.name == "passes"} == {6.0}
    for one, other in zip(straight.variables, resumed.variables, strict=True):
        if one.path.partition("/")[0] != "means":  # logs, of which a run's are in checkpoints
            np.testing.assert_array_equal(one, other, err_msg=one.path)


def test_it_is_saved_with_its_passes_and_draws_the_same_masks_again(tmp_path, rng):
    x = inputs = keras.Input((8, 8, 2))
    network = keras.Model(inputs, DropBlock(0.5, 3, steps=10, seed=4)(x))
    network.layers[-1].passes.assign(7)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    images = rng.normal(size=(2, 8, 8, 2)).astype(np.float32)
    expected = np.asarray(network(images, training=True))
    assert (expected == 0).any()
    np.testing.assert_array_equal(loaded(images, training=True), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"network": "small", "drop_block": 0.1},
            "drop_block=0.1 is for residual networks: resnet",
        ),
        (
            {"network": "resnet_14", "drop_block": 1.0},
            "drop_block must be at least 0 and less than",
        ),
        ({"network": "resnet_14", "drop_block_size": 3}, "drop_block_size has no effect beside"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        config.make(settings)
