"""Log, guard and bar between the steps."""

import csv

import pytest

from mpl_tf import callbacks


def rows(tmp_path):
    with open(tmp_path / "metrics.csv", newline="") as file:
        return [(r["phase"], int(r["step"]), r["loss"]) for r in csv.DictReader(file)]


@pytest.fixture
def log(tmp_path):
    log = callbacks.MetricsLog(str(tmp_path), ["loss", "val_accuracy"])
    log.rewind("train", 0)
    yield log
    log.close()


def test_rows_are_there_at_once(log, tmp_path):
    log.write("train", 5, {"loss": 0.5})
    assert rows(tmp_path) == [("train", 5, "0.5")]


def test_a_continued_phase_loses_its_later_rows_alone(log, tmp_path):
    for phase, step in (("train", 5), ("train", 10), ("finetune", 5), ("finetune", 10)):
        log.write(phase, step, {"loss": step})
    log.rewind("train", 10)
    log.rewind("finetune", 5)
    log.write("finetune", 10, {"loss": 7})
    expected = [("train", 5, "5"), ("train", 10, "10"), ("finetune", 5, "5"), ("finetune", 10, "7")]
    assert rows(tmp_path) == expected


def test_float32_values_survive_the_file(log, tmp_path):
    import numpy as np

    value = float(np.float32(0.1234567))
    log.write("train", 1, {"loss": value})
    assert np.float32(rows(tmp_path)[0][2]) == np.float32(value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_with_step_and_name(bad):
    guard = callbacks.StopOnNonFinite("train", start=10)
    guard.on_train_batch_end(0, {"loss": 1.0, "other": 2.0})
    with pytest.raises(callbacks.NonFiniteError, match=r"train step 12: other = "):
        guard.on_train_batch_end(1, {"loss": 1.0, "other": bad})


def test_weights_that_only_the_evaluation_finds_broken_stop_the_run_too():
    guard = callbacks.StopOnNonFinite("train")
    guard.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(callbacks.NonFiniteError, match="train step 1: val_ema_cross_entropy"):
        guard.on_epoch_end(0, {"loss": 1.0, "val_ema_cross_entropy": float("nan")})


def test_the_bar_shows_the_loss_of_training_not_of_validation():
    logs = {"student_loss": 1.0, "val_student_accuracy": 0.5, "val_student_cross_entropy": 9.0}
    logs["pseudo_label_accuracy"] = 0.1
    assert callbacks.Progress._few(logs) == {"student_loss": 1.0, "student_accuracy": 0.5}
