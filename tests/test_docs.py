"""docs/adding_a_method.md: its method works as written."""

import pathlib
import re
import sys
import types

import numpy as np
import pytest

from mpl_tf import config, data
from mpl_tf.methods import METHODS
from mpl_tf.runs.experiment import build, make_split

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "adding_a_method.md"


@pytest.fixture
def example(monkeypatch):
    """The page's Python, executed as the module that it says it is."""
    module = types.ModuleType("mpl_tf.methods.entropy")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(METHODS, "entropy", raising=False)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module.METHODS = METHODS
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), module.__dict__)
    yield module
    METHODS.pop("entropy", None)


def test_the_method_of_the_page_trains(example):
    settings = {"dataset": "digits", "method": "entropy", "network": "mlp", "steps": 20}
    made = config.make({**settings, "labeled_batch": 10, "unlabeled_ratio": 2})
    assert made.flat()["entropy_weight"] == 0.1
    source = data.find("digits", "").load(made.data)
    experiment = build(made, make_split(made, source), "")
    assert isinstance(experiment.method, example.Entropy)
    history = experiment.method.fit(
        experiment.batches("train", 0), steps_per_epoch=10, epochs=2, verbose=0
    ).history
    assert np.isfinite(list(history.values())).all()
    assert history["student_loss"][1] < history["student_loss"][0]


def test_its_entropy_is_that_of_the_predictions(example):
    logits = np.log(np.array([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]], np.float32))
    found = example.losses.cross_entropy(example.tf.nn.softmax(logits), logits)
    np.testing.assert_allclose(found, [1.5 * np.log(2), np.log(3)], rtol=1e-6)
