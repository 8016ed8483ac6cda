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
    cells = ([cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines())
    return [(row[0], row[1 : 1 + columns]) for row in cells if len(row) > columns]


def test_the_table_of_methods_is_that_of_the_results():
    table = README.partition("## Which method to pick")[2].partition("##")[0]
    accuracies = {name: values for name, values in rows(table, 4) if "±" in values[0]}
    assert len(accuracies) == 16
    digits, fashion = (
        RESULTS.partition(f"## All methods, {name}")[2].partition("##")[0]
        for name in ("digits", "Fashion-MNIST")
    )
    for name, values in accuracies.items():
        assert (name, values[:2]) in rows(digits, 2), name
        assert (name, values[2:]) in rows(fashion, 2), name
    seconds = {name: values[4] for name, values in rows(table, 5)}
    for name in accuracies:
        assert any(row[0] == name and row[1][3] == seconds[name] for row in rows(digits, 4)), name
