"""Every method computes the same on two replicas as on one, with what it trains before."""

import concurrent.futures
import functools

import numpy as np
import pytest

from mpl_tf.methods import METHODS

ONE, TWO = {"name": "cpu"}, {"name": "mirrored", "replicas": 2}


@pytest.fixture(scope="module")
def arrays(on_replicas, hyperparameters):
    """(arrays by method of one replica, those of two).

    Graphs of eight steps are not worth optimizing; tests/integration/test_replicas.py has those of
    two replicas as users have them.
    """
    jobs = {
        name: {
            "method": name,
            "normalised": True,
            "hyperparameters": hyperparameters(name, "replicas", ramp_steps=2, pool=12),
            "compile": {},
        }
        for name in METHODS
    }
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        run = functools.partial(on_replicas, jobs, optimized_graphs=False)
        return list(pool.map(run, (ONE, TWO)))


def check_equal(one, two, part):
    names = [name for name in one if name.startswith(part)]
    assert names and two.keys() == one.keys()
    for name in names:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", METHODS)
def test_two_replicas_train_what_one_does(name, arrays):
    check_equal(*(of_all[name] for of_all in arrays), "weights/")


@pytest.mark.parametrize("name", METHODS)
def test_two_replicas_log_what_one_does(name, arrays):
    check_equal(*(of_all[name] for of_all in arrays), "logs/")
