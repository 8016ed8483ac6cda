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


DATASETS = ("CIFAR-10", "Fashion-MNIST", "Digits")


def section(text, title):
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_table_of_methods_is_that_of_the_results():
    heads, _, scratch = section(README, "What is proved").partition("**A network that starts")
    measured = rows(section(RESULTS, "Heads on cached features"), 3)
    table = heads.partition("**The student's feedback")[0]
    accuracies = {name: row for name, row in rows(table, 3) if "±" in row[0]}
    assert len(accuracies) == 8
    for name, row in accuracies.items():
        assert (name, row) in measured, name
    measured = rows(section(RESULTS, "All methods, digits"), 1)  # the accuracies come first
    claims = re.findall(r"`(\w+)` (\d+\.\d\d)", scratch)
    assert len(claims) == 5
    for name, value in claims:
        accuracy = next(row[0] for other, row in measured if other == name)
        assert accuracy.startswith(f"{value} ±"), name


def test_what_feedback_brings_is_what_was_measured():
    measured = (ROOT / "docs" / "feedback_results.md").read_text(encoding="utf-8")
    parts = [measured.partition(f"## {name} on cached features")[2] for name in DATASETS]
    table = rows(section(README, "What is proved").partition("**The student's feedback")[2], 6)[2:]
    assert [name for name, _ in table] == ["1", "2", "5", "20"]
    for name, cells in table:
        for part, without, gain in zip(parts, cells[::2], cells[1::2], strict=True):
            labels = f"{name} {'label' if name == '1' else 'labels'} a class"
            row = next(row for first, row in rows(part, 4) if first == labels)
            assert row[1] == without and row[3].startswith(f"{gain}, p "), labels
