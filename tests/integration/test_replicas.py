"""Several replicas compute what one does: in one process, in two, with and without XLA.

What all methods compute on two replicas is in tests/contract/test_methods_on_replicas.py; here are
the estimators of the feedback, and further ways to run a step.
"""

import itertools
import pathlib
import runpy

import keras
import numpy as np
import pytest
import tensorflow as tf


def job(method, normalised, hyperparameters, **compile_arguments):
    return {
        "method": method,
        "normalised": normalised,
        "hyperparameters": hyperparameters,
        "compile": compile_arguments,
    }


def mpl(form, normalised, **compile_arguments):
    hyperparameters = {"feedback": form, "feedback_weight": 5.0, "seed": 3}
    hyperparameters |= {"uda_ramp_steps": 2, "uda_threshold": 0.3}
    return job("mpl", normalised, hyperparameters, **compile_arguments)


FORMS = ("exact", "dot", "sampled", "none")
JOBS = {
    f"{form}-{'bn' if normalised else 'plain'}": mpl(form, normalised)
    for form, normalised in itertools.product(FORMS, (False, True))
}
JOBS["supervised-plain"] = job("supervised", False, {})
JOBS["supervised-bn"] = job("supervised", True, {})
# In one go with what else changes how a step is run; with XLA where it works.
JOBS["exact-plain-xla"] = mpl("exact", False, jit_compile=True)
JOBS["supervised-plain-xla"] = job("supervised", False, {}, jit_compile=True)
JOBS["exact-plain-four"] = mpl("exact", False, steps_per_execution=4)
JOBS["exact-plain-parts"] = mpl("exact", False, accumulate_steps=2)
JOBS["exact-bn-twice"] = mpl("exact", True, recompute=True)
JOBS["mixmatch-bn"] = job("mixmatch", True, {"ramp_steps": 2})  # it mixes images of all replicas
JOBS["exact-bn-sam"] = mpl("exact", True, sam_rho=0.5)
JOBS["lars-bn"] = job("supervised", True, {}) | {"optimizer": "lars"}
BETWEEN_PROCESSES = ("exact-bn", "sampled-plain", "supervised-bn", "exact-plain-xla", "mixmatch-bn")
# Each replica perturbs the weights by its own gradient, which one replica cannot do.
SHARPNESS = {"sam_rho": 0.5, "sam_perturbation": "replica"}
OF_EACH = {"each-sam": job("supervised", False, {"label_smoothing": 0.0}, **SHARPNESS)}


@pytest.fixture(scope="module")
def of_one(on_replicas):
    """One replica does everything in the plainest way."""
    plain = {}
    for name, each in JOBS.items():  # SAM is no way to run a step, but another step
        sam = {k: v for k, v in each["compile"].items() if k == "sam_rho"}
        plain[name] = {**each, "compile": sam}
    first = {name: next(n for n, j in plain.items() if j == job) for name, job in plain.items()}
    jobs = {name: plain[name] for name in dict.fromkeys(first.values())}
    arrays = on_replicas(jobs, {"name": "cpu"})
    return {name: arrays[same] for name, same in first.items()}


@pytest.fixture(scope="module")
def of_two(on_replicas):
    return on_replicas({**JOBS, **OF_EACH}, {"name": "mirrored", "replicas": 2})


@pytest.fixture(scope="module")
def of_two_processes(on_replicas, free_ports):
    workers = {"workers": ",".join(f"localhost:{port}" for port in free_ports(2))}
    strategies = [{"name": "multi_worker", **workers, "worker_index": index} for index in range(2)]
    return on_replicas({name: JOBS[name] for name in BETWEEN_PROCESSES}, *strategies)


def check_equal(name, actual, expected):
    tolerance = 1e-5 if JOBS[name]["normalised"] else 2e-6
    weights = [key for key in expected if key.startswith("weights/")]
    assert weights and actual.keys() == expected.keys()
    for key in weights:
        np.testing.assert_allclose(actual[key], expected[key], rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.parametrize("name", JOBS)
def test_eight_steps_on_two_replicas_equal_one(name, of_one, of_two):
    """With momentum, L2, clipping, and synchronised batch normalisation."""
    check_equal(name, of_two[name], of_one[name])


def test_replicas_perturb_by_gradients_of_their_own(of_two):
    """Against the same on one device: two halves of a batch, each with a perturbation."""
    program = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "on_replicas.py"))
    network, batches = program["network"](1, False), program["make_batches"]()
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    variables = network.trainable_variables

    def gradient(images, label, change):
        for v, e in zip(variables, change, strict=True):
            v.assign_add(e)
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            cross_entropy = keras.losses.sparse_categorical_crossentropy
            loss = tf.reduce_mean(cross_entropy(label, logits, from_logits=True))
        at = [g + 1e-3 * v for g, v in zip(tape.gradient(loss, variables), variables, strict=True)]
        for v, e in zip(variables, change, strict=True):
            v.assign_sub(e)
        return at

    for images, label in zip(batches["labeled"], batches["label"], strict=True):
        halves = []
        for rows in (slice(0, 2), slice(2, 4)):
            first = gradient(images[rows], label[rows], [0.0] * len(variables))
            length = tf.linalg.global_norm(first)
            change = [0.5 * g / length for g in first]
            halves.append(gradient(images[rows], label[rows], change))
        mean = [(a + b) / 2 for a, b in zip(*halves, strict=True)]
        optimizer.apply(tf.clip_by_global_norm(mean, 1.0)[0], variables)

    arrays = of_two["each-sam"]
    student = list(enumerate(network.get_weights(), 2))  # after the method's step and seed
    for place, expected in student:
        np.testing.assert_allclose(arrays[f"weights/{place}"], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", BETWEEN_PROCESSES)
def test_eight_steps_of_two_processes_equal_one(name, of_one, of_two_processes):
    check_equal(name, of_two_processes[name], of_one[name])
