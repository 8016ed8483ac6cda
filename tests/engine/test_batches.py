"""What `fit` asks of a batch before the first step."""

import numpy as np
import pytest
import tensorflow as tf

import mpl_tf


@pytest.fixture
def model(linear):
    made = mpl_tf.FixMatch(linear(5, 3))
    made.compile("sgd")
    return made


@pytest.mark.parametrize("key", ["labeled", "label", "weak", "strong"])
def test_a_batch_without_a_key_says_which(model, random_batch, endless, key):
    batch = random_batch((5,))
    del batch[key]
    there = ", ".join(batch)
    message = f"must have labeled, label, weak, strong; {key} is missing.* {there}"
    with pytest.raises(ValueError, match=message):
        model.fit(endless(batch), steps_per_epoch=1)


def test_only_views_that_the_method_takes_are_asked_for(linear, random_batch, endless):
    batch = random_batch((5,))
    supervised = mpl_tf.Supervised(linear(5, 3))
    supervised.compile("sgd")
    supervised.fit(
        endless({k: batch[k] for k in ("labeled", "label")}), steps_per_epoch=1, verbose=0
    )
    mean_teacher = mpl_tf.MeanTeacher(linear(5, 3))
    mean_teacher.compile("sgd")
    with pytest.raises(ValueError, match="weak_2 is missing"):
        mean_teacher.fit(endless(batch), steps_per_epoch=1)


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (np.zeros([4, 5]), "ndarray"),
        (None, "NoneType"),
        ({"labeled": np.zeros([4, 5])}, "dict"),
        (tf.data.Dataset.from_tensors((np.zeros([4, 5]), np.zeros(4, int))), r"\(TensorSpec"),
    ],
    ids=["array", "nothing", "a dict of arrays", "pairs"],
)
def test_what_is_no_dataset_of_dicts_is_refused(model, data, received):
    message = f"takes a tf.data.Dataset of dicts with labeled, label, .* received {received}"
    with pytest.raises(ValueError, match=message):
        model.fit(data, steps_per_epoch=1)


@pytest.mark.parametrize(
    ("method", "hyperparameters"), [("mpl", {"feedback": "sampled"}), ("vat", {})]
)
def test_a_batch_of_open_size_draws_what_one_of_known_size_does(
    method, hyperparameters, linear, random_batch, endless
):
    method_class, batch, weights = mpl_tf.METHODS[method], random_batch((5,), labeled=6), []
    start = [linear(5, 3).get_weights() for _ in method_class.optimizers]
    for open_size in (False, True):
        data = endless(batch)
        if open_size:
            data = data.unbatch().batch(6)
            assert data.element_spec["weak"].shape[0] is None
        networks = [linear(5, 3) for _ in start]
        for network, values in zip(networks, start, strict=True):
            network.set_weights(values)
        model = method_class(*networks, **hyperparameters)
        model.compile(**dict.fromkeys(method_class.optimizers, "sgd"))
        model.fit(data, steps_per_epoch=2, verbose=0)
        weights.append(model.student.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
