"""A training whose data service does not answer says so, once a step; others say nothing."""

import logging
import threading
import time

import pytest

from mpl_tf.options import ConfigError
from mpl_tf.runs import service_watch


@pytest.fixture
def asked(monkeypatch):
    """Times that the service was asked, which does not answer; looked at all the time."""
    times = []

    def ask(address):
        times.append(address)
        raise ConfigError(f"{address} does not answer.")

    monkeypatch.setattr(service_watch.service, "check_answers", ask)
    monkeypatch.setattr(service_watch, "_PATIENCE", 0.01)
    return times


def wait_for(true):
    patience = time.monotonic() + 20
    while not true() and time.monotonic() < patience:
        time.sleep(0.005)
    assert true()


def test_of_a_step_that_waits_a_warning_says_once_what_ends_it(asked, messages):
    with service_watch.watched("host:1") as (steps,):
        for step in range(2):
            steps.on_train_batch_begin(step)
            wait_for(lambda: len(asked) > step)  # noqa: B023
            time.sleep(0.1)
            steps.on_train_batch_end(step)
    assert asked == ["host:1"] * 2
    warnings = messages(logging.WARNING).splitlines()
    assert len(warnings) == 2
    assert warnings[0].startswith("host:1 does not answer. The training waits for it, and hears no")
    assert "the same command continues from the last checkpoint" in warnings[0]


def test_a_long_step_of_a_service_that_answers_is_no_reason_for_a_warning(monkeypatch, messages):
    asked = []
    monkeypatch.setattr(service_watch.service, "check_answers", asked.append)
    monkeypatch.setattr(service_watch, "_PATIENCE", 0.01)
    with service_watch.watched("host:1") as (steps,):
        steps.on_train_batch_begin(0)
        wait_for(lambda: asked)
        time.sleep(0.2)
    assert asked == ["host:1"]  # each question is work for the service
    assert not messages(logging.WARNING)


def test_between_steps_nobody_asks_and_in_the_end_no_thread_is_left(asked):
    before = threading.active_count()
    with service_watch.watched("host:1") as (steps,):
        steps.on_train_batch_begin(0)
        steps.on_train_batch_end(0)
        time.sleep(0.1)
    assert not asked
    wait_for(lambda: threading.active_count() <= before)


def test_without_a_service_nothing_is_watched():
    with service_watch.watched("") as callbacks:
        assert callbacks == []
