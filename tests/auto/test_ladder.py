"""Candidates keep to their time, and an interrupted ladder continues. The clock is a number."""

import json
import os
import time

import pytest

from mpl_tf.auto.ladder import JOURNAL, Ladder, Rung, TooLongError
from mpl_tf.options import ConfigError


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def climb(ladder, clock, durations, rungs=None):
    """(name, words) of each rung; an attempt takes its duration, or is interrupted if negative."""

    def attempt(name):
        clock.now += abs(durations[name])
        if durations[name] < 0:
            raise KeyboardInterrupt
        return {"accuracy": len(name)}

    rungs = rungs or [Rung(name, abs(seconds)) for name, seconds in durations.items()]
    return [(rung.name, words) for rung, words in ladder.climb(rungs, attempt)]


def test_what_does_not_fit_is_passed_over_and_a_quicker_one_tried(tmp_path, clock):
    ladder = Ladder(str(tmp_path), {"seed": 0}, 90, clock=clock)
    tried = climb(ladder, clock, {"a": 30, "slow": 61, "b": 55, "c": 10})
    assert tried == [
        ("a", "done"),
        ("slow", "it takes about 1 minute, and 1 minute are left"),
        ("b", "done"),
        ("c", "it takes about 10 seconds, and 5 seconds are left"),
    ]
    assert clock.now - 1000 == ladder.spent == 85 and ladder.is_late
    assert (dict(ladder.seconds), ladder.left) == ({"a": 30, "b": 55}, 5)
    assert ladder.results["a"] == {"accuracy": 1}
    assert ladder.over == 0
    clock.now += 12
    assert ladder.over == 7


def test_nothing_starts_when_the_time_is_over(tmp_path, clock):
    ladder = Ladder(str(tmp_path), {"seed": 0}, 20, clock=clock)
    rungs = [Rung("a", 5), Rung("unknown"), Rung("c")]
    tried = climb(ladder, clock, {"a": 5, "unknown": 40, "c": 1}, rungs)
    assert tried == [("a", "done"), ("unknown", "done"), ("c", "no time is left")]
    assert ladder.left == 0


def test_what_was_measured_tells_what_to_expect(tmp_path, clock):
    ladder = Ladder(str(tmp_path), {"seed": 0}, 50, clock=clock)

    def rungs():
        yield Rung("a", 5)
        yield Rung("b", 2 * ladder.seconds["a"])
        yield Rung("c", 5)

    tried = climb(ladder, clock, {"a": 20, "b": 1, "c": 1}, rungs())
    assert tried[1] == ("b", "it takes about 40 seconds, and 30 seconds are left")
    assert tried[2] == ("c", "done")


def test_there_is_time_to_deliver_each_that_is_done(tmp_path, clock):
    """Whichever is the best: the time of the slowest is kept."""
    ladder = Ladder(str(tmp_path), {"seed": 0}, 100, clock=clock)
    rungs = [Rung("a", 10, 30), Rung("b", 35, 20), Rung("c", 20, 40), Rung("d", 30, 5)]
    durations = {"a": 10, "b": 35, "c": 20, "d": 30}
    tried = climb(ladder, clock, durations, rungs)
    assert tried == [
        ("a", "done"),
        ("b", "done"),
        ("c", "it takes about 20 seconds, and 15 seconds are left"),
        ("d", "it takes about 30 seconds, and 25 seconds are left"),
    ]
    again = Ladder(str(tmp_path), {"seed": 0}, 100, clock=clock)
    assert again.left == 55
    assert climb(again, clock, durations, rungs[:1]) == [("a", "done before")]
    assert again.left == 25 and not again.short_of(25, 30) and again.short_of(20, 40)


def test_what_turns_out_to_be_slow_is_given_up(tmp_path, clock):
    ladder = Ladder(str(tmp_path), {"seed": 0}, 50, clock=clock)

    def attempt(name):
        clock.now += 10
        if name == "slow":
            raise TooLongError(70.0)
        return {}

    tried = list(ladder.climb([Rung("slow", 5), Rung("a", 5)], attempt))
    assert [words for _, words in tried] == [
        "it takes about 1.2 minutes, and 40 seconds are left",
        "done",
    ]
    assert list(ladder.results) == ["a"] and ladder.spent == 20


