"""tools/benchmark.py: three ways to one credit."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark(load_tool):
    return load_tool("benchmark")


def test_the_ways_to_the_credit_agree_in_float64(benchmark):
    network, *arguments = benchmark.problem("float64", labeled=6, unlabeled=10)
    nested, double, finite = (f(network, *arguments, 0.1) for f in benchmark.TECHNIQUES[2:])
    assert nested.shape == (10, 10)
    np.testing.assert_allclose(double, nested, rtol=1e-9, atol=1e-12)
    assert np.linalg.norm(finite - nested) < 0.1 * np.linalg.norm(nested)


def test_it_prints_a_row_for_each(benchmark, capsys):
    benchmark.main(["credit", "--labeled=4", "--unlabeled=6", "--rounds=2"])
    shown = capsys.readouterr().out
    for technique in benchmark.TECHNIQUES:
        assert technique.__name__ in shown
