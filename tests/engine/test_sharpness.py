"""Sharpness-aware minimisation: steps by hand, what the second pass leaves, what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine.student import StudentMethod
from mpl_tf.options import ConfigError

RATE, DECAY, RHO = 0.25, 0.125, 0.5  # the rate is float32
MPL = {"feedback_weight": 3.0, "uda_ramp_steps": 0, "uda_threshold": 0.0}


def compiled(method, **arguments):
    optimizers = {name: keras.optimizers.SGD(RATE) for name in method.optimizers}
    method.compile(**optimizers, weight_decay=DECAY, run_eagerly=True, **arguments)
    return method


def fitted(method, batch, steps=1, **arguments):
    """(weights and memory of a method after steps on a batch, logs of the last one)."""
    compiled(method, **arguments)
    for trainer in method.pretraining_phases().values():
        trainer.fit(batch, steps_per_epoch=1, verbose=0)
    history = method.fit(batch, steps_per_epoch=steps, verbose=0, renew_statistics=False).history
    state = {str(i): np.array(v) for i, v in enumerate(method.variables)}
    return state, {name: values[-1] for name, values in history.items()}


def gradient(images, label, weights):
    """That of the mean cross entropy of a linear network, by hand: of (W [F, K], b [K])."""
    kernel, bias = weights
    logits = images @ kernel + bias
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = (probs - np.eye(len(bias))[label]) / len(images)
    return [images.T @ error, error.sum(0)]


def test_a_step_by_hand(rng, linear, endless):
    images, label = rng.normal(size=(6, 4)), rng.integers(3, size=6)
    network = linear(4, 3)
    before = network.get_weights()
    method = mpl_tf.Supervised(network, label_smoothing=0.0)
    fitted(method, endless({"labeled": images, "label": label}), sam_rho=RHO)

    first = [g + DECAY * w for g, w in zip(gradient(images, label, before), before, strict=True)]
    length = np.sqrt(sum((g**2).sum() for g in first))
    worse = [w + RHO * g / length for w, g in zip(before, first, strict=True)]
    second = gradient(images, label, worse)
    for w, there, g, after in zip(before, worse, second, network.get_weights(), strict=True):
        np.testing.assert_allclose(after, w - RATE * (g + DECAY * there), rtol=0, atol=1e-12)


def lesson_by_hand(images, taught, weights):
    """A linear student's gradient at w + e on distributions [U, K], e of its gradient at w."""

    def at(kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch([kernel, bias])
            logits = tf.matmul(images, kernel) + bias
            loss = -tf.reduce_mean(tf.reduce_sum(taught * tf.nn.log_softmax(logits), 1))
        return tape.gradient(loss, [kernel, bias])

    kernel, bias = map(tf.constant, weights)
    first = [g + DECAY * w for g, w in zip(at(kernel, bias), weights, strict=True)]
    length = tf.linalg.global_norm(first)
    change = [tf.stop_gradient(RHO * g / length) for g in first]
    moved = [w + e for w, e in zip((kernel, bias), change, strict=True)]
    return [g + DECAY * w for g, w in zip(at(*moved), moved, strict=True)]


@pytest.mark.parametrize("recompute", [False, True])
def test_exact_feedback_knows_the_gradient_of_the_perturbed_student(
    recompute, rng, linear, random_batch, endless
):
    """The fall of the labeled loss by a label, through the student's step, e held constant."""
    batch = random_batch((4,))
    networks = linear(4, 3), linear(4, 3)
    teacher, student = (network.get_weights() for network in networks)
    method = mpl_tf.MetaPseudoLabels(
        *networks, uda_weight=0.0, label_smoothing=0.0, feedback_weight=3.0
    )
    credits = []
    term = method.estimator.term
    method.estimator.term = lambda credit, *rest: credits.append(credit) or term(credit, *rest)
    compiled(method, sam_rho=RHO, recompute=recompute)
    method.fit(endless(batch), steps_per_epoch=1, verbose=0)

    strong = tf.constant(batch["strong"])
    taught = tf.nn.softmax(strong @ teacher[0] + teacher[1])
    with tf.GradientTape() as tape:
        tape.watch(taught)
        step = lesson_by_hand(strong, taught, student)
        after = [w - RATE * g for w, g in zip(student, step, strict=True)]
        logits = batch["labeled"] @ after[0] + after[1]
        right = np.eye(3)[batch["label"]]
        loss = -tf.reduce_mean(tf.reduce_sum(right * tf.nn.log_softmax(logits), 1))
    for w, expected in zip(networks[1].get_weights(), after, strict=True):
        np.testing.assert_allclose(w, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(credits[0], tape.gradient(loss, taught), rtol=0, atol=1e-12)
    assert len(credits) == 2  # the teacher's own second pass holds the credit constant
    assert credits[0] is credits[1]


METHODS = {
    "supervised": {"mix": "mixup"},
    "freematch": {},  # moves averages in its objective
    "temporal_ensembling": {"num_unlabeled": 6, "ramp_steps": 0},  # and remembers predictions
    "vat": {},  # has passes that keep the state
    "byol": {"hidden_width": 8, "projection": 4},  # trains networks around the student
    "pirl": {"num_unlabeled": 6, "negatives": 9, "projection": 4},  # and one on what they give
    "pcl": {"num_unlabeled": 6, "queue": 9, "projection": 4, "cluster_from": 0},
    "lga_vat": {"num_unlabeled": 6},  # moves labels before
    "mpl": MPL,
}


@pytest.mark.parametrize("name", METHODS)
def test_a_perturbation_near_nothing_is_plain_training(name, convolutional, random_batch, endless):
    """With batch normalisation and dropout: states, what a method remembers, and logs are alike."""
    batch = random_batch((6, 6, 1)) | {"index": np.arange(6)}
    batch["strong_2"] = batch["strong"][::-1]
    runs = []
    for arguments in ({}, {"sam_rho": 0.0}, {"sam_rho": 1e-9}):
        method_class = mpl_tf.METHODS[name]
        networks = [convolutional(seed) for seed in (1, 5)[: len(method_class.optimizers)]]
        method = method_class(*networks, seed=3, **METHODS[name])
        runs.append(fitted(method, endless(batch), 2, **arguments))
    (plain, logs), (off, logs_off), (near, logs_near) = runs
    assert logs_off == logs and logs_near == pytest.approx(logs, rel=1e-5)
    for key, expected in plain.items():
        np.testing.assert_array_equal(off[key], expected)
        np.testing.assert_allclose(near[key], expected, rtol=1e-6, atol=1e-6)


def test_the_teachers_first_phase_and_finetuning_have_it_too(convolutional, random_batch, endless):
    batch, seen = endless(random_batch((6, 6, 1))), []
    networks = convolutional(1), convolutional(5)
    method = compiled(mpl_tf.PseudoLabel(*networks), sam_rho=RHO)
    (first,) = method.pretraining_phases().values()
    for trainer in (first, method.finetuning_phase("sgd", **method.compile_arguments())):
        seen.append(trainer.sharpness)
        before = trainer.network.get_weights()
        trainer.fit(batch, steps_per_epoch=1, verbose=0)
        assert not np.array_equal(before[0], trainer.network.get_weights()[0])
    assert seen == [method.sharpness] * 2
    assert method.sharpness.rho == RHO


class Elsewhere(StudentMethod):
    """Calls its student by itself."""

    def objective(self, batch):
        logits = self.student(batch["labeled"], training=True)
        return self.supervised_loss(batch["label"], logits), None


def test_an_objective_that_calls_its_network_by_itself_is_refused(
    convolutional, random_batch, endless
):
    method = Elsewhere(convolutional(1))
    with pytest.raises(ConfigError, match=r"Elsewhere calls functional\w* by itself. Write"):
        fitted(method, endless(random_batch((6, 6, 1))), sam_rho=RHO)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sam_rho": -0.1}, "sam_rho must be a number of at least 0; received -0.1"),
        ({"sam_rho": "0.1"}, "sam_rho must be a number of at least 0; received '0.1'"),
        ({"sam_perturbation": "own"}, "sam_perturbation must be one of global, replica; received"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message, linear):
    with pytest.raises(ValueError, match=message):
        mpl_tf.Supervised(linear(4, 3)).compile("sgd", **arguments)