def test_time_counts_while_nothing_ends(tmp_path, clock):
    """As of a process that is killed while it computes features."""
    ladder = Ladder(str(tmp_path), {"seed": 0}, 100, clock=clock, start=clock.now - 7)
    with ladder.ticking(every=0.01):
        clock.now += 30
        deadline = time.monotonic() + 5
        while not (tmp_path / JOURNAL).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert json.loads((tmp_path / JOURNAL).read_text())["spent"] == 37
        clock.now += 3
    assert json.loads((tmp_path / JOURNAL).read_text())["spent"] == 40


def test_an_interrupted_ladder_continues(tmp_path, clock):
    durations = {"a": 30, "b": -20, "c": 10}
    first = Ladder(str(tmp_path), {"seed": 0}, 100, clock=clock)
    with pytest.raises(KeyboardInterrupt):
        climb(first, clock, durations)
    first.tick()  # what a run does from time to time
    clock.now += 5000
    again = Ladder(str(tmp_path), {"seed": 0}, 100, clock=clock)
    assert again.spent == 50 and dict(again.results) == {"a": {"accuracy": 1}}
    tried = climb(again, clock, durations | {"b": 35})
    assert tried == [("a", "done before"), ("b", "done"), ("c", "done")]
    assert again.spent == 95
    assert list(Ladder(str(tmp_path), {"seed": 0}, 100, clock=clock).results) == ["a", "b", "c"]


def test_a_killed_ladder_has_what_it_wrote(tmp_path, clock):
    climb(Ladder(str(tmp_path), {"seed": 0}, 100, clock=clock), clock, {"a": 30})
    assert os.listdir(tmp_path) == [JOURNAL]
    content = json.loads((tmp_path / JOURNAL).read_text())
    assert content["spent"] == 30 and content["done"]["a"]["seconds"] == 30


A, B = 2 * "0123456789abcdef", 2 * "fedcba9876543210"


@pytest.mark.parametrize(
    ("there", "here", "message"),
    [
        (
            {"seed": 0, "size": 9},
            {"seed": 1, "size": 9},
            "another search: seed is 0 there and 1 here. ",
        ),
        (
            {"network": "", "images": A},
            {"network": "small", "images": B},
            'network is "" there and small here; the images are others. ',
        ),
        ({"program": "0.1"}, {"program": "0.2"}, "program is 0.1 there and 0.2 here. "),
        ({}, {"skip": True}, "skip is missing there and true here. "),
    ],
)
def test_a_journal_of_something_else_is_refused_by_what_differs(
    tmp_path, clock, there, here, message
):
    Ladder(str(tmp_path), there, 100, clock=clock).tick()
    before = (tmp_path / JOURNAL).read_text()
    with pytest.raises(ConfigError) as caught:
        Ladder(str(tmp_path), here, 100, clock=clock)
    way_out = f"Choose another --workdir, or remove {tmp_path} to start anew."
    assert str(caught.value).endswith(message + way_out)
    assert (tmp_path / JOURNAL).read_text() == before


@pytest.mark.parametrize("text", ['{"of": {}, "spent": "x", "done": {}}', '{"key": "k"}', "no"])
def test_a_journal_of_another_form_is_refused_with_a_way_out(tmp_path, clock, text):
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(
        ConfigError, match=r"(damaged|cannot be read).*Choose another --workdir, or"
    ):
        Ladder(str(tmp_path), {}, 100, clock=clock)


def test_what_is_always_tried_has_its_seconds_without_time_left(tmp_path, clock):
    ladder = Ladder(str(tmp_path), {}, 20, clock=clock, start=clock.now - 30)
    rungs = [Rung("sure", 500, always=True), Rung("a", 1)]
    tried = climb(ladder, clock, {"sure": 4, "a": 1}, rungs)
    words = "it takes about 1 second, and 0 seconds are left"
    assert tried == [("sure", "done"), ("a", words)] and ladder.is_late
    assert dict(ladder.seconds) == {"sure": 4}


def test_a_result_is_added_to(tmp_path, clock):
    ladder = Ladder(str(tmp_path), {}, 20, clock=clock)
    climb(ladder, clock, {"a": 4})
    ladder.add("a", {"failed": "why"})
    again = Ladder(str(tmp_path), {}, 20, clock=clock)
    assert again.results["a"] == {"accuracy": 1, "failed": "why"} and again.seconds["a"] == 4
