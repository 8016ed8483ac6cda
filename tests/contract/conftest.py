"""What a method's own test file says of it to the tests of all methods."""

import dataclasses
import importlib.util
import pathlib

import pytest

from mpl_tf.methods import METHODS

TESTS = pathlib.Path(__file__).parents[1] / "methods"
# What a dict CONTRACT in tests/methods/test_<module>.py may have, and what it is without.
DEFAULTS = {
    "digits": {},  # settings of its 200 steps on digits
    "moons": {},  # hyperparameters for two moons
    "replicas": {},  # hyperparameters for a few steps on two replicas
    "no_better_on": (),  # of "digits" and "moons", where it need not beat the labels alone
}


@pytest.fixture(scope="session")
def contract():
    """contract(name): the CONTRACT of a method, with defaults."""

    def read(name):
        path = TESTS / f"test_{METHODS[name].__module__.rpartition('.')[2]}.py"
        spec = importlib.util.spec_from_file_location(f"contract_of_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        exceptions = getattr(module, "CONTRACT", {})
        assert exceptions.keys() <= DEFAULTS.keys(), path
        return DEFAULTS | exceptions

    return read


@pytest.fixture(scope="session")
def hyperparameters(contract):
    """hyperparameters(name, key, ramp_steps, pool): those of a method, with CONTRACT[key].

    Ramps, whose defaults are for more steps, take `ramp_steps`; the pool has `pool` images.
    """

    def read(name, key, ramp_steps, pool):
        method = METHODS[name]
        ramps = [f.name for f in dataclasses.fields(method.Config) if f.metadata["share_of_steps"]]
        short = dict.fromkeys(ramps, ramp_steps)
        if method.needs_num_unlabeled():
            short["num_unlabeled"] = pool
        return short | contract(name)[key]

    return read
