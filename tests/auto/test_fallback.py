"""A winner that cannot be trained on all labels: the next best is delivered, and it is said."""

import csv
import errno
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import files
from mpl_tf.auto import contest, delivery, recipes, regression, search, staging, tables
from mpl_tf.auto.ladder import Ladder
from mpl_tf.auto.recipes import Recipe
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder, restore, training
from mpl_tf.runs.callbacks import NonFiniteError
from mpl_tf.runs.checkpoint import CheckpointError

RECIPES = [
    Recipe("supervised, head", "supervised", "head", {"steps": 10}),
    Recipe("fixmatch, head", "fixmatch", "head", {"steps": 10}),
]
NAN = "train step 3: loss = nan"
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "f")


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.fixture
def settings(common):
    return recipes.settings_of(RECIPES[0], common, 6, 48)


@pytest.fixture
def training_ends(monkeypatch):
    """training_ends(*errors): how trainings on all labels end, one after the other; None is well.

    It returns the list of what they were told to overwrite.
    """
    calls = []

    def ends(*errors):
        left = list(errors)

        def train(settings, path, overwrite=False, source=None):
            calls.append(overwrite)
            if error := left.pop(0):
                raise error

        monkeypatch.setattr(training, "train_and_evaluate", train)
        monkeypatch.setattr(restore, "find", lambda path: path)
        monkeypatch.setattr(restore, "restore", lambda run: ("ema", "network"))
        return calls

    return ends


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NonFiniteError(NAN), NAN),
        (ConfigError("labeled_batch must be at most 3."), "labeled_batch must be at most 3."),
        (CheckpointError("no checkpoint can be used"), "no checkpoint can be used"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
            "there is not enough memory (OOM when allocating)",
        ),
    ],
)
def test_what_fails_by_itself_is_not_trained(settings, tmp_path, training_ends, error, message):
    training_ends(error)
    with pytest.raises(delivery.NotTrainedError) as caught:
        delivery.train(settings, None, str(tmp_path / "run"))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        FULL,
        caused(CheckpointError("could not be written"), FULL),
        caused(ConfigError("workdir cannot be written"), FULL),
        tf.errors.ResourceExhaustedError(None, None, "f; No space left on device"),
    ],
)
def test_a_stop_and_a_full_disk_are_no_failure(settings, tmp_path, training_ends, error):
    training_ends(error)
    with pytest.raises(type(error)) as caught:
        delivery.train(settings, None, str(tmp_path / "run"))
    assert caught.value is error


def test_a_run_that_is_damaged_begins_anew(settings, tmp_path, training_ends, messages):
    files.write_json(str(tmp_path / folder.CONFIG), settings.flat())
    calls = training_ends(CheckpointError("no checkpoint can be used"), None)
    assert delivery.train(settings, None, str(tmp_path)) == "network"
    assert calls == [False, True]
    assert "cannot be continued and begins anew: no checkpoint can be used" in messages(30)


def test_a_run_is_removed_and_nothing_else(tmp_path):
    run = tmp_path / "run"
    for name in (folder.CONFIG, folder.LOCK, f"{folder.CHECKPOINTS}/train/step-1", "mine.txt"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("")
    staging.drop(str(run))
    assert os.listdir(run) == ["mine.txt"]
    (run / "mine.txt").unlink()
    staging.drop(str(run))
    staging.drop(str(run))
    assert not run.exists()


@pytest.fixture
def weak_regression(images, monkeypatch):
    """Logistic regression answers five of the nine held-out images right."""
    labels = images.held_out().labels
    classes = np.where(np.arange(9) < 5, labels, (labels + 1) % 3)
    monkeypatch.setattr(regression, "answers", lambda material: 2 * np.eye(3)[classes])


@pytest.mark.usefixtures("no_pictures", "weak_regression")
def test_the_next_best_is_delivered_and_the_failed_one_not_trained_again(
    images, common, tmp_path, clock, trained, monkeypatch, messages
):
    trained["right"] = {"supervised, head": 8, "fixmatch, head": 9}
    tried = []

    def train(settings, source, path):
        tried.append(settings.run.method)
        if settings.run.method == "fixmatch":
            raise delivery.NotTrainedError(NAN)
        return regression.network(images.backbone, regression.head(images))

    monkeypatch.setattr(delivery, "train", train)

    def find():
        ladder = Ladder(str(tmp_path), {}, 1e6, clock=clock)
        plan = contest.Plan(common, RECIPES, 0)
        return search.find_best(images, plan, ladder, str(tmp_path), 3)

    found = find()
    assert tried == ["fixmatch", "supervised"]
    assert f"fixmatch, head: its training on all labels failed: {NAN}" in messages(30)
    assert found.delivered == "supervised, head" and found.accuracy == 8 / 9
    assert found.verdict.startswith(
        f"fixmatch, head was ahead, but its training on all labels failed: {NAN}. "
        "supervised, head is delivered: on 9 held-out images it is "
    )
    assert found.run == str(tmp_path / "run")
    summary = json.loads((tmp_path / staging.RESULTS).read_text())
    assert summary["delivered"] == "supervised, head" and summary["accuracy"] == 8 / 9
    assert summary["verdict"] == found.verdict and summary["run"] == "run"
    assert summary["failed_on_all_labels"] == {"fixmatch, head": NAN}
    with open(tmp_path / tables.CANDIDATES, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["candidate"] for row in rows[:2]] == ["supervised, head", "fixmatch, head"]
    assert rows[0]["compared_with_the_delivered"] == "delivered" and rows[1]["failure"] == NAN
    assert [c.failure for c in found.candidates[:2]] == ["", NAN]

    find()
    assert tried == ["fixmatch", "supervised", "supervised"]
    assert f"and its training on all labels failed: {NAN}" in messages(20)


@pytest.mark.usefixtures("no_pictures", "weak_regression")
def test_in_the_end_it_is_logistic_regression(
    images, common, tmp_path, clock, trained, monkeypatch, messages
):
    trained["right"] = dict.fromkeys(("supervised, head", "fixmatch, head"), 9)

    def train(settings, source, path):
        raise delivery.NotTrainedError(NAN)

    monkeypatch.setattr(delivery, "train", train)
    ladder = Ladder(str(tmp_path), {}, 1e6, clock=clock)
    plan = contest.Plan(common, RECIPES, 0)
    found = search.find_best(images, plan, ladder, str(tmp_path), 3)
    assert found.delivered == regression.NAME and found.run is None
    assert "logistic regression is delivered: nothing else can be. On 9 held-out" in found.verdict
    assert found.verdict.count("was ahead") == 2 and found.accuracy == 5 / 9
    said = messages(20)  # of none that it is delivered before it is
    assert said.count("delivered") == said.count("is delivered: nothing else can be") == 1
    assert said.count("  ahead\n") == 3
