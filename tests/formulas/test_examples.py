"""The examples in the docstrings of the formulas are right."""

import doctest
import importlib
import pkgutil

import pytest

from mpl_tf import formulas

MODULES = [module.name for module in pkgutil.iter_modules(formulas.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"mpl_tf.formulas.{name}")
    failed, tried = doctest.testmod(module)
    assert tried and not failed
