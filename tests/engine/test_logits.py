"""Which networks are accepted as giving logits."""

import keras
import pytest
import tensorflow as tf
from keras import layers

from mpl_tf.engine.logits import check_logits
from mpl_tf.networks import NETWORKS
from mpl_tf.options import ConfigError


def functional(*stack):
    x = inputs = keras.Input([4])
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_our_networks_pass(name):
    check_logits(NETWORKS[name](3, (8, 8, 1)), "student")


PROBABILITIES = {
    "layer": lambda: functional(layers.Dense(3), layers.Softmax()),
    "activation layer": lambda: functional(layers.Dense(3), layers.Activation("softmax")),
    "activation": lambda: functional(layers.Dense(3, activation="softmax")),
    "sigmoid": lambda: functional(layers.Dense(3, activation="sigmoid")),
    "TensorFlow's function": lambda: functional(layers.Dense(3, activation=tf.nn.softmax)),
    "layer as activation": lambda: functional(layers.Dense(3, activation=layers.Softmax())),
    "operation": lambda: functional(layers.Dense(3), keras.ops.softmax),
    "hard sigmoid": lambda: functional(layers.Dense(3), keras.ops.hard_sigmoid),
    "sequential": lambda: keras.Sequential([keras.Input([4]), layers.Dense(3), layers.Softmax()]),
    "nested functional": lambda: functional(layers.Dense(4), functional(layers.Softmax())),
    "nested sequential": lambda: functional(
        keras.Sequential([layers.Dense(3), layers.Activation("softmax")])
    ),
    "nested twice": lambda: functional(functional(functional(layers.Dense(3), layers.Softmax()))),
    "then float32": lambda: functional(
        layers.Dense(3, activation="softmax"), layers.Activation("linear", dtype="float32")
    ),
    "then dropout": lambda: functional(
        layers.Dense(3), layers.Softmax(), layers.Dropout(0.1), layers.Reshape([3])
    ),
}


@pytest.mark.parametrize("form", PROBABILITIES)
def test_probabilities_are_refused_with_the_remedy(form):
    with pytest.raises(ConfigError, match=r"teacher must give logits.*activation=None"):
        check_logits(PROBABILITIES[form](), "teacher")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.dense(x)


LOGITS = {
    "plain": lambda: functional(layers.Dense(3)),
    "inner softmax": lambda: functional(layers.Softmax(), layers.Dense(3)),
    "inner sigmoid": lambda: functional(layers.Dense(5, activation="sigmoid"), layers.Dense(3)),
    "log softmax": lambda: functional(layers.Dense(3, activation="log_softmax")),
    "linear": lambda: functional(layers.Dense(3, activation="linear")),
    "bfloat16": lambda: functional(layers.Dense(3, dtype="bfloat16")),
    "nested": lambda: functional(keras.Sequential([layers.Dense(3)])),
    "unbuilt": lambda: keras.Sequential([layers.Dense(3), layers.Softmax()]),
    "subclassed": Subclassed,
    "nested subclassed": lambda: functional(Subclassed()),
}


@pytest.mark.parametrize("form", LOGITS)
def test_logits_and_what_cannot_be_told_pass(form):
    check_logits(LOGITS[form](), "student")


def two_outputs():
    inputs = keras.Input([4])
    return keras.Model(inputs, [layers.Dense(3)(inputs), layers.Dense(2)(inputs)])


def named_output():
    inputs = keras.Input([4])
    return keras.Model(inputs, {"logits": layers.Dense(3)(inputs)})


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (two_outputs, "one tensor.*received a list"),
        (named_output, "one tensor.*received a dict"),
        (lambda: functional(layers.Reshape([1, 2, 2])), r"received shape \(None, 1, 2, 2\)"),
        (lambda: functional(lambda x: keras.ops.argmax(x, axis=-1)), r"received shape \(None,\)"),
        (lambda: functional(lambda x: keras.ops.cast(x, "int32")), "type int32"),
        (lambda: functional(layers.Dense(1)), "at least 2"),
    ],
)
def test_an_output_of_another_form_is_refused(network, message):
    with pytest.raises(ConfigError, match=f"student must give.*{message}"):
        check_logits(network(), "student")
