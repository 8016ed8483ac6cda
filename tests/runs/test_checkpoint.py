"""Checkpoints hold everything that the next step depends on."""

import json
import logging
import os
import resource
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import files
from mpl_tf.runs.checkpoint import CheckpointError, Checkpoints


@pytest.fixture
def endless(rng):
    batch = {
        "labeled": rng.normal(size=(4, 6, 6, 1)),
        "label": rng.integers(3, size=4),
        "weak": rng.normal(size=(6, 6, 6, 1)),
        "strong": rng.normal(size=(6, 6, 6, 1)),
    }
    return tf.data.Dataset.from_tensors(batch).repeat()


@pytest.fixture
def build(convolutional):
    """A compiled model with batch normalisation, dropout, momentum, schedules and baseline."""

    def build():
        model = mpl_tf.MetaPseudoLabels(
            convolutional(1), convolutional(2), feedback="sampled", uda_ramp_steps=10
        )

        def optimizer():
            schedule = mpl_tf.WarmupCosine(0.1, steps=20)
            return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)

        model.compile(student_optimizer=optimizer(), teacher_optimizer=optimizer())
        return model

    return build


def state(model):
    optimizers = model.student_optimizer.variables + model.teacher_optimizer.variables
    return [v.numpy() for v in [*model.weights, *optimizers]]


def test_three_steps_and_two_equal_five(build, endless, tmp_path):
    straight = build()
    # Statistics are renewed at the end of a run, once: not by each `fit`.
    straight.fit(endless, steps_per_epoch=5, verbose=0, renew_statistics=False)
    first = build()
    first.fit(endless, steps_per_epoch=3, verbose=0, renew_statistics=False)
    Checkpoints(first, str(tmp_path)).save(3)
    second = build()
    assert Checkpoints(second, str(tmp_path)).restore() == 3
    second.fit(endless, steps_per_epoch=2, verbose=0, renew_statistics=False)
    for a, b in zip(state(straight), state(second), strict=True):
        np.testing.assert_array_equal(a, b)


def every_variable(model):
    window = [v for metric in model.window_metrics for v in metric.variables]
    optimizers = model.student_optimizer.variables + model.teacher_optimizer.variables
    # Seeds of dropout, too.
    others = [v for v in model.variables if not any(v is w for w in window)]
    return [*others, *window, *optimizers]


