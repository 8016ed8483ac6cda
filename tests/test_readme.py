"""The README's code runs as written."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_example(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        for part in ("labeled/ant", "labeled/bee", "unlabeled/2026/may"):
            folder = tmp_path / "my_images" / part
            folder.mkdir(parents=True, exist_ok=True)
            image = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(image).save(folder / f"{number}.png")
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "my_model" / "1" / "saved_model.pb").exists()


def test_there_are_examples_for_arrays_and_folders():
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert sum("data.pair((images, labels)" in code for code in examples) == 1
    assert sum("data.folder(" in code for code in examples) == 1


def test_named_files_exist():
    root = pathlib.Path(__file__).parents[1]
    for name in re.findall(r"\]\((docs/[^)]+)\)|--flagfile=(flags/\S+?)`", README):
        assert (root / "".join(name)).exists(), name
