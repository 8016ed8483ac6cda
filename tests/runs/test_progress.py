"""How far a run is, and how long it will take, in words."""

import logging
import types

import pytest

from mpl_tf import console
from mpl_tf.runs import progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.04 seconds"),
        (1, "1 second"),
        (42.3, "42 seconds"),
        (60, "1 minute"),
        (150, "2.5 minutes"),
        (3600 * 5, "5 hours"),
        (86_400 * 17.2, "17 days"),
        (86_400 * 1234, "1234 days"),
    ],
)
def test_a_duration_is_said_to_two_digits(seconds, text):
    assert console.duration(seconds) == text


def test_the_bar_shows_the_loss_of_training_and_names_what_is_of_validation():
    logs = {"student_loss": 1.0, "val_student_accuracy": 0.5, "val_student_cross_entropy": 9.0}
    logs["pseudo_label_accuracy"] = 0.1
    line = progress.headline(logs, networks=["student", "ema"])
    assert line == {"student_loss": 1.0, "val_student_accuracy": 0.5}


@pytest.fixture
def run(monkeypatch):
    """run(forecast, calls, seconds, steps): calls of Keras, each of so many steps and seconds."""
    now = [0.0]
    clock = types.SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(progress, "time", clock)

    def take(forecast, calls, seconds, steps=1, verbose=2):
        forecast.set_params({"verbose": verbose})
        forecast.on_epoch_begin(0)
        for call in range(calls):
            forecast.on_train_batch_begin(call * steps)
            now[0] += seconds if call else 100.0  # the first call is traced
            forecast.on_train_batch_end(call * steps + steps - 1)
            now[0] += 50.0  # an evaluation

    return take


def test_a_start_says_how_long_it_will_take(run, messages):
    forecast = progress.Forecast("train", total=1021)
    run(forecast, calls=20, seconds=0.5)
    assert not messages(logging.INFO)
    assert forecast.seconds_left() == 1001 * 0.5
    forecast = progress.Forecast("train", total=1021)
    run(forecast, calls=25, seconds=0.5)
    line = "train: 8.3 minutes for the next 1,000 steps, at 0.5 seconds a step"
    assert messages(logging.INFO) == line


def test_slow_steps_are_told_of_early_and_a_run_of_days_is_warned_of(run, messages):
    forecast = progress.Forecast("round_1", total=300_000, offset=1000)
    run(forecast, calls=3, seconds=10)
    warned = messages(logging.WARNING)
    assert warned.startswith(
        "round_1: 35 days for the next 298,997 steps, at 10 seconds a step. Few"
    )


def test_steps_that_run_together_share_their_time(run):
    forecast = progress.Forecast("train", total=1000)
    run(forecast, calls=3, seconds=2, steps=4)
    assert forecast.seconds_left() == (1000 - 12) * 0.5


def test_the_first_line_says_that_the_first_step_is_compiled(run, messages):
    forecast = progress.Forecast("train", total=100)
    bar = progress.Progress(forecast)
    bar.set_params({"verbose": 2, "epochs": 2, "steps": 50})
    bar.on_epoch_begin(0)
    run(forecast, calls=50, seconds=1)
    bar.on_epoch_begin(1)
    first, *_, second = messages(logging.INFO).splitlines()
    assert first == "train: steps 1 to 50 of 100; the first takes longest, it is compiled"
    assert second == "train: steps 51 to 100 of 100, 50 seconds left"


def test_one_step_alone_says_nothing_and_neither_does_a_quiet_process(run, messages):
    forecast = progress.Forecast("train", total=10)
    run(forecast, calls=1, seconds=1)
    assert forecast.seconds_left() is None
    run(progress.Forecast("train", total=10**6), calls=30, seconds=100, verbose=0)
    assert not messages(logging.WARNING)
