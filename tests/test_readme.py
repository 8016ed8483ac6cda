"""The README's code runs as written."""

import pathlib
import re

import pytest

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_example(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "my_model" / "1" / "saved_model.pb").exists()


def test_named_files_exist():
    root = pathlib.Path(__file__).parents[1]
    for name in re.findall(r"\]\((docs/[^)]+)\)|--flagfile=(flags/\S+?)`", README):
        assert (root / "".join(name)).exists(), name
