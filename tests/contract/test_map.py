"""The README's map of the library is that of the tree."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCREEN = 40


@pytest.fixture(scope="module")
def tool():
    path = ROOT / "tools" / "library_map.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_has_the_map_of_the_tree(tool):
    assert tool.with_map(README) == README, "run python tools/library_map.py --write"


def test_the_map_names_every_module_and_fits_on_a_screen(tool):
    lines = tool.library_map().splitlines()
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= tool.WIDTH
    words = tool.library_map().split()
    for path in (ROOT / "mpl_tf").rglob("*.py"):
        if path.name != "__init__.py":
            assert path.stem in words or path.name in words, path


def test_a_readme_without_markers_is_refused(tool):
    with pytest.raises(ValueError, match="must have the lines"):
        tool.with_map("# mpl_tf\n")
