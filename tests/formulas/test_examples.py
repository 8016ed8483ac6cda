"""The examples in the docstrings of the formulas are right."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from mpl_tf import formulas

MODULES = [module.name for module in pkgutil.iter_modules(formulas.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"mpl_tf.formulas.{name}")
    failed, tried = doctest.testmod(module)
    assert tried and not failed


@pytest.mark.parametrize("name", MODULES)
def test_each_public_function_has_an_example(name):
    module = importlib.import_module(f"mpl_tf.formulas.{name}")
    functions = inspect.getmembers(module, inspect.isfunction)
    public = [f for n, f in functions if n[0] != "_" and f.__module__ == module.__name__]
    assert [f.__name__ for f in public if ">>>" not in f.__doc__] == []
