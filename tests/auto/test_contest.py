"""Candidates in their order, within a budget whose clock is a number, and continued."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.auto import contest, recipes, regression, trial
from mpl_tf.auto.answers import of_folds, write
from mpl_tf.auto.contest import Contest, Plan
from mpl_tf.auto.ladder import JOURNAL, Ladder
from mpl_tf.auto.recipes import Recipe
from mpl_tf.config.recipes import HEAD, HEAD_OF
from mpl_tf.options import ConfigError
from mpl_tf.runs.callbacks import NonFiniteError

RECIPES = [
    Recipe("supervised, head", "supervised", "head", {"steps": 10}),
    Recipe("fixmatch, head", "fixmatch", "head", {"steps": 10}),
    Recipe("mpl, head", "mpl", "head", {"steps": 10, "finetune_steps": 0}),
]


def hold(images, common, tmp_path, clock, seconds, *, layers=0, others=()):
    ladder = Ladder(str(tmp_path), {}, seconds, clock=clock)
    plan = Plan(common, [*RECIPES, *others], layers)
    held = Contest(images, plan, ladder, str(tmp_path), str(tmp_path / "run"))
    return held, held.hold(), ladder


def test_candidates_are_tried_in_order_and_more_layers_of_the_best(
    images, common, tmp_path, clock, trained
):
    trained["right"] = {"mpl, head": 8, "fixmatch, head": 7}
    held, answers, _ = hold(images, common, tmp_path, clock, 1e6, layers=1)
    assert list(answers) == [
        regression.NAME,
        "supervised, head",
        "fixmatch, head",
        "mpl, head",
        "supervised, last layer",
        "fixmatch, last layer",  # a student of a teacher that learns needs more steps
    ]
    assert trained["calls"][-1] == "fixmatch, last_1"
    assert held.settings_of("fixmatch, last layer").network.train == "last_1"
    assert not held.settings_of("fixmatch, last layer").is_cached


def test_a_broken_labeled_file_that_is_left_out_costs_no_candidate(
    images, common, colored_folder, tmp_path, clock, trained, messages
):
    folder = shutil.copytree(colored_folder, tmp_path / "images")
    for label in sorted((folder / "labeled").iterdir()):
        (label / "broken.png").write_bytes(b"")
    skipped = dataclasses.replace(images, source=dataclasses.replace(images.source, skipped=3))
    common = {**common, "dataset": f"folder:{folder}", "skip_broken": True}
    recipe = Recipe("mpl, head", "mpl", "head", {"steps": 10, "finetune_steps": 5})
    plan = Plan(common, [recipe], False)
    ladder = Ladder(str(tmp_path), {}, 1e6, clock=clock)
    answers = Contest(skipped, plan, ladder, str(tmp_path), str(tmp_path / "run")).hold()
    assert list(answers) == [regression.NAME, "mpl, head"]
    assert "not tried" not in messages(20)


def test_without_learned_weights_there_are_no_more_layers(images, common, tmp_path, clock, trained):
    _, answers, _ = hold(images, common, tmp_path, clock, 1e6)
    assert list(answers)[1:] == [recipe.name for recipe in RECIPES]


def test_nothing_is_started_that_does_not_fit_beside_its_delivery(
    images, common, tmp_path, clock, trained, messages
):
    """Delivery takes 15 seconds and three trainings; a step of MPL's is four of supervised's."""
    trained["cost"] = {"supervised, head": 5.0, "fixmatch, head": 10.0, "mpl, head": 20.0}
    _, answers, _ = hold(images, common, tmp_path, clock, 150)
    assert trained["calls"] == ["supervised, head", "fixmatch, head"]
    assert "mpl, head" not in answers and clock.now <= 150 - 15 - 30
    assert "mpl, head: passed over: it takes about" in messages(20)


def test_what_is_slower_than_expected_is_given_up(
    images, common, tmp_path, clock, trained, messages
):
    trained["cost"] = {"fixmatch, head": 500.0}
    _, answers, ladder = hold(images, common, tmp_path, clock, 200)
    assert list(answers) == [regression.NAME, "supervised, head", "mpl, head"]
    assert "fixmatch, head: passed over: it takes about 25 minutes" in messages(20)
    assert ladder.spent < 150


def test_interrupted_and_continued_no_candidate_is_tried_twice(
    images, common, tmp_path, clock, trained, messages
):
    trained["cost"] = {"fixmatch, head": KeyboardInterrupt}
    ladder = Ladder(str(tmp_path), {}, 1e6, clock=clock)
    plan = Plan(common, RECIPES, 0)
    with pytest.raises(KeyboardInterrupt), ladder.ticking():
        Contest(images, plan, ladder, str(tmp_path), "run").hold()
    assert json.loads((tmp_path / JOURNAL).read_text())["spent"] == clock.now == 5.0
    trained["cost"] = {}
    messages(20)
    _, answers, ladder = hold(images, common, tmp_path, clock, 1e6)
    assert trained["calls"] == ["supervised, head", "fixmatch, head", "fixmatch, head", "mpl, head"]
    assert len(answers) == 4 and ladder.spent == 5.0 + 6.0
    said = messages(20)
    assert "supervised, head: right in 55.6% (" in said
    assert "with more --minutes" not in said


def test_what_fails_is_named_and_the_others_go_on(
    images, common, tmp_path, clock, trained, messages
):
    trained["cost"] = {"supervised, head": NonFiniteError("train step 3: loss = nan")}
    _, answers, _ = hold(images, common, tmp_path, clock, 1e6)
    assert list(answers) == [regression.NAME, "fixmatch, head", "mpl, head"]
    assert "supervised, head: failed: train step 3: loss = nan" in messages(20)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigError("features take 9 GiB, and 1 is free."), "features take 9 GiB"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
            "there is not enough memory (OOM when allocating",
        ),
    ],
)
def test_what_cannot_be_tried_is_tried_by_the_next_start(
    images, common, tmp_path, clock, trained, messages, error, message
):
    trained["cost"] = {"supervised, head": error}
    _, answers, _ = hold(images, common, tmp_path, clock, 1e6)
    assert list(answers) == [regression.NAME, "fixmatch, head", "mpl, head"]
    assert f"supervised, head: passed over: {message}" in messages(20)
    trained["cost"] = {}
    _, answers, _ = hold(images, common, tmp_path, clock, 1e6)
    assert {*answers} == {regression.NAME, *(recipe.name for recipe in RECIPES)}


def test_a_full_disk_is_no_want_of_memory(images, common, tmp_path, clock, trained):
    full = tf.errors.ResourceExhaustedError(None, None, "f.npy; No space left on device")
    trained["cost"] = {"supervised, head": full}
    with pytest.raises(tf.errors.ResourceExhaustedError):
        hold(images, common, tmp_path, clock, 1e6)


def test_more_layers_stay_candidates_when_another_head_becomes_the_best(
    images, common, tmp_path, clock, trained
):
    others = [Recipe("uda, head", "uda", "head", {"steps": 10})]
    trained["right"] = {"fixmatch, head": 7, "uda, head": 8, "fixmatch, last_1": 9}
    trained["cost"] = {"uda, head": ConfigError("no room")}
    _, answers, _ = hold(images, common, tmp_path, clock, 1e6, layers=1, others=others)
    assert [*answers][-1] == "fixmatch, last layer"
    trained["cost"] = {}
    held, answers, _ = hold(images, common, tmp_path, clock, 1e6, layers=1, others=others)
    assert {"fixmatch, last layer", "uda, last layer"} <= {*answers}
    assert held.settings_of("fixmatch, last layer").run.method == "fixmatch"


def test_a_candidate_whose_answers_are_gone_is_not_done(
    images, common, tmp_path, clock, trained, messages
):
    hold(images, common, tmp_path, clock, 1e6)
    for path in (tmp_path / contest.ANSWERS).iterdir():
        path.write_bytes(b"")
    spent = clock.now
    _, answers, ladder = hold(images, common, tmp_path, clock, spent)
    assert list(answers) == [regression.NAME] == list(ladder.results)
    assert answers[regression.NAME].shape == (9, 3)
    assert "mpl-head.npy is gone or damaged: mpl, head is not done" in messages(30)
    _, answers, ladder = hold(images, common, tmp_path, clock, 1e6)
    assert list(answers) == [regression.NAME, *(recipe.name for recipe in RECIPES)]
    assert len(trained["calls"]) == 6 and ladder.spent == 2 * spent


def test_what_cannot_be_delivered_or_has_failed_is_not_tried_again_for_its_answers(
    images, common, tmp_path, clock, trained, messages
):
    trained["cost"] = {"mpl, head": NonFiniteError("train step 3: loss = nan")}
    held, _, _ = hold(images, common, tmp_path, clock, 1e6)
    held.note_failure("fixmatch, head", "why")
    (tmp_path / contest.ANSWERS / "fixmatch-head.npy").unlink()
    _, answers, _ = hold(images, common, tmp_path, clock, 1e6)
    assert list(answers) == [regression.NAME, "supervised, head"]
    assert len(trained["calls"]) == 3
    assert "fixmatch-head.npy is gone or damaged: fixmatch, head is left out" in messages(30)


def test_folds_are_kept_until_their_candidate_is_in_the_journal(
    images, common, tmp_path, clock, trained, monkeypatch
):
    made, tick = trial.answer, Ladder.tick

    def answer(settings, material, stem, pace):
        for name in of_folds(stem, material.trainings):
            write(name, np.zeros([3, 3]))
        return made(settings, material, stem, pace)

    def full(ladder):
        if "supervised, head" in ladder.results:
            raise OSError("no space")
        tick(ladder)

    monkeypatch.setattr(trial, "answer", answer)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(Ladder, "tick", full)
        hold(images, common, tmp_path, clock, 1e6)
    folds = [*(tmp_path / contest.ANSWERS).glob("supervised-head-fold-*")]
    assert len(folds) == images.trainings
    hold(images, common, tmp_path, clock, 1e6)
    assert not [*(tmp_path / contest.ANSWERS).glob("*-fold-*")]


@pytest.mark.parametrize("pretrained", [True, False])
def test_the_recipes_can_be_trained_in_their_order(images, common, pretrained):
    plan = recipes.quick(pretrained, has_unlabeled=True)
    if not pretrained:
        common = {**common, "network": "small_4"}
        del common["cache_dir"], common["head_init"]
    settings = [recipes.settings_of(recipe, common, 6, 48) for recipe in plan]
    weights = [recipes.weight(each) for each in settings]
    assert weights[0] == min(weights)
    if not pretrained:
        assert weights == sorted(weights)
    assert all(each.is_cached == pretrained for each in settings)
    assert all(each.run.labeled_batch * each.run.unlabeled_ratio <= 48 for each in settings)
    methods = [each.run.method for each in settings]
    assert methods[0] == "supervised" and {"fixmatch", "flexmatch", "uda", "mpl"} <= {*methods}
    assert methods[1] == ("mpl" if pretrained else "fixmatch")  # of equals the first is delivered
    assert [r.method for r in recipes.quick(pretrained, has_unlabeled=False)] == ["supervised"]


def test_heads_have_the_batch_and_the_rate_of_a_run_of_heads(common):
    for recipe in recipes.quick(pretrained=True, has_unlabeled=True):
        made = recipes.settings_of(recipe, common, 1000, 100_000)
        assert made.run.labeled_batch == HEAD["labeled_batch"]
        assert made.run.steps == HEAD["steps"]
        suited = {**HEAD, **HEAD_OF.get(recipe.method, {})}
        assert made.optimizer.student_learning_rate == suited["student_learning_rate"]
