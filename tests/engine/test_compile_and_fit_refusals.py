"""What a method's constructor, compile and fit refuse, each in a sentence that says what helps."""

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.options import ConfigError

SHAPE, K = (4, 4, 1), 3
PLAIN = {"weak": None, "strong": None}  # views take seconds to trace


def network(seed=1):
    return mpl_tf.NETWORKS["mlp"](K, SHAPE, seed=seed)


def pairs(method, count=12):
    images = np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    labels = np.arange(count) % K
    return mpl_tf.data.pair(
        (images, labels), labeled_batch=3, unlabeled_ratio=2, method=method, **PLAIN
    )


@pytest.mark.parametrize("name", ["PseudoLabel", "NoisyStudent", "MetaPseudoLabels"])
@pytest.mark.parametrize("optimizer", [None, "no such thing", 3])
def test_a_student_optimizer_that_is_none_is_refused_by_its_name(name, optimizer):
    method = getattr(mpl_tf, name)(network(1), network(2))
    with pytest.raises(ValueError, match=r"student_optimizer must be a keras\.optimizers"):
        method.compile(student_optimizer=optimizer, teacher_optimizer="sgd")


@pytest.mark.parametrize("arguments", [{"loss": "mse"}, {"metrics": ["accuracy"]}])
def test_arguments_of_keras_that_would_have_no_effect_are_refused(arguments):
    with pytest.raises(ValueError, match=f"no use for {next(iter(arguments))}"):
        mpl_tf.FixMatch(network()).compile("sgd", **arguments)


def test_a_round_that_was_never_trained_is_refused():
    method = mpl_tf.NoisyStudent(network(1), network(2), rounds=2)
    method.compile(student_optimizer="sgd", teacher_optimizer=None)
    data = pairs(method)
    with pytest.raises(ValueError, match="learned nothing yet, round_1: call pretrain"):
        method.fit(data, steps_per_epoch=1)
    method.pretrain(data, steps=1, verbose=0)
    method.fit(data, steps_per_epoch=1, verbose=0)


def test_fit_before_compile_says_so():
    method = mpl_tf.PseudoLabel(network(1), network(2))
    with pytest.raises(ValueError, match="compile"):
        method.fit(pairs(method), steps_per_epoch=1)


@pytest.mark.parametrize("method_class", [mpl_tf.FlexMatch, mpl_tf.TemporalEnsembling])
@pytest.mark.parametrize("size", [0, 2.5, None])
def test_a_pool_that_is_no_size_is_refused(method_class, size):
    with pytest.raises(ConfigError, match="num_unlabeled must be a whole number of at least 1"):
        method_class(network(), num_unlabeled=size)


def test_another_pool_than_the_method_was_made_for_is_refused():
    method = mpl_tf.FlexMatch(network(), num_unlabeled=11)
    method.compile("sgd")
    with pytest.raises(ValueError, match="made for num_unlabeled=11 images; the data has 12"):
        method.fit(pairs(method), steps_per_epoch=1)


def test_thresholds_that_cross_are_refused():
    with pytest.raises(ConfigError, match=r"at most greatest_threshold=0.5; received 0.9"):
        mpl_tf.FreeMatch(network(), least_threshold=0.9, greatest_threshold=0.5)


def test_the_rotation_head_is_on_the_features_whatever_casts_the_logits():
    inputs = keras.Input(SHAPE)
    features = keras.layers.Flatten()(keras.layers.Conv2D(5, 2)(inputs))
    logits = keras.layers.Dense(K)(features)
    cast = keras.layers.Activation("linear", dtype="float32")(logits)
    method = mpl_tf.ReMixMatch(keras.Model(inputs, cast))
    (head,) = (layer for layer in method.trained.layers if layer.name == "rotation")
    assert head.input_shape == (None, features.shape[-1])
    assert head.output_shape == (None, 4)
