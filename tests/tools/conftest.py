"""Loads the scripts of tools/, which are no package."""

import importlib

import pytest


@pytest.fixture(scope="session")
def load_tool():
    """load_tool(name): a script of tools/ as a module; setup.cfg puts the folder on the path."""
    return importlib.import_module


@pytest.fixture
def readers():
    from preparing import raw_readers

    return raw_readers
