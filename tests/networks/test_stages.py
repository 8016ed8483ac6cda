"""A network in stages computes what it computes as a whole, and stages have about equal work."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.networks import parts, precision, stages
from mpl_tf.options import ConfigError

layers = keras.layers


def chain(kernels):
    """Dense layers of 2 inputs and 2 outputs each, one after the other."""
    x = inputs = keras.Input([2])
    for _ in range(kernels):
        x = layers.Dense(2)(x)
    return keras.Model(inputs, x)


def residual():
    """Convolutions with batch normalisation, dropout and two skips, of which one ends late."""
    x = inputs = keras.Input([6, 6, 1])
    early = x = layers.Conv2D(4, 3, padding="same")(x)
    for _ in range(2):
        y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
        x = layers.Add()([x, layers.Dropout(0.3, seed=1)(keras.ops.relu(y))])
    x = layers.Flatten()(layers.Concatenate()([x, early]))
    return keras.Model(inputs, layers.Dense(3)(x))


def of_two_parts():
    inputs = keras.Input([6, 6, 1])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3)(layers.Rescaling(0.1)(inputs)))
    backbone = keras.Model(inputs, x, name="backbone")
    inputs = keras.Input([5], dtype=backbone.outputs[0].dtype)
    head = keras.Model(inputs, layers.Dense(3, dtype="float32")(inputs), name="head")
    return parts.join(backbone, head)


def sequential():
    inside = keras.Sequential([keras.Input([4, 4, 2]), layers.Flatten(), layers.Dense(5)])
    return keras.Sequential([keras.Input([6, 6, 1]), layers.Conv2D(2, 3), inside, layers.Dense(3)])


def narrow():
    with precision("bfloat16"):
        return of_two_parts()


def values(variables):
    return [tf.convert_to_tensor(variable) for variable in variables]


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("make", [residual, of_two_parts, narrow, sequential])
def test_stages_compute_what_the_network_does(make, count, rng):
    network, images = make(), tf.constant(rng.normal(size=(4, 6, 6, 1)), tf.float32)
    divided = stages.split(network, count)
    for training in (False, True):
        expected, state = network.stateless_call(
            values(network.trainable_variables),
            values(network.non_trainable_variables),
            images,
            training=training,
        )
        tensors, left = [images], {}
        for stage in divided:
            weights, before = values(stage.trainable), values(stage.state)
            tensors, after = stage(weights, before, tensors, training)
            left |= zip(map(id, stage.state), after, strict=True)
        np.testing.assert_array_equal(tensors[0], expected)
        for variable, value in zip(network.non_trainable_variables, state, strict=True):
            np.testing.assert_array_equal(left[id(variable)], value)
    owned = [id(v) for stage in divided for v in (*stage.trainable, *stage.state)]
    assert sorted(owned) == sorted(map(id, network.variables))


def test_a_network_keeps_its_calls():
    """Its layers are called no further time: Keras would not know their one output."""
    network = of_two_parts()
    stages.split(network, 2)
    assert [layer.output.shape[-1] for layer in parts.backbone(network).layers[1:]] == [1, 5, 5]


@pytest.mark.parametrize(
    ("costs", "sizes", "count", "cuts"),
    [
        ([1, 1, 1, 1], {1: 9, 2: 9, 3: 9}, 2, [2]),
        ([4, 1, 1, 2], {1: 9, 2: 9, 3: 9}, 2, [1]),
        ([1, 1, 1, 1], {1: 9, 3: 9}, 2, [1]),  # both are equal
        ([100, 2, 100], {1: 9, 2: 5}, 2, [2]),  # equal, and less crosses there
        ([100, 40, 99], {1: 9, 2: 5}, 2, [2]),  # 140 is near enough to 139, and less crosses
        ([100, 40, 80], {1: 9, 2: 5}, 2, [1]),  # 140 is too far from 120
        ([1, 1, 8, 1, 1, 1], dict.fromkeys(range(1, 6), 9), 3, [2, 3]),
        ([5, 0, 0], {1: 9, 2: 9}, 3, [1, 2]),
    ],
)
def test_the_largest_stage_is_small_and_little_crosses(costs, sizes, count, cuts):
    assert stages._cuts(costs, sizes, count) == cuts


def test_costs_are_multiply_adds_of_one_image():
    network = sequential()
    assert stages.costs_of(network) == [4 * 4 * 3 * 3 * 1 * 2, 0, 32 * 5, 5 * 3]


def test_no_cut_lies_between_two_uses_of_a_weight():
    x = inputs = keras.Input([2])
    shared = layers.Dense(2)
    x = layers.Dense(2)(shared(layers.Dense(2)(shared(layers.Dense(2)(x)))))
    network = keras.Model(inputs, x)
    first, last = stages.split(network, 2)
    assert (len(first.calls), len(last.calls)) in ((1, 4), (4, 1))
    with pytest.raises(ConfigError, match=r"has 2 points .* Take at most stages=3\."):
        stages.split(network, 4)


def test_a_network_of_few_layers_is_not_cut_into_many():
    with pytest.raises(ConfigError, match=r"stages=4 needs 3 cuts, and .* has 2 points"):
        stages.split(chain(3), 4)


def test_a_network_that_hides_its_layers_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return super().call(inputs)

    inputs = keras.Input([2])
    with pytest.raises(ConfigError, match="a Own with a call of its own"):
        stages.split(Own(inputs, layers.Dense(2)(inputs)), 2)
