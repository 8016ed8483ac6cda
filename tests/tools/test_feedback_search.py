"""tools/feedback_search.py: the choice, paired tables, runs that are kept."""

import csv
import json
import re

import pytest

from mpl_tf.options import ConfigError
from mpl_tf.runs import folder as run_folder
from searching import choosing, conditions, ledger, pictures, tables, trials, variants
from searching.pairs import paired


@pytest.fixture(scope="module")
def search(load_tool):
    return load_tool("feedback_search")


def row(part, variant, seed, accuracy, options, of="1 label a class"):
    each = trials.Trial(
        next(c for c in conditions.of_labels([1, 5]) if c.name == of), variant, options, seed
    )
    return ledger.row_of(each, part, {"ema": 0.1, "teacher": 0.2, "finetuned": accuracy})


GRID = choosing.combinations({"uda_weight": [0.0, 2.0], "label_temperature": [1.0]})


@pytest.fixture
def rows():
    """UDA 2 is the best without feedback, on it weight 3; test images would say the opposite."""
    made = []
    for seed in (100, 101):
        for options, accuracy in zip(GRID, (0.5, 0.6), strict=True):
            made.append(row("validation", variants.NONE, seed, accuracy, options))
        for weight, accuracy in ((1.0, 0.62), (3.0, 0.65 + (seed - 100) / 50)):
            options = {**GRID[1], "feedback_weight": weight}
            made.append(row("validation", variants.FEEDBACK, seed, accuracy, options))
        options = {**GRID[0], "feedback_weight": 1.0}
        made.append(row("validation", variants.FEEDBACK, seed, 0.99, options))
    for seed, gain in ((0, 0.02), (1, 0.04)):
        made.append(row("test", variants.NONE, seed, 0.5 + seed / 10, GRID[1]))
        options = {**GRID[1], "feedback_weight": 3.0}
        made.append(row("test", variants.FEEDBACK, seed, 0.5 + seed / 10 + gain, options))
    return made


def test_options_are_chosen_without_feedback_and_then_its_weight(rows):
    choice = choosing.choose(rows, GRID, [1.0, 3.0])
    assert (choice.options, choice.weight) == (GRID[1], 3.0)
    assert [mean for _, mean in choice.without] == pytest.approx([60, 50])
    assert dict(choice.with_weights) == pytest.approx({1.0: 62, 3.0: 66})


def test_the_table_is_paired(rows, tmp_path):
    choice = choosing.choose(rows, GRID, [1.0, 3.0])
    text = tables.markdown(rows, conditions.of_labels([1, 5]), choice, "digits", "command")
    # Gains 2 and 4: mean 3, standard error 1, t(0.975, 1) = 12.71; t(1) = 3 has p 0.2048.
    assert "| +3.00 [-9.71, +15.71], p 0.2048; 2 of 2, p 0.500 |" in text
    assert "| 1 label a class | 2 | 55.00 ± 7.07 | 58.00 ± 8.49 |" in text
    assert "**uda_weight 2, label_temperature 1** | 60.00" in text and "**3** | 66.00" in text
    assert "5 labels a class" not in text and text.endswith("`command`\n")
    points = pictures.strengths(rows, choice)["1 label a class"]
    assert [(weight, round(values.mean, 6)) for weight, values in points] == [(1, 2), (3, 6)]
    pictures.draw(tmp_path / "p.png", rows, conditions.of_labels([1, 5]), choice, "digits")
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_a_single_pair_and_options_that_are_words(rows, tmp_path):
    grid = choosing.combinations({"label_view": ["weak", "strong"], "joint_views": [True]})
    made = []
    for part, seed in (("validation", 100), ("test", 0)):
        made += [row(part, variants.NONE, seed, 0.5, options) for options in grid]
        options = {**grid[0], "feedback_weight": 3.0}
        made += [
            row(part, v, seed, 0.52, options) for v in (variants.FEEDBACK, variants.VARIANTS[2])
        ]
    choice = choosing.choose(made, grid, [3.0])
    text = tables.markdown(made, conditions.of_labels([1]), choice, "digits", "command")
    assert "**label_view weak, joint_views True** | 50.00" in text
    assert "| 1 label a class | 1 | 50.00 | 52.00 | +2.00 | +0.00 | +0.00 |" in text
    assert "| 1 label a class | +2.00 | +2.00 |" in text and "nan" not in text
    assert [v.mean for _, v in pictures.strengths(made, choice)["1 label a class"]] == [
        pytest.approx(2)
    ]
    pictures.draw(tmp_path / "p.png", made, conditions.of_labels([1]), choice, "digits")


