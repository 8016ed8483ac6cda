"""Every method computes the same on two replicas as on one."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mpl_tf.methods import METHODS

PROGRAM = """
import sys
import numpy as np
from mpl_tf import config, data
from mpl_tf.engine import devices
from mpl_tf.runs.experiment import build, make_split
from mpl_tf.methods import METHODS

replicas, path = int(sys.argv[1]), sys.argv[2]
strategy = devices.make_strategy(*("mirrored", 2) if replicas == 2 else ("cpu",))
settings = {
    "dataset": "digits", "network": "mlp", "dropout": 0.0, "steps": 20, "labeled_batch": 8,
    "unlabeled_ratio": 2, "student_wait_steps": 0, "finetune_batch": 8, "clip_norm": 1.0,
}
source = data.find("digits", "").load(config.make({}).data)
weights = {}
for name in METHODS:
    own = {k: v for k, v in settings.items() if config.applies(k, name)}
    made = config.make({**own, "method": name})
    experiment = build(made, make_split(made, source), "", strategy)
    for phase, engine in experiment.method.pretraining_phases().items():
        batches = experiment.batches(phase, 0, engine.unlabeled_views)
        engine.fit(batches, steps_per_epoch=2, verbose=0)
    experiment.method.fit(experiment.batches("train", 0), steps_per_epoch=3, verbose=0)
    for role, network in experiment.method.networks.items():
        for i, weight in enumerate(network.get_weights()):
            weights[f"{name}/{role}/{i}"] = weight
np.savez(path, **weights)
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("replicas") / f"{count}.npz" for count in (1, 2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(count), str(path)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        for count, path in enumerate(paths, 1)
    ]
    said = [process.communicate(timeout=900)[1] for process in processes]
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text[-2000:]
    return [dict(np.load(path)) for path in paths]


@pytest.mark.parametrize("name", METHODS)
def test_two_replicas_equal_one(name, weights):
    one, two = ({k: v for k, v in w.items() if k.split("/")[0] == name} for w in weights)
    assert one.keys() == two.keys() != set()
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, rtol=0, atol=5e-6, err_msg=key)
