"""Microbatches, passes computed twice and groups of steps change nothing but memory and time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine.forward import Forward

B, U, K = 4, 8, 3


@pytest.fixture
def data(rng):
    sizes = {"labeled": B, "weak": U, "strong": U}
    batches = {k: rng.normal(size=(6, n, 6, 6, 1)) for k, n in sizes.items()}
    batches["label"] = rng.integers(K, size=(6, B))
    return tf.data.Dataset.from_tensor_slices(batches).repeat()


def plain(seed, dtype="float64"):
    """A convolutional network without batch statistics and dropout."""
    layers = keras.layers
    initial = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    x = inputs = keras.Input([6, 6, 1], dtype=dtype)
    x = layers.Conv2D(4, 3, dtype=dtype, kernel_initializer=initial[0])(x)
    x = layers.Flatten(dtype=dtype)(layers.LeakyReLU(dtype=dtype)(x))
    return keras.Model(inputs, layers.Dense(K, dtype=dtype, kernel_initializer=initial[1])(x))


def trained(data, make, feedback, compile_arguments, steps=6, **hyperparameters):
    """All weights, and the model, after some steps with momentum, L2 and clipping."""
    made = [make(1), make(5)]
    sgd = [keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True) for _ in made]
    if feedback == "supervised":
        model, sgd = mpl_tf.Supervised(made[1]), sgd[:1]
    elif feedback == "pseudo_label":
        model = mpl_tf.PseudoLabel(*made)
    else:
        model = mpl_tf.MetaPseudoLabels(
            *made, feedback=feedback, feedback_weight=5.0, uda_ramp_steps=2, uda_threshold=0.4,
            **hyperparameters,
        )  # fmt: skip
    named = dict(zip(model.optimizers, sgd, strict=True))
    if feedback == "pseudo_label":
        named["teacher_optimizer"] = None  # it labels as it is
    model.compile(**named, weight_decay=1e-3, clip_norm=1.0, **compile_arguments)
    model.fit(data, steps_per_epoch=steps, verbose=0)
    return [w for n in model.networks.values() for w in n.get_weights()], model


@pytest.mark.parametrize("feedback", ["exact", "sampled", "pseudo_label", "supervised"])
def test_microbatches_equal_one_big_batch_without_batch_norm(data, feedback):
    whole, _ = trained(data, plain, feedback, {})
    parts, model = trained(data, plain, feedback, {"accumulate_steps": 4})
    assert model.forward.rematerialize
    for a, b in zip(parts, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("feedback", "joint"), [("exact", True), ("sampled", False)])
def test_passes_computed_twice_equal_those_kept(data, convolutional, feedback, joint):
    """With batch statistics and dropout: the second time has the statistics and masks of the
    first, and does not move them on once more."""
    kept, _ = trained(data, convolutional, feedback, {}, joint_views=joint)
    twice, model = trained(data, convolutional, feedback, {"recompute": True}, joint_views=joint)
    assert model.forward.rematerialize
    for a, b in zip(twice, kept, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_each_microbatch_has_its_own_batch_statistics(convolutional, rng):
    images = rng.normal(size=(8, 6, 6, 1))
    (parts,) = Forward(accumulate_steps=2)(convolutional(0, dropout=0.0), images)
    network = convolutional(0, dropout=0.0)
    by_hand = [network(half, training=True) for half in np.split(images, 2)]
    np.testing.assert_allclose(parts, np.concatenate(by_hand), atol=1e-12)


def test_parts_keep_their_rows(rng):
    images = [rng.normal(size=(n, 6, 6, 1)) for n in (4, 8)]
    network = plain(0)
    for passes in (Forward(), Forward(recompute=True), Forward(accumulate_steps=2)):
        for logits, part in zip(passes(network, *images), images, strict=True):
            np.testing.assert_allclose(logits, network(part), atol=1e-12)


@pytest.mark.parametrize("feedback", ["exact", "supervised"])
def test_groups_of_steps_equal_single_ones(data, convolutional, feedback):
    single, _ = trained(data, convolutional, feedback, {})
    groups, model = trained(data, convolutional, feedback, {"steps_per_execution": 3})
    assert int(model.step) == 6
    for a, b in zip(groups, single, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_evaluation_may_end_inside_a_group(data, rng):
    _, model = trained(data, plain, "supervised", {"steps_per_execution": 3})
    images, labels = rng.normal(size=(10, 6, 6, 1)), rng.integers(K, size=10)
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(2)  # five of them
    results = model.evaluate(batches, verbose=0, return_dict=True)
    expected = np.mean(np.argmax(model.student.predict(images, verbose=0), -1) == labels)
    assert results["student_accuracy"] == pytest.approx(expected)


def test_rows_of_weight_0_do_not_count_in_an_evaluation(data, rng):
    _, model = trained(data, plain, "supervised", {})
    images, labels = rng.normal(size=(6, 6, 6, 1)), rng.integers(K, size=6)
    weight = np.array([1, 1, 1, 1, 0, 0], np.float32)
    whole = tf.data.Dataset.from_tensors((images[:4], labels[:4]))
    filled = tf.data.Dataset.from_tensors((images, labels, weight))
    results = [model.evaluate(d, verbose=0, return_dict=True) for d in (whole, filled)]
    assert results[1] == pytest.approx(results[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accumulate_steps": 3}, "labeled images must divide into 3 equal parts"),
        ({"steps_per_execution": 4}, "steps_per_epoch must be .* a multiple of .*=4; received 6"),
        (
            {"accumulate_steps": 0},
            "accumulate_steps must be a whole number of at least 1; received 0",
        ),
    ],
)
def test_what_does_not_divide_is_refused(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        trained(data.map(lambda d: d), plain, "none", arguments)
