"""The README: its examples run as written, its table is that of docs/results.md."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES)
def test_python_example(code, image_folder, monkeypatch):
    monkeypatch.chdir(image_folder)
    exec(compile(code, "README.md", "exec"), {})
    assert (image_folder / "my_model" / "1" / "saved_model.pb").exists()


def test_there_are_examples_for_arrays_and_folders():
    assert sum("data.pair((images, labels)" in code for code in EXAMPLES) == 1
    assert sum("data.folder(" in code for code in EXAMPLES) == 1


def test_the_first_two_commands_are_the_main_job_and_the_tests():
    first, second, *_ = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert first == "pip install -e . && python -m mpl_tf.train"
    assert second == "pip install -e '.[test]' && pytest"
    jobs = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert first in jobs and second in jobs


def test_it_is_short():
    assert len(README.splitlines()) <= 210


def rows(text, columns):
    """First cell -> the next `columns` cells, of every table row of a Markdown text."""
    cells = ([cell.strip(" `*") for cell in line.split("|")[1:-1]] for line in text.splitlines())
    return [(row[0], row[1 : 1 + columns]) for row in cells if len(row) > columns]


def test_the_tables_of_methods_are_those_of_the_results():
    heads, _, scratch = (
        README.partition("## Which method to pick")[2]
        .partition("\n## ")[0]
        .partition("**From scratch**")
    )
    sections = [
        RESULTS.partition(f"## {title}\n")[2].partition("\n## ")[0]
        for title in ("Heads on cached features", "All methods, digits")
    ]
    for text, section, columns, count in zip(
        (heads, scratch), sections, (3, 2), (7, 16), strict=True
    ):
        accuracies = {name: row for name, row in rows(text, columns) if "±" in row[0]}
        assert len(accuracies) == count
        for name, row in accuracies.items():
            assert (name, row) in rows(section, columns), name
    seconds = {name: row[2] for name, row in rows(scratch, 3) if "±" in row[0]}
    for name in seconds:
        times = [row[3] for other, row in rows(sections[1], 4) if other == name]
        assert seconds[name] in times, name
