"""Loads the scripts of tools/, which are no package."""

import importlib.util
import pathlib
import sys

import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="session")
def load_tool():
    """load_tool(name): the script tools/<name>.py as a module."""

    def load(name):
        if str(TOOLS) not in sys.path:
            sys.path.insert(0, str(TOOLS))  # as it is for a script
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