def test_nothing_is_left_out(build, endless, tmp_path):
    model = build()
    model.fit(endless, steps_per_epoch=3, verbose=0)
    saved = [v.numpy() for v in every_variable(model)]
    checkpoints = Checkpoints(model, str(tmp_path))
    checkpoints.save(3)
    for variable in every_variable(model):
        variable.assign(tf.ones_like(variable) * 7)
    assert checkpoints.restore() == 3
    for variable, value in zip(every_variable(model), saved, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    names = " ".join(v.path for v in every_variable(model))
    for part in (
        "seed_generator_state",
        "momentum",
        "passes",
        "feedback_average",
        "step",
        "totals",
    ):
        assert part in names


@pytest.fixture
def model(linear):
    """A compiled model that takes no time to save; `mark` gives its weights a known value."""
    model = mpl_tf.Supervised(linear(3, 2))
    model.compile(keras.optimizers.SGD(0.1, 0.9))
    return model


def mark(model, value):
    for weight in model.weights:
        weight.assign(tf.ones_like(weight) * value)


def marked(model):
    (value,) = {float(x) for weight in model.weights for x in np.ravel(weight.numpy())}
    return value


def save(model, folder, *steps, keep=2):
    checkpoints = Checkpoints(model, str(folder), keep=keep)
    for step in steps:
        mark(model, step)
        checkpoints.save(step)
    return checkpoints


def names(folder):
    return sorted(os.listdir(folder))


def test_the_newest_are_kept_and_one_is_restored(model, tmp_path):
    assert Checkpoints(model, str(tmp_path)).restore() == 0
    save(model, tmp_path, 2, 4, 10, keep=2)
    assert names(tmp_path) == ["step-10", "step-4"]
    mark(model, 0)
    assert Checkpoints(model, str(tmp_path)).restore() == 10
    assert marked(model) == 10


def test_the_same_step_is_written_once(model, tmp_path):
    save(model, tmp_path, 2)
    again = Checkpoints(model, str(tmp_path))
    again.restore()
    before = (tmp_path / "step-2").stat().st_ino
    again.save(2)
    assert (tmp_path / "step-2").stat().st_ino == before


class Killed(BaseException):
    """Stands for a kill: no call after it has an effect, that of tidying up neither."""


def test_a_kill_at_any_moment_leaves_a_usable_checkpoint(model, tmp_path, monkeypatch):
    """Each time one call further: before it, and, for what writes, with half a file written."""
    calls = [(os, "makedirs"), (os, "rename"), (os, "replace"), (shutil, "rmtree"), (files, "sync")]
    calls += [(files, "write_json"), (tf.train.Checkpoint, "write")]

    def save_until(limit):
        count = 0

        def counted(original, name):
            def call(*arguments, **keywords):
                nonlocal count
                count += 1
                if count >= limit:
                    if count == limit and name == "write":
                        original(*arguments, **keywords)
                        data = f"{arguments[1]}.data-00000-of-00001"
                        os.truncate(data, os.path.getsize(data) // 2)
                    raise Killed
                return original(*arguments, **keywords)

            return call

        folder = tmp_path / str(limit)
        save(model, folder, 2, 4, keep=2)
        with monkeypatch.context() as patch:
            for owner, name in calls:
                patch.setattr(owner, name, counted(getattr(owner, name), name))
            try:
                save(model, folder, 6, keep=2)
                ended = True
            except Killed:
                ended = False
        mark(model, 0)
        step = Checkpoints(model, str(folder)).restore()
        assert step in ((6,) if ended else (4, 6))
        assert marked(model) == step
        save(model, folder, 8, keep=2)
        kept = names(folder)
        assert "step-8" in kept and len(kept) == 2 and not any("partial" in name for name in kept)
        return ended, step

    outcomes = []
    while not outcomes or not outcomes[-1][0]:
        outcomes.append(save_until(len(outcomes) + 1))
    steps = [step for _, step in outcomes]
    assert len(steps) > 8
    assert steps == sorted(steps)  # the old one up to one moment, and from then on the new one
    assert steps[0] == 4


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def leave_out(path, name):
    content = json.loads(path.read_text())
    del content[name]
    path.write_text(json.dumps(content))


DAMAGE = {
    "data cut short": lambda step: os.truncate(step / "state.data-00000-of-00001", 20),
    "data flipped": lambda step: flip(step / "state.data-00000-of-00001"),
    "data empty": lambda step: os.truncate(step / "state.data-00000-of-00001", 0),
    "index flipped": lambda step: flip(step / "state.index"),
    "index missing": lambda step: (step / "state.index").unlink(),
    "digests missing": lambda step: (step / "digests.json").unlink(),
    "digests no JSON": lambda step: os.truncate(step / "digests.json", 9),
    "digests flipped": lambda step: flip(step / "digests.json"),
    "digests no object": lambda step: (step / "digests.json").write_text("[]"),
    "digests of nothing": lambda step: (step / "digests.json").write_text("{}"),
    "digests are numbers": lambda step: (step / "digests.json").write_text('{"state.index": 3}'),
    "digests leave one out": lambda step: leave_out(step / "digests.json", "state.index"),
    "a pipe": lambda step: [(step / "state.index").unlink(), os.mkfifo(step / "state.index")],
    "everything missing": lambda step: [file.unlink() for file in step.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(model, tmp_path, damage, messages):
    save(model, tmp_path, 2, 4)
    DAMAGE[damage](tmp_path / "step-4")
    mark(model, 0)
    checkpoints = Checkpoints(model, str(tmp_path))
    assert checkpoints.restore() == 2
    assert marked(model) == 2
    assert f"cannot be used, {tmp_path / 'step-4'}: " in messages(logging.WARNING)
    assert names(tmp_path) == ["step-2", "step-4"]
    checkpoints.save(3)  # the damaged one is in the future now
    assert names(tmp_path) == ["step-2", "step-3"]


def test_a_checkpoint_is_of_the_step_that_it_was_written_at(model, tmp_path, messages):
    """Whatever its folder is called: a run would go on at a step that it has never come to."""
    save(model, tmp_path, 2, 4)
    os.rename(tmp_path / "step-4", tmp_path / "step-99999")
    assert Checkpoints(model, str(tmp_path)).restore() == 2
    assert "it is of another step than its name says" in messages(logging.WARNING)


def test_a_checkpoint_beyond_the_last_step_is_of_another_run(model, tmp_path, messages):
    save(model, tmp_path, 2, 9)
    assert Checkpoints(model, str(tmp_path)).restore(9) == 9
    assert Checkpoints(model, str(tmp_path)).restore(8) == 2
    assert "step-9: it is of step 9, and there are 8" in messages(logging.WARNING)
    with pytest.raises(CheckpointError, match="it is of step 2, and there are 1"):
        Checkpoints(model, str(tmp_path)).restore(1)


def test_without_a_usable_checkpoint_nothing_is_deleted(model, tmp_path):
    save(model, tmp_path, 2, 4)
    for name in ("step-2", "step-4"):
        flip(tmp_path / name / "state.index")
    with pytest.raises(CheckpointError, match=r"step-4: state.index is damaged.*step-2") as error:
        Checkpoints(model, str(tmp_path)).restore()
    assert "remove that folder" in str(error.value)
    assert names(tmp_path) == ["step-2", "step-4"]


def test_a_checkpoint_of_another_network_is_refused(model, linear, tmp_path):
    save(model, tmp_path, 2)
    other = mpl_tf.Supervised(linear(4, 2))
    other.compile(keras.optimizers.SGD(0.1, 0.9))
    with pytest.raises(CheckpointError, match=r"step-2: .*shape"):
        Checkpoints(other, str(tmp_path)).restore()


def test_a_full_disk_is_named_and_costs_nothing(model, tmp_path):
    """The system itself refuses: files may not grow beyond a few bytes for a moment."""
    checkpoints = save(model, tmp_path, 2, keep=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    mark(model, 4)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"step 4 .*: File too large\."):
            checkpoints.save(4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["step-2"]
    assert Checkpoints(model, str(tmp_path)).restore() == 2
    assert marked(model) == 2
    checkpoints.save(4)  # there is room again
    assert names(tmp_path) == ["step-4"]
