"""tools/feedback_search.py: damaged splits, paired table."""

import csv

import numpy as np
import pytest

import mpl_tf
from mpl_tf import config, data
from mpl_tf.runs import experiment


@pytest.fixture(scope="module")
def search(load_tool):
    return load_tool("feedback_search")


def make_split(search, condition, seed):
    num_labeled, damage = search.conditions("digits")[condition]
    source = data.find("digits").load()
    settings = config.make({"num_labeled": num_labeled, "seed": seed})
    return damage(experiment.make_split(settings, source), seed)


@pytest.mark.parametrize(("share", "wrong"), [(0.2, 1), (0.4, 2)])
def test_a_share_of_every_class_is_labeled_wrong(search, share, wrong):
    right = make_split(search, "50 labels", 3)
    damaged = search.wrong_labels(right, share, 3)
    of = right.labeled.labels
    for k in range(10):
        assert (damaged.labeled.labels[of == k] != k).sum() == wrong
    np.testing.assert_array_equal(damaged.labeled.images, right.labeled.images)
    np.testing.assert_array_equal(
        right.labeled.labels, make_split(search, "50 labels", 3).labeled.labels
    )
    again = search.wrong_labels(right, share, 3).labeled.labels
    np.testing.assert_array_equal(damaged.labeled.labels, again)


def test_foreign_classes_are_in_the_unlabeled_images_alone(search):
    split = make_split(search, "50 labels of 5 classes, 10 unlabeled", 0)
    for part in (split.labeled, split.validation, split.test):
        assert set(part.labels) == set(range(5))
    assert set(split.unlabeled.labels) == set(range(10))


def test_unbalanced_classes_fall_to_a_tenth(search):
    split = make_split(search, "50 labels, unlabeled 10:1", 0)
    counts = np.sort(np.bincount(split.unlabeled.labels))
    assert counts[-1] / counts[0] == pytest.approx(10, rel=0.15)
    np.testing.assert_array_equal(np.bincount(split.labeled.labels), [5] * 10)


def test_runs_are_kept_and_do_not_depend_on_each_other(search, tmp_path, monkeypatch, capsys):
    """Networks and compiled steps are used again: a seed must find them as new."""
    forms = {name: search.FORMS[name] for name in ("none", "sampled")}
    monkeypatch.setattr(search, "FORMS", forms)

    def rows(folder):
        with open(tmp_path / folder / "runs.csv", newline="") as file:
            return list(csv.DictReader(file))

    search.main(["--conditions=20 labels", "--seeds=2", "--steps=12", f"--out={tmp_path / 'a'}"])
    assert "| 20 labels | 2 |" in (tmp_path / "a" / "table.md").read_text()
    whole = rows("a")
    (tmp_path / "b").mkdir()
    with open(tmp_path / "b" / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, whole[0])
        writer.writeheader()
        writer.writerows(whole[:2])  # seed 0 only: seed 1 now comes first
    search.main(["--conditions=20 labels", "--seeds=2", "--steps=12", f"--out={tmp_path / 'b'}"])
    assert rows("b") == whole
    capsys.readouterr()
    search.main(["--conditions=20 labels", "--seeds=2", "--steps=12", f"--out={tmp_path / 'b'}"])
    assert "[" not in capsys.readouterr().out.split("Test accuracy")[0]  # nothing left to run
    assert search.main(["--steps=13", f"--out={tmp_path / 'b'}"]) == 2
    assert "runs.csv has runs of other settings" in capsys.readouterr().err


def test_a_kill_while_runs_are_written_loses_none(search, tmp_path):
    file, same = tmp_path / "runs.csv", {"dataset": "digits", "network": "mlp", "steps": "12"}
    row = dict.fromkeys(search.COLUMNS, "1") | same
    search.write_runs(file, [row])

    def killed_after_the_first():
        yield row
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.write_runs(file, killed_after_the_first())
    assert search.read_runs(file, same) == [row]


def test_the_table_is_paired(search, tmp_path):
    def row(form, seed, ema):
        return {"condition": "20 labels", "form": form, "seed": seed, "ema": ema}

    rows = [row("none", s, e) for s, e in ((0, 0.5), (1, 0.9))]
    for form in search.FORMS:
        if form != "none":
            rows += [row(form, 0, 0.52), row(form, 1, 0.94)]
    search.write_table(tmp_path / "t.md", rows, ["20 labels"], "digits", "command")
    # Gains 2 and 4: mean 3, standard error 1, t(0.975, 1) = 12.71.
    assert "| +3.00 [-9.71, +15.71] |" in (tmp_path / "t.md").read_text()


def test_conditions_are_chosen_by_parts_of_their_names(search):
    def chosen(text):
        return search.parse([f"--conditions={text}"]).conditions

    assert chosen("wrong") == ["50 labels, 20% wrong", "50 labels, 40% wrong"]
    assert chosen("20 labels,10:1") == ["20 labels", "50 labels, unlabeled 10:1"]
    with pytest.raises(SystemExit):
        search.main(["--conditions=sunny"])


def test_the_forms_are_options_of_the_method(search):
    for settings in search.FORMS.values():
        mpl_tf.MetaPseudoLabels.Config(**settings)
