"""tools/feedback_search.py: the choice, paired tables, runs that are kept."""

import csv
import json
import math
import re

import pytest

from mpl_tf.options import ConfigError
from mpl_tf.runs import callbacks, provenance
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


def test_a_single_pair_beside_one_of_which_a_run_failed(rows, tmp_path):
    grid = choosing.combinations({"label_view": ["weak", "strong"], "joint_views": [True]})
    made = []
    for part, seed in (("validation", 100), ("test", 0)):
        made += [row(part, variants.NONE, seed, 0.5, options) for options in grid]
        options = {**grid[0], "feedback_weight": 3.0}
        made += [
            row(part, v, seed, 0.52, options) for v in (variants.FEEDBACK, variants.VARIANTS[2])
        ]
    made.append(row("test", variants.NONE, 1, 0.9, grid[0]))
    other = trials.Trial(conditions.of_labels([1])[0], variants.FEEDBACK, options, 1)
    made.append(ledger.row_of(other, "test", {}, failed="finetune step 1: loss = inf"))
    choice = choosing.choose(made, grid, [3.0])
    text = tables.markdown(made, conditions.of_labels([1]), choice, "digits", "command")
    assert "1 of 10 runs failed" in text and "1 label a class, exact, test images (1)" in text
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
    assert math.isnan(paired([2.0], [1.0]).half)
    assert paired([2.0, 3.0], [1.0, 2.0]).p is None  # which tells nothing of their spread


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


FEW = ["--labels=1", "--grid=uda_weight=0:2", "--weights=1", "--search_seeds=1", "--seeds=1"]


@pytest.mark.parametrize("variant", ["none", "exact", "dot"])
def test_each_form_of_each_combination_is_checked_before_any_runs(
    search, tmp_path, monkeypatch, capsys, variant
):
    right = trials.Runner.config

    def config(self, each):
        if (each.variant.name, each.options["uda_weight"]) == (variant, 2):
            raise ConfigError("no run can have them")
        return right(self, each)

    monkeypatch.setattr(trials.Runner, "config", config)
    monkeypatch.setattr(trials.Runner, "run", lambda *_: pytest.fail("it was begun"))
    assert search.main([*FEW, f"--out={tmp_path / 'a'}"]) == 2
    assert f"1 label a class, {variant}: no run can have them" in capsys.readouterr().err


def test_settings_that_nothing_was_run_with_bind_nobody(search, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials.Runner, "run", stop)
    for flags in ("network=mlp", "network=small_4"):
        assert search.main([*FEW, f"--flags={flags}", f"--out={tmp_path}"]) == 130
        assert json.loads((tmp_path / "settings.json").read_text())["network"] in flags


def test_weights_are_the_same_whether_they_have_a_point_or_not(search, tmp_path):
    weights = search.parse([]).weights
    assert weights == search.parse(["--weights=0.3,1,3.0,10,30"]).weights
    assert all(isinstance(weight, float) for weight in weights)
    options = {"feedback_weight": 1, "labeled_batch": 10, "joint_views": True, "weak": "flip"}
    alike = options | {"feedback_weight": 1.0, "labeled_batch": 10.0}
    assert ledger.options_text(options) == ledger.options_text(alike)
    assert json.loads(ledger.options_text(options)) == options
    made = row("validation", variants.FEEDBACK, 100, 0.5, options)
    ledger.write(tmp_path / "runs.csv", [made | {"options": json.dumps(options, sort_keys=True)}])
    assert ledger.read(tmp_path / "runs.csv") == [made]


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
    ("seed", "rest", "message"),
    [
        ("0", ",.1,.1,.1,,,,,,", "column teacher: it is empty"),
        ("0", ".1,.1,nan,.1,,,,,,", "column ema: 'nan' is no finite number"),
        ("0", ".1,.1,.1,.1,,,1e,,,", "column true_cosine: '1e' is no finite number"),
        ("0.5", ".1,.1,.1,.1,,,,,,", "column seed: '0.5' is no whole number"),
        ("0", ".1,.1,.1,.1,,", "it must have 15 columns"),  # cut off
        ("0", ".1,.1,.1,.1,,,,,,,9", "it must have 15 columns"),
    ],
)
def test_a_row_that_no_table_can_be_made_of_is_named(rows, tmp_path, seed, rest, message):
    file = tmp_path / "runs.csv"
    ledger.write(file, rows)
    assert ledger.read(file) == rows
    line = f"line {len(rows) + 2}"
    file.write_text(file.read_text() + f"test,x,none,{{}},{seed},{rest}\n")
    with pytest.raises(ConfigError, match=re.escape(f"runs.csv is damaged: {line}, {message}. ")):
        ledger.read(file)
    file.write_text(file.read_text().replace(f"{{}},{seed},{rest}", "[1],0,.1,.1,.1,.1,,,,,,"))
    with pytest.raises(ConfigError, match=rf"{line}, column options: '\[1\]' has no options\. Rem"):
        ledger.read(file)


