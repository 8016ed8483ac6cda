"""Networks that are evaluated, finetuned and exported at another size than they are trained at."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.options import ConfigError

SIDE, LARGER, K, RATE = 4, 6, 3, 0.5


def network(seed=0, dtype="float64"):
    """Two convolutions of one pixel, each with a norm, the mean over places, logits."""
    draws = np.random.default_rng(seed)
    x = inputs = keras.Input([SIDE, SIDE, 2], dtype=dtype)
    for _ in range(2):
        x = keras.layers.Conv2D(2, 1, use_bias=False, dtype=dtype)(x)
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, dtype=dtype)(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(keras.layers.ReLU(dtype=dtype)(x))
    made = keras.Model(inputs, keras.layers.Dense(K, dtype=dtype)(x))
    made.set_weights([draws.uniform(0.5, 1.5, w.shape) for w in made.get_weights()])
    return made


def batch(rng, side, count=5):
    images = {name: rng.normal(size=(count, side, side, 2)) for name in ("labeled", "weak")}
    return images | {"label": rng.integers(K, size=count), "strong": images["weak"] + 1}


def trained(endless, data, method_class=mpl_tf.Supervised, steps=2, **arguments):
    method = method_class(*(network(i) for i in range(len(method_class.optimizers))))
    optimizers = {name: keras.optimizers.SGD(0.1) for name in method.optimizers}
    method.compile(**optimizers, **{"run_eagerly": True, **arguments})
    for phase in method.pretraining_phases().values():
        phase.fit(endless(data), steps_per_epoch=1, verbose=0)
    method.fit(endless(data), steps_per_epoch=steps, verbose=0)
    return method


def test_a_step_of_finetuning_by_hand(rng, endless):
    """The last norm and the classifier move; the first norm is as in use, the last has the batch's
    statistics, and its moving ones are those of the batch, whatever they were before."""
    method = trained(endless, batch(rng, SIDE), eval_image_size=LARGER)
    data = batch(rng, LARGER)
    before = method.ema.get_weights()
    tuning = {"optimizer": keras.optimizers.SGD(RATE), "part": "classifier", "verbose": 0}
    method.finetune(endless(data), steps=1, **tuning)
    after = method.finetuned.get_weights()

    one, gamma_1, beta_1, mean_1, variance_1, two, gamma, beta, _, _, kernel, bias = before
    x = data["labeled"] @ one[0, 0]
    x = gamma_1 * (x - mean_1) / np.sqrt(variance_1 + 1e-3) + beta_1
    x = x @ two[0, 0]
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    normal = (x - mean) / np.sqrt(variance + 1e-3)
    active = gamma * normal + beta > 0
    features = np.where(active, gamma * normal + beta, 0).mean((1, 2))
    logits = features @ kernel + bias
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = (probs - np.eye(K)[data["label"]]) / len(logits)
    of_maps = active * (error @ kernel.T)[:, None, None] / LARGER**2
    expected = [
        *before[:6],
        gamma - RATE * (of_maps * normal).sum((0, 1, 2)),
        beta - RATE * of_maps.sum((0, 1, 2)),
        mean,
        variance,
        kernel - RATE * features.T @ error,
        bias - RATE * error.sum(0),
    ]
    for value, by_hand in zip(after, expected, strict=True):
        np.testing.assert_allclose(value, by_hand, rtol=0, atol=1e-10)


def test_the_same_size_and_all_parts_are_plain_finetuning(rng, endless):
    data, weights = batch(rng, SIDE), []
    for arguments, part in (({}, {}), ({"eval_image_size": SIDE}, {"part": "all"})):
        method = trained(endless, data, **arguments)
        method.finetune(endless(data), steps=2, optimizer="sgd", verbose=0, **part)
        weights.append(method.finetuned.get_weights())
    for value, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.fixture(scope="module")
def mpl(rng_of_module, endless_of_module):
    """Meta Pseudo Labels that were trained on images of one size, to be used on larger ones."""
    data = batch(rng_of_module, SIDE)
    return trained(
        endless_of_module, data, mpl_tf.MetaPseudoLabels, run_eagerly=False, eval_image_size=LARGER
    )


@pytest.fixture(scope="module")
def rng_of_module():
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def endless_of_module():
    return lambda data: tf.data.Dataset.from_tensors(data).repeat()


def test_all_networks_are_evaluated_at_that_size(mpl, rng):
    images, labels = rng.normal(size=(9, LARGER, LARGER, 2)), rng.integers(K, size=9)
    measured = mpl.evaluate(images, labels, verbose=0, return_dict=True)
    for role, of_training in mpl.networks.items():
        at_size = keras.models.clone_model(of_training, keras.Input([LARGER, LARGER, 2]))
        at_size.set_weights(of_training.get_weights())
        logits = np.asarray(at_size(images), np.float64)
        right = np.mean(logits.argmax(1) == labels)
        assert measured[f"{role}_accuracy"] == pytest.approx(right)
        loss = (np.log(np.exp(logits).sum(1)) - logits[np.arange(9), labels]).mean()
        assert measured[f"{role}_cross_entropy"] == pytest.approx(loss, rel=1e-5)
    assert set(measured) >= {"teacher_accuracy", "student_accuracy", "ema_accuracy"}
    probs = mpl.predict(images, verbose=0)
    np.testing.assert_allclose(probs, tf.nn.softmax(mpl.network("ema")(images)), rtol=1e-5)


def test_an_export_takes_images_of_that_size(mpl, tmp_path):
    path = mpl.export(tmp_path / "model")
    served = tf.saved_model.load(path).signatures["serving_default"]
    images = np.random.default_rng(0).integers(0, 256, (3, LARGER, LARGER, 2)).astype(np.uint8)
    given = served(images=tf.constant(images))["probabilities"]
    assert given.shape == (3, K)
    expected = mpl.predict(images.astype(float), verbose=0)
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_images_of_the_other_size_are_refused_with_both(mpl, rng, endless):
    small, large = batch(rng, SIDE), batch(rng, LARGER)
    sizes = rf"takes images \[N, {LARGER}, {LARGER}, 2\], as \w+ does; received shape \(5, {SIDE}, "
    with pytest.raises(ValueError, match=f"predict {sizes}"):
        mpl.predict(small["labeled"])
    with pytest.raises(ValueError, match=f"evaluate {sizes}"):
        mpl.evaluate(small["labeled"], small["label"])
    with pytest.raises(ValueError, match=r"finetuned takes images of shape \(6, 6, 2\); received"):
        mpl.finetune(endless(small), steps=1, verbose=0)
    mpl.drop_finetuned()
    with pytest.raises(ValueError, match=r"takes images of shape \(4, 4, 2\); received"):
        mpl.fit(endless(large), steps_per_epoch=1, verbose=0)


def test_phases_before_the_students_evaluate_at_that_size(rng, endless):
    large = batch(rng, LARGER)
    method = trained(endless, batch(rng, SIDE), mpl_tf.PseudoLabel, 1, eval_image_size=LARGER)
    (phase,) = method.pretraining_phases().values()
    measured = phase.evaluate(large["labeled"], large["label"], verbose=0, return_dict=True)
    at_size = method.network("teacher")(large["labeled"])
    right = np.mean(np.argmax(at_size, 1) == large["label"])
    assert measured["teacher_accuracy"] == pytest.approx(right)


def test_stages_compute_it_too(rng, endless):
    data, large = batch(rng, SIDE), batch(rng, LARGER)
    one, two = (
        trained(endless, data, steps=1, eval_image_size=LARGER, stages=stages) for stages in (1, 2)
    )
    assert two.forward.pipeline.holds(two.network())  # each stage on its device
    probs = [each.predict(large["labeled"], verbose=0) for each in (one, two)]
    np.testing.assert_allclose(*probs, atol=1e-12)
    two.finetune(endless(large), steps=1, optimizer="sgd", part="classifier", verbose=0)
    one.finetune(endless(large), steps=1, optimizer="sgd", part="classifier", verbose=0)
    weights = [each.finetuned.get_weights() for each in (one, two)]
    for value, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-12)


@pytest.mark.parametrize("side", [0, 2.5, (6, 6)])
def test_a_side_is_a_whole_number(side):
    with pytest.raises(ValueError, match="eval_image_size must be a whole number of pixels, or N"):
        mpl_tf.Supervised(network()).compile("sgd", eval_image_size=side)


def test_a_network_for_one_size_is_refused_by_compile(linear):
    build = mpl_tf.NETWORKS["mlp"]
    teacher, student = (build(K, (4, 4, 1), seed=seed) for seed in (1, 2))
    method = mpl_tf.MetaPseudoLabels(teacher, student)
    with pytest.raises(ConfigError, match=r"^eval_image_size=6: teacher \(mlp\) is made for"):
        method.compile(student_optimizer="sgd", teacher_optimizer="sgd", eval_image_size=6)
    with pytest.raises(ConfigError, match=r"student .* takes no images"):
        mpl_tf.Supervised(linear(4, 3)).compile("sgd", eval_image_size=6)


def test_there_are_two_parts_to_finetune(rng, endless):
    method = trained(endless, batch(rng, SIDE), steps=1)
    with pytest.raises(ValueError, match="part must be all or classifier; received 'head'"):
        method.finetune(endless(batch(rng, SIDE)), steps=1, part="head")


def test_a_file_of_weights_has_the_network_that_was_finetuned_at_that_size(rng, endless, tmp_path):
    path, large = str(tmp_path / "all.weights.h5"), batch(rng, LARGER)
    method = trained(endless, batch(rng, SIDE), steps=1, eval_image_size=LARGER)
    method.finetune(endless(large), steps=1, part="classifier", optimizer="sgd", verbose=0)
    method.save_weights(path)
    fresh = mpl_tf.Supervised(network(7))
    fresh.compile("sgd", eval_image_size=LARGER, run_eagerly=True)
    fresh.load_weights(path)
    probs = [each.predict(large["labeled"], verbose=0) for each in (fresh, method)]
    np.testing.assert_array_equal(*probs)
    assert fresh.delivered == "finetuned"
