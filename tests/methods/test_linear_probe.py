"""Linear evaluation: the last layer by hand, and nothing else moves."""

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.networks import heads, parts

CONTRACT = {"no_better_on": ("digits", "moons")}


def test_the_last_layer_learns_by_hand(convolutional, random_batch, endless, by_hand):
    """On features without noise, by moving statistics."""
    student = convolutional(0)
    student.layers[2].set_weights([np.array(v) for v in ([2.0] * 4, [0.1] * 4, [1.0] * 4, [3] * 4)])
    encoder = keras.Model(student.inputs[0], student.layers[-1].input)
    model = mpl_tf.LinearProbe(student, label_smoothing=0.2)
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    batches = [random_batch((6, 6, 1)) for _ in range(2)]
    *before, kernel, bias = student.get_weights()
    weights = [kernel, bias]
    model.fit(endless(batches), steps_per_epoch=2, verbose=0)
    for batch in batches:
        features = encoder(batch["labeled"], training=False).numpy()
        label = by_hand.smooth(np.eye(3)[batch["label"]], 0.2)
        error = (by_hand.softmax(by_hand.logits(features, weights)) - label) / 4
        weights = by_hand.step(weights, [(features, error)])
    *after, kernel, bias = student.get_weights()
    by_hand.assert_close([kernel, bias], weights)
    by_hand.assert_identical(after, before)  # batch statistics, and the draws of dropout
    *averaged, _, _ = model.ema.get_weights()
    by_hand.assert_identical(averaged, before)


def test_a_network_without_a_last_layer_is_refused():
    inputs = keras.Input([4])
    student = keras.Model(inputs, keras.layers.Rescaling(2.0)(inputs))
    with pytest.raises(mpl_tf.ConfigError, match="there is no classifier"):
        mpl_tf.LinearProbe(student)


def test_a_head_of_several_layers_is_refused():
    backbone = keras.Sequential([keras.Input([4, 4, 1]), keras.layers.Flatten()], name="backbone")
    student = parts.join(backbone, heads.build(3, 16, form="mlp_8"))
    with pytest.raises(mpl_tf.ConfigError, match=r"head of .* has 2 layers with kernels"):
        mpl_tf.LinearProbe(student)
    mpl_tf.LinearProbe(parts.join(backbone, heads.build(3, 16)))