def test_runs_of_a_search_that_named_no_code_are_read(rows, tmp_path):
    file, columns = tmp_path / "runs.csv", ledger.COLUMNS[:-2]
    with open(file, "w", newline="") as opened:
        writer = csv.DictWriter(opened, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert "revision" not in file.read_text()
    assert ledger.read(file) == [each | {"git_revision": "", "failed": ""} for each in rows]


def test_runs_of_different_code_are_told_in_the_table(rows):
    choice, of = choosing.choose(rows, GRID, [1.0, 3.0]), conditions.of_labels([1])
    assert "different software" not in tables.markdown(rows, of, choice, "digits", "command")
    mixed = [{**each, "git_revision": "a" * 40 if k else ""} for k, each in enumerate(rows)]
    text = tables.markdown(mixed, of, choice, "digits", "command")
    assert f"git revision none (1), {'a' * 12} ({len(rows) - 1})" in text


def a_trial(each):
    """The trial of a row."""
    of = next(c for c in conditions.of_labels([1, 5]) if c.name == each["condition"])
    variant = next(v for v in variants.VARIANTS if v.name == each["variant"])
    return trials.Trial(of, variant, json.loads(each["options"]), int(each["seed"]))


def test_a_combination_of_which_a_run_failed_is_not_chosen(rows, tmp_path):
    reason = "train step 3: supervised = nan"
    better = rows.index(next(r for r in rows if r["options"] == ledger.options_text(GRID[1])))
    rows[better] = ledger.row_of(a_trial(rows[better]), "validation", {}, failed=reason)
    ledger.write(tmp_path / "runs.csv", rows)
    rows = ledger.read(tmp_path / "runs.csv")
    assert rows[better]["failed"] == reason
    choice = choosing.choose(rows, GRID, [1.0])
    assert choice.options == GRID[0] and choice.without == [(GRID[0], 50.0), (GRID[1], None)]
    text = tables.markdown(rows, conditions.of_labels([1]), choice, "digits", "command")
    assert "| uda_weight 2, label_temperature 1 | a run failed |" in text
    assert "1 of 14 runs failed" in text and "1 label a class, none, validation images (1)" in text


def test_without_a_combination_that_can_be_trained_the_search_ends(
    search, tmp_path, monkeypatch, capsys
):
    def run(self, each, part):
        raise callbacks.NonFiniteError("train step 3: supervised = nan")

    monkeypatch.setattr(trials.Runner, "run", run)
    for _ in range(2):  # which reads the runs, and repeats none
        assert search.main([*FEW, f"--out={tmp_path}"]) == 1
        said = capsys.readouterr()
        assert "none of --grid can be chosen" in said.err and "column failed" in said.err
    rows = ledger.read(tmp_path / "runs.csv")
    assert [each["failed"] for each in rows] == ["train step 3: supervised = nan"] * 2
    assert {each["git_revision"] for each in rows} == {provenance.git_revision() or ""}
