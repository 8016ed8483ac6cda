"""The example in every method's docstring runs as written."""

import inspect
import re
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.methods import METHODS


def example(method_class):
    """The code of a docstring's example."""
    text = re.search(r"Example:\n(.*)\Z", inspect.getdoc(method_class), re.DOTALL)
    return textwrap.dedent(text[1])


@pytest.fixture(autouse=True)
def eagerly():
    """Two steps take less time than tracing one."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly")
@pytest.mark.parametrize("name", METHODS)
def test_an_example_runs(name, tmp_path, monkeypatch, rng):
    code = example(METHODS[name])
    assert len(code.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)  # one of them exports
    labels = np.full(80, -1)
    labels[:16] = np.arange(16) % 4
    images = rng.integers(0, 256, (80, 8, 8, 3)).astype(np.uint8)
    namespace = {"mpl_tf": mpl_tf, "keras": keras, "images": images, "labels": labels}
    exec(re.sub(r"(steps\w*)=\d+0\b", r"\1=2", code), namespace)  # fewer steps, all else as written
    assert namespace["model"].predict(images, verbose=0).shape == (80, 4)
