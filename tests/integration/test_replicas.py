"""Several replicas compute what one does: in one process, in two, with and without XLA.

What all methods compute on two replicas is in tests/contract/test_methods_on_replicas.py; here are
the estimators of the feedback, and further ways to run a step.
"""

import itertools

import numpy as np
import pytest


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
BETWEEN_PROCESSES = ("exact-bn", "sampled-plain", "supervised-bn", "exact-plain-xla", "mixmatch-bn")


@pytest.fixture(scope="module")
def of_one(on_replicas):
    """One replica does everything in the plainest way."""
    plain = {name: {**job, "compile": {}} for name, job in JOBS.items()}
    first = {name: next(n for n, j in plain.items() if j == job) for name, job in plain.items()}
    jobs = {name: plain[name] for name in dict.fromkeys(first.values())}
    arrays = on_replicas(jobs, {"name": "cpu"})
    return {name: arrays[same] for name, same in first.items()}


@pytest.fixture(scope="module")
def of_two(on_replicas):
    return on_replicas(JOBS, {"name": "mirrored", "replicas": 2})


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


@pytest.mark.parametrize("name", BETWEEN_PROCESSES)
def test_eight_steps_of_two_processes_equal_one(name, of_one, of_two_processes):
    check_equal(name, of_two_processes[name], of_one[name])
