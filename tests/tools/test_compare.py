"""tools/compare.py: cells, resuming, tables."""

import csv
import json

import pytest


@pytest.fixture(scope="module")
def compare(load_tool):
    return load_tool("compare")


ARGUMENTS = [
    "--methods=supervised:network=mlp:finetune_steps=2,mpl:network=mlp:finetune_steps=0",
    "--num_labeled=20,50",
    "--seeds=1",
    "--steps=4",
]


def test_cells_are_run_once_and_tables_are_written(compare, tmp_path, capsys, monkeypatch):
    arguments = [*ARGUMENTS, f"--out={tmp_path}"]
    compare.main(arguments)
    with open(tmp_path / "table.csv", newline="") as file:
        assert len({row["weights_digest"] for row in csv.DictReader(file)}) == 4
    for name in ("table.md", "table.png", "curves.png"):
        assert (tmp_path / name).stat().st_size > 0
    # A second time nothing is run, and the tables come out the same.
    table = (tmp_path / "table.md").read_text()
    monkeypatch.setattr(compare.subprocess, "run", None)
    compare.main(arguments)
    assert (tmp_path / "table.md").read_text() == table
    assert "[4/4]" in capsys.readouterr().out


def test_curves_are_the_training_rows(compare, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "phase,step,val_ema_accuracy\ntrain,5,\ntrain,10,0.25\ntrain,20,0.5\nfinetune,20,0.9\n"
    )
    assert compare.read_curve(path) == ([10, 20], [25.0, 50.0])


def test_the_table_by_hand(compare, tmp_path):
    options = compare.parse(["--seeds=2", "--num_labeled=10"])

    def result(ema, finetuned, seconds):
        accuracy = {"teacher": None, "student": 0.1, "ema": ema, "finetuned": finetuned}
        return {"test_accuracy": accuracy, "seconds": seconds, "weights_digest": "d"}

    done = {
        compare.Cell("a", 10, 0): result(0.2, 0.90, 10),
        compare.Cell("a", 10, 1): result(0.2, 0.94, 12),
        compare.Cell("b:x=1", 10, 0): result(0.50, None, 3),
    }
    compare.write_markdown(tmp_path / "t.md", options, done, "command")
    text = (tmp_path / "t.md").read_text()
    assert "| a | 92.00 ± 2.83 | 11 |" in text  # sample standard deviation
    assert "| b:x=1 | 50.00 ± 0.00 | 3 |" in text
    assert "`command`" in text
    # Two values: t(0.975, 1) = 12.706, times 2.828 / sqrt(2).
    assert compare.interval([90, 94]) == pytest.approx(25.41, abs=0.01)


def test_a_failing_cell_ends_with_its_last_words(compare, tmp_path):
    with pytest.raises(SystemExit, match="status 2") as error:
        compare.main(["--methods=mpl:feedback=up", f"--out={tmp_path}"])
    assert "feedback must be one of" in str(error.value)


@pytest.mark.parametrize("wrong", ["--seeds=0", "--num_labeled=ten", "--steps=-5", "--what=1"])
def test_bad_arguments_end_with_status_2(compare, wrong):
    with pytest.raises(SystemExit) as error:
        compare.main([wrong])
    assert error.value.code == 2


def test_a_cell_is_one_command(compare, tmp_path):
    options = compare.parse(["--steps=7"])
    cell = compare.Cell("mpl:feedback=none:seed_of=x", 20, 3)
    command = cell.command(options, tmp_path)
    assert "--method=mpl" in command and "--feedback=none" in command
    assert "--steps=7" in command and "--num_labeled=20" in command and "--seed=3" in command
    assert "/" not in cell.name() and ":" not in cell.name()
    assert json.dumps(cell.name())
