"""The README's map of the library and the table of methods are those of the code."""

import importlib.util
import pathlib
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCREEN = 40


@pytest.fixture(scope="module")
def tool():
    path = ROOT / "tools" / "library_map.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_have_what_the_code_says(tool):
    for page, (subject, make) in tool.PAGES.items():
        text = page.read_text(encoding="utf-8")
        assert tool.renewed(text, subject, make()) == text, f"run {tool.COMMAND}"


@pytest.mark.parametrize(
    ("title", "cell"),
    [
        (
            "Entropy minimisation (Grandvalet, NeurIPS 2004).",
            "Grandvalet, NeurIPS 2004",
        ),
        (
            "UDA (Xie, arXiv 1904.12848, section 2). Start with `train_step()`.",
            "Xie, [1904.12848](https://arxiv.org/abs/1904.12848), section 2",
        ),
        ("The baseline.", ""),
    ],
)
def test_a_paper_is_read_from_the_title_of_the_module(tool, title, cell, monkeypatch):
    module = types.ModuleType("mpl_tf.methods.entropy", f"{title}\n\nMore (2005).")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert tool.paper(type("Entropy", (), {"__module__": module.__name__})) == cell


@pytest.mark.parametrize("with_modules", [False, True])
def test_the_map_names_every_room_and_the_short_one_fits_on_a_screen(tool, with_modules):
    lines = tool.library_map(with_modules).splitlines()
    assert with_modules or len(lines) <= SCREEN
    assert max(map(len, lines)) <= tool.WIDTH
    words = {line.split()[0] for line in lines}
    for path in (ROOT / "mpl_tf").rglob("__init__.py"):
        room = path.parent.relative_to(ROOT / "mpl_tf").as_posix()
        assert room == "." or f"{room}/" in words, path


def test_the_long_map_names_every_module(tool):
    words = tool.library_map().split()
    for path in (ROOT / "mpl_tf").rglob("*.py"):
        if path.name != "__init__.py":
            assert path.stem in words or path.name in words, path


def test_a_page_without_markers_is_refused(tool):
    with pytest.raises(ValueError, match="must have the lines"):
        tool.renewed("# mpl_tf\n", "map", "")
