"""Logits that are adjusted by how frequent classes are among the labels."""

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.engine.logit_adjustment import LogitAdjustment
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.engine.user_networks import copy_network
from mpl_tf.options import ConfigError

K = 3
COUNTS = [6, 2, 0]


def data_of(batch, endless, counts):
    data = endless(batch)
    data.class_counts = np.array(counts)
    return data


def trained(name, batch, endless, linear, counts, strength):
    """The weights of all networks of a method after two steps, and two of finetuning."""
    method_class = mpl_tf.METHODS[name]
    more = {"num_unlabeled": 6} if method_class.needs_num_unlabeled() else {}
    if name == "noisy_student":
        more["rounds"] = 1
    networks = [copy_network(linear) for _ in method_class.optimizers]
    method = method_class(*networks, logit_adjustment=strength, seed=3, **more)
    method.compile(**{o: keras.optimizers.SGD(0.5) for o in method.optimizers})
    data = data_of(batch, endless, counts)
    for phase in method.pretraining_phases().values():
        phase.fit(data, steps_per_epoch=2, verbose=0)
    if isinstance(method, StoredTeacherMethod):
        method.store_predictions([(batch["weak"], batch["index"])])
    method.fit(data, steps_per_epoch=2, verbose=0)
    method.finetune(data, steps=2, optimizer=keras.optimizers.SGD(0.5), verbose=0)
    networks = {**method.networks, "finetuned": method.finetuned}
    return {name: network.get_weights() for name, network in networks.items()}


@pytest.fixture
def batch(random_batch):
    batch = random_batch((5,)) | {"index": np.arange(6)}
    return batch | {
        f"{view}_{n}": batch["weak"] for view in ("weak", "strong") for n in range(2, 9)
    }


def test_a_step_by_hand(linear, random_batch, endless):
    batch = random_batch((5,))
    model = mpl_tf.Supervised(linear(5, K), logit_adjustment=2.0, label_smoothing=0.0)
    model.compile(keras.optimizers.SGD(0.5))
    kernel, bias = model.student.get_weights()
    model.fit(data_of(batch, endless, COUNTS), steps_per_epoch=1, verbose=0)
    logits = batch["labeled"] @ kernel + bias + 2 * np.log(np.array([6, 2, 1]) / 9)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slope = (probs - np.eye(K)[batch["label"]]) / 4
    expected = [kernel - 0.5 * batch["labeled"].T @ slope, bias - 0.5 * slope.sum(axis=0)]
    for got, want in zip(model.student.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", mpl_tf.METHODS)
def test_it_acts_in_every_method_and_not_where_classes_are_as_frequent(
    name, batch, endless, linear
):
    """A constant added to all logits changes nothing."""
    start = linear(5, K)
    without = trained(name, batch, endless, start, [4, 4, 4], 0.0)
    alike = trained(name, batch, endless, start, [4, 4, 4], 1.0)
    adjusted = trained(name, batch, endless, start, COUNTS, 1.0)
    for role, weights in without.items():
        for a, b in zip(alike[role], weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
        moved = zip(adjusted[role], weights, strict=True)
        assert max(np.abs(a - b).max() for a, b in moved) > 1e-3, role


def test_another_fit_follows_its_own_data():
    adjustment, data = (
        LogitAdjustment(1.0),
        mpl_tf.data.pair(
            (np.zeros([6, 5, 1, 1], np.uint8), np.array([0, 0, 0, 1, 1, 2])),
            labeled_batch=2,
            method=mpl_tf.Supervised,
        ),
    )
    with pytest.raises(ConfigError, match="known in `fit` alone"):
        adjustment(np.zeros([1, K]))
    assert adjustment.follow(data, K)
    assert not adjustment.follow(data, K)
    np.testing.assert_allclose(adjustment(np.zeros([1, K]))[0], np.log([1 / 2, 1 / 3, 1 / 6]))
    data.class_counts = np.array(COUNTS)
    assert adjustment.follow(data, K)


def test_data_that_does_not_know_its_labels_is_refused(linear, random_batch, endless):
    model = mpl_tf.Supervised(linear(5, K), logit_adjustment=1.0)
    model.compile("sgd")
    with pytest.raises(ConfigError, match="logit_adjustment needs data that knows its labels"):
        model.fit(endless(random_batch((5,))), steps_per_epoch=1)
    with pytest.raises(ConfigError, match="logit_adjustment must be at least 0"):
        mpl_tf.UDA.Config(logit_adjustment=-1.0)
