"""What the end of a run computes of its networks."""

import logging
import types

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.options import ConfigError
from mpl_tf.runs import results
from mpl_tf.runs.callbacks import NonFiniteError


def test_the_digest_sees_every_bit():
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=1)
    same = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=1)
    digest = results.weights_digest({"a": network})
    assert digest == results.weights_digest({"a": same})
    assert digest != results.weights_digest({"b": network})
    weights = same.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], 1, dtype=np.float32)
    same.set_weights(weights)
    assert digest != results.weights_digest({"a": same})


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"dataset": "x", "kind": 1}, "must not name dataset:"),
        ({"versions": {}}, "must not name versions:"),
        ({"shares": np.float32(1.5)}, r"received shares=.*1.5.* \(float32\)"),
    ],
)
def test_facts_that_the_results_cannot_hold_are_refused(facts, message):
    method = mpl_tf.Supervised(mpl_tf.NETWORKS["mlp"](3, (4, 4, 1)))
    method.facts = lambda: facts
    with pytest.raises(ConfigError, match=message):
        results.check_facts(method)


def test_facts_of_the_methods_are_fit_for_results():
    networks = [mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=seed) for seed in (1, 2)]
    results.check_facts(mpl_tf.MetaPseudoLabels(*networks))


def test_the_summary_names_the_files_that_are_there(tmp_path, messages):
    for name in ("results.json", "metrics.csv"):
        (tmp_path / name).touch()
    results.summarize({"seconds": 1.0, "test_accuracy": {"ema": 0.5}}, str(tmp_path))
    listed = messages(logging.INFO).partition(f"In {tmp_path}:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == ["metrics.csv", "results.json"]


def test_a_network_that_is_no_numbers_at_the_end_has_failed_while_training():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="last")])
    network.layers[0].bias.assign([0.0, np.nan])
    method = types.SimpleNamespace(network=lambda: network)
    experiment = types.SimpleNamespace(method=method, whole=lambda network: network)
    with pytest.raises(NonFiniteError, match=r"weight \S*last/bias holds NaN or infinite values"):
        results.finish(experiment)