def test_pairs_that_do_not_differ_count_in_no_sign_test():
    result = paired([1.0, 2.0, 3.0, 4.0, 4.0], [1.0, 1.0, 2.0, 3.0, 5.0])
    assert (result.better, result.differ) == (3, 4)
    assert result.sign_p == pytest.approx(0.625)  # twice (1 + 4) / 16
    assert paired([1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert paired([2.0, 3.0], [1.0, 2.0]).p == 0.0


def test_runs_are_kept_and_the_same_command_continues(search, tmp_path, monkeypatch, capsys):
    few = ["--labels=1", "--grid=uda_weight=0:2", "--weights=1", "--search_seeds=1", "--seeds=2"]
    runs = []

    def run(self, each, part):
        runs.append(ledger.key_of(each, part))
        return {"ema": each.seed / 1000 + each.options["uda_weight"] / 10, "teacher": 0.5}

    def start(*more):
        runs.clear()
        status = search.main([*few, f"--out={tmp_path / 'a'}", *more])
        return status, capsys.readouterr()

    def rows():
        with open(tmp_path / "a" / "runs.csv", newline="") as file:
            return list(csv.DictReader(file))

    monkeypatch.setattr(trials.Runner, "run", run)
    assert start()[0] == 0
    whole = rows()
    assert len(whole) == len(runs) == 3 + 2 * len(variants.VARIANTS)
    assert [ledger.key(r) for r in whole] == runs
    assert [r["seed"] for r in whole[:5]] == ["100", "100", "100", "0", "0"]
    assert all((r["part"] == "test") == (int(r["seed"]) < 100) for r in whole)
    assert all('"uda_weight": 2.0' in r["options"] for r in whole[2:])
    assert "| 1 label a class | 2 |" in (tmp_path / "a" / "table.md").read_text()
    ledger.write(tmp_path / "a" / "runs.csv", whole[:4])
    assert start()[0] == 0 and rows() == whole and len(runs) == len(whole) - 4
    assert start()[0] == 0 and not runs
    table = (tmp_path / "a" / "table.md").read_text()
    # Runs of other arguments do not count: of seeds, of weights, and of what was chosen by them.
    assert start("--seeds=3", "--weights=1,2")[0] == 0 and len(rows()) > len(whole)
    assert start()[0] == 0
    assert (tmp_path / "a" / "table.md").read_text() == table
    whole = rows()
    status, said = start("--flags=network=mlp")
    assert status == 2 and "has runs of other settings" in said.err and rows() == whole
    settings = tmp_path / "a" / "settings.json"
    there = settings.read_text()
    settings.write_text(json.dumps(json.loads(there) | {"images": {"test": "of others"}}))
    status, said = start()
    assert status == 2 and "has runs on other images" in said.err and rows() == whole
    settings.write_text(there)
    with run_folder.lock(str(tmp_path / "a"), "out"):
        status, said = start()
    assert status == 2 and f"out {tmp_path / 'a'} is in use by another process" in said.err
    (tmp_path / "a" / "settings.json").unlink()
    status, said = start()
    assert status == 2 and "has runs, but no settings.json" in said.err and rows() == whole


@pytest.mark.parametrize(
    ("grid", "values"),
    [
        ("uda_weight=0:2:0,label_view=weak", {"uda_weight": [0.0, 2.0], "label_view": ["weak"]}),
        ("", {}),
    ],
)
def test_values_that_are_named_twice_are_tried_once(search, grid, values):
    assert search._values(grid, ["--dataset=digits"]) == values


def test_a_kill_while_runs_are_written_loses_none(rows, tmp_path):
    ledger.write(tmp_path / "runs.csv", rows[:1])

    def killed_after_the_first():
        yield rows[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.write(tmp_path / "runs.csv", killed_after_the_first())
    assert ledger.read(tmp_path / "runs.csv") == rows[:1]
    (tmp_path / "runs.csv").write_text("part,seed\ntest,0\n")
    with pytest.raises(ConfigError, match=r"runs\.csv is damaged: its columns must be"):
        ledger.read(tmp_path / "runs.csv")


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        (",.1,.1,.1,,,,", "a row has no accuracies"),  # of the teacher
        (".1,.1,nan,.1,,,,", "a row has no accuracies"),
        (".1,.1,.1,.1,,,1e,", "could not convert string to float: '1e'"),
        (".1,.1,.1,.1,,", "a row has 13 columns"),  # cut off
        (".1,.1,.1,.1,,,,,9", "a row has 13 columns"),
    ],
)
def test_a_row_that_no_table_can_be_made_of_is_refused(rows, tmp_path, accuracies, message):
    file = tmp_path / "runs.csv"
    ledger.write(file, rows)
    assert ledger.read(file) == rows
    file.write_text(file.read_text() + f"test,x,none,{{}},0,{accuracies}\n")
    with pytest.raises(ConfigError, match=re.escape(f"runs.csv is damaged: {message}. Move it")):
        ledger.read(file)
