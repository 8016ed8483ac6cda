"""Signals that ask to stop: at once or after the step, and whatever swallows what they raise."""

import contextlib
import os
import signal
import sys
import threading
import time

import pytest

from mpl_tf import signals


def terminate(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
    signal.getsignal(signal.SIGTERM)  # handlers run between two operations of the interpreter


@pytest.fixture(autouse=True)
def unchanged():
    # A shell that starts tests in the background has them ignore Ctrl-C.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
        assert {number: signal.getsignal(number) for number in before} == before
    finally:
        signal.signal(signal.SIGINT, usual)


def test_it_is_raised_at_once():
    with pytest.raises(signals.Terminated), signals.raised():
        try:
            terminate()
        except Exception:  # a library that tries again, say
            pytest.fail("swallowed")
        pytest.fail("not raised")


def test_it_is_held_back_until_the_end_and_can_be_asked_for():
    seen = []
    with signals.raised():
        with pytest.raises(signals.Terminated), signals.held_back() as asked:
            seen.append(asked())
            terminate()
            terminate()
            seen.append(asked())
        with signals.held_back() as asked:  # nothing is left over
            seen.append(asked())
    assert seen == [False, True, False]


def test_the_first_interrupt_waits_and_the_second_does_not(capsys):
    after = []
    with pytest.raises(KeyboardInterrupt), signals.held_back() as asked:
        terminate(signal.SIGINT)
        after.append(asked())
    assert after == [True]
    assert capsys.readouterr().err == "\nStopping after this step; Ctrl-C again stops at once.\n"
    with pytest.raises(KeyboardInterrupt), signals.held_back():
        terminate(signal.SIGINT)
        terminate(signal.SIGINT)
        pytest.fail("not raised")
    with pytest.raises(KeyboardInterrupt), signals.held_back():  # whichever came first
        terminate(signal.SIGTERM)
        terminate(signal.SIGINT)
        pytest.fail("not raised")


def test_another_error_is_not_hidden_by_it():
    with pytest.raises(KeyError), signals.held_back():
        terminate()
        raise KeyError


def test_other_threads_run_without_it():
    asked = []

    def work():
        with signals.raised(), signals.held_back() as question:
            asked.append(question())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]


class Swallowing:
    """Python ignores what is raised while it goes."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        terminate(self.number)


def in_a_finalizer(number):
    Swallowing(number)


def by_a_library(number):
    with contextlib.suppress(BaseException):
        terminate(number)


def as_another_error(number):
    try:
        terminate(number)
    except BaseException as error:
        raise RuntimeError from error


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(signals, "_AGAIN", 0.02)
    yield
    for thread in threading.enumerate():
        if thread.name == signals.REMINDERS:
            thread.join(1)
            assert not thread.is_alive()


BOTH = pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGTERM, signals.Terminated), (signal.SIGINT, KeyboardInterrupt)],
)


@BOTH
@pytest.mark.parametrize("swallow", [in_a_finalizer, by_a_library])
def test_what_is_lost_is_raised_again_soon(number, error, swallow, soon, capsys):
    end = time.monotonic() + 2
    with pytest.raises(error), signals.raised():
        for _ in range(3):
            swallow(number)
        while time.monotonic() < end:
            time.sleep(0.01)
    assert time.monotonic() < end
    assert capsys.readouterr().err == ""


@BOTH
@pytest.mark.parametrize("swallow", [in_a_finalizer, by_a_library, as_another_error])
def test_what_is_lost_is_raised_at_the_end_at_the_latest(number, error, swallow):
    with pytest.raises(error), signals.raised():
        swallow(number)


def test_what_is_lost_is_raised_before_signals_are_held_back():
    begun = []
    with pytest.raises(signals.Terminated), signals.raised():
        by_a_library(signal.SIGTERM)
        with signals.held_back():
            begun.append(True)
    assert not begun


@contextlib.contextmanager
def cleaned_up(steps):
    try:
        yield
    finally:
        for step in range(3):
            time.sleep(0.03)
            steps.append(step)
        with contextlib.suppress(KeyError):
            {}["x"]
        time.sleep(0.03)
        steps.append("last")


def test_it_does_not_come_again_while_there_is_cleaning_up(soon):
    steps = []
    with pytest.raises(signals.Terminated), signals.raised(), cleaned_up(steps):
        terminate()
    assert steps == [0, 1, 2, "last"]


def test_other_errors_that_python_ignores_are_shown(soon, capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)

    class Broken:
        def __del__(self):
            raise KeyError("of a library")

    with pytest.raises(signals.Terminated), signals.raised():
        Broken()
        in_a_finalizer(signal.SIGTERM)
        Broken()
    shown = capsys.readouterr().err
    assert shown.count("KeyError: 'of a library'") == 2
    assert "Terminated" not in shown


def test_an_ignored_interrupt_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.raised():
            terminate(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
