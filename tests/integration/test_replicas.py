"""Several replicas compute what one does: in one process, in two, with and without XLA.

Each strategy has processes of its own, because a process can have one MirroredStrategy; all jobs of
a strategy run there one after the other.
"""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json
import sys
import keras
import numpy as np
import tensorflow as tf
import mpl_tf
from mpl_tf.engine import devices

arguments, jobs, path = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
strategy = devices.make_strategy(**arguments)
assert strategy.num_replicas_in_sync == (1 if arguments["name"] == "cpu" else 2)

def network(seed, normalised):
    layers = keras.layers
    initial = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    x = inputs = keras.Input([6, 6, 1])
    x = layers.Conv2D(4, 3, kernel_initializer=initial[0])(x)
    if normalised:
        x = layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    x = layers.Flatten()(layers.LeakyReLU()(x))
    return keras.Model(inputs, layers.Dense(3, kernel_initializer=initial[1])(x))

rng = np.random.default_rng(0)
sizes = {"labeled": 4, "weak": 8, "strong": 8}
batches = {k: rng.normal(size=(8, n, 6, 6, 1)).astype("float32") for k, n in sizes.items()}
batches["label"] = rng.integers(3, size=(8, 4))
for name in ("weak_2", "strong_2"):
    batches[name] = rng.normal(size=(8, 8, 6, 6, 1)).astype("float32")
batches["index"] = np.stack([rng.permutation(12)[:8] for _ in range(8)])

def data(shard):
    index, count = shard
    rows = {k: np.split(v, count, axis=1)[index] for k, v in batches.items()}
    return tf.data.Dataset.from_tensor_slices(rows).repeat()

weights = {}
for name, job in jobs.items():
    kind = mpl_tf.METHODS[job["method"]]
    count = len(kind.optimizers)
    with strategy.scope():
        made = [network(seed, job["normalised"]) for seed in (1, 5)[:count]]
        sgd = [keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True) for _ in made]
    model = kind(*made, strategy=strategy, **job["hyperparameters"])
    named = dict(zip(kind.optimizers, sgd))
    if job["method"] in ("pseudo_label", "noisy_student"):
        named["teacher_optimizer"] = None  # it labels as it is
    model.compile(**named, weight_decay=1e-3, clip_norm=1.0, **job["compile"])
    model.fit(devices.distribute(strategy, data), steps_per_epoch=8, verbose=0)
    for i, weight in enumerate(model.get_weights()):  # with all that the method keeps
        weights[f"{name}/{i}"] = weight
if devices.is_chief(strategy):
    np.savez(path, **weights)
"""


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
# Methods that keep something about images or classes, or mix images of all replicas.
PEERS = {
    "mean_teacher": {"ramp_steps": 2},
    "temporal_ensembling": {"ramp_steps": 2, "num_unlabeled": 12},
    "vat": {"perturbation": 0.01, "probe": 0.001},
    "ict": {"ramp_steps": 2},
    "mixmatch": {"ramp_steps": 2},
    "remixmatch": {"ramp_steps": 2, "strong_views": 2},
    # Thresholds that some images pass and others do not.
    "uda": {"threshold": 0.4, "signal_annealing": "linear", "signal_annealing_steps": 20},
    "fixmatch": {"threshold": 0.4},
    "flexmatch": {"threshold": 0.4, "num_unlabeled": 12},
    "freematch": {"threshold_decay": 0.5, "fairness_weight": 0.5},
    "noisy_student": {"rounds": 1, "pseudo_label_threshold": 0.4, "balance_limit": 1.5},
}
JOBS |= {f"{name}-bn": job(name, True, peer) for name, peer in PEERS.items()}
BETWEEN_PROCESSES = ("exact-bn", "sampled-plain", "supervised-bn", "exact-plain-xla", "mixmatch-bn")


def run(folder, names, processes):
    """The weights of some jobs; `processes` has the arguments of a strategy for each."""
    path, jobs = str(folder / "weights.npz"), {name: JOBS[name] for name in names}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(strategy), json.dumps(jobs), path],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        for strategy in processes
    ]
    said = [process.communicate(timeout=500)[1] for process in started]
    for process, text in zip(started, said, strict=True):
        assert process.returncode == 0, text[-2000:]
    return dict(np.load(path))


@pytest.fixture(scope="module")
def of_one(tmp_path_factory):
    # One replica does everything in the plainest way.
    plain = {name: {**job, "compile": {}} for name, job in JOBS.items()}
    different = {name: next(n for n, j in plain.items() if j == job) for name, job in plain.items()}
    weights = run(tmp_path_factory.mktemp("one"), set(different.values()), [{"name": "cpu"}])
    return {name: _of(weights, source) for name, source in different.items()}


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    mirrored = {"name": "mirrored", "replicas": 2}
    weights = run(tmp_path_factory.mktemp("two"), JOBS, [mirrored])
    return {name: _of(weights, name) for name in JOBS}


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory, free_ports):
    workers = ",".join(f"localhost:{port}" for port in free_ports(2))
    arguments = [
        {"name": "multi_worker", "workers": workers, "worker_index": index} for index in range(2)
    ]
    weights = run(tmp_path_factory.mktemp("processes"), BETWEEN_PROCESSES, arguments)
    return {name: _of(weights, name) for name in BETWEEN_PROCESSES}


def _of(weights, name):
    return [weights[key] for key in weights if key.rpartition("/")[0] == name]


def check_equal(name, found, wanted):
    tolerance = 1e-5 if JOBS[name]["normalised"] else 2e-6
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", JOBS)
def test_eight_steps_on_two_replicas_equal_one(name, of_one, of_two):
    """With momentum, L2, clipping, and synchronised batch normalisation."""
    check_equal(name, of_two[name], of_one[name])


@pytest.mark.parametrize("name", BETWEEN_PROCESSES)
def test_eight_steps_of_two_processes_equal_one(name, of_one, of_two_processes):
    check_equal(name, of_two_processes[name], of_one[name])
