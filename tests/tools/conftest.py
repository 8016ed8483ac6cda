"""Loads the scripts of tools/, which are no package."""

import importlib.util
import pathlib

import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="session")
def load_tool():
    """load_tool(name): the script tools/<name>.py as a module."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
