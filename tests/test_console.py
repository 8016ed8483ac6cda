"""What is printed of the log."""

import logging
import os
import subprocess
import sys

import pytest

from mpl_tf import console


def test_the_librarys_log_is_quiet_until_a_verb_starts():
    code = """
from absl import logging
from mpl_tf import console

console.log.info("unseen")
console.log.warning("a warning")
logging.set_verbosity(logging.ERROR)
console.log.warning("silenced")
console.start(["--verbosity=0"])
console.start(["--verbosity=0"])
console.log.info("a line")
console.log.warning("another warning")
"""
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout == "a line\n"
    assert process.stderr == "a warning\nanother warning\n"


@pytest.fixture
def fresh_log(monkeypatch):
    """The log as it is before any verb has started."""
    level = console.log.level
    monkeypatch.setattr(console.log, "handlers", [])
    monkeypatch.setattr(console.log, "propagate", True)
    console.log.setLevel(logging.NOTSET)
    yield
    console.log.setLevel(level)


@pytest.mark.parametrize("verbose", [True, False])
@pytest.mark.usefixtures("fresh_log")
def test_the_log_is_shown_for_a_while(verbose, capsys):
    with pytest.raises(KeyError), console.shown(verbose):
        console.log.info("a line")
        assert console.no_bar() is (None if verbose else True)
        assert bool(console.bar_mode()) == verbose
        raise KeyError
    console.log.info("unseen")
    assert capsys.readouterr().out == ("a line\n" if verbose else "")
    log = console.log
    assert (log.handlers, log.propagate, log.level) == ([], True, logging.NOTSET)
    assert console.no_bar() is None and console.bar_mode()


@pytest.mark.usefixtures("fresh_log")
def test_a_log_that_a_verb_prints_is_printed_afterwards_too(capsys):
    with console.shown(True):
        with console.shown(False):
            console.log.info("unseen")
        console.log.info("a line")
    assert capsys.readouterr().out == "a line\n"


def test_decoders_are_silenced_and_our_lines_are_not(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with open(2, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with console.quiet_decoders():
            os.write(2, b"Corrupt JPEG data\n")
            console.complain("ours")
        assert sys.stderr is stream
        os.write(2, b"after\n")
    assert capfd.readouterr().err == "ours\nafter\n"


def test_decoders_are_heard_where_tensorflow_is(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with console.quiet_decoders():
        os.write(2, b"Corrupt JPEG data\n")
    assert capfd.readouterr().err == "Corrupt JPEG data\n"


def test_what_no_terminal_shows_is_escaped():
    assert console.printable("a b\u00e9") == "a b\u00e9"
    assert console.printable("a\n\x1b[2J\udcff") == "a\\n\\x1b[2J\\udcff"


def test_standard_output_escapes_what_it_cannot_show():
    code = r"from mpl_tf import console; console.start([]); console.say('\u00e9 \udcff')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, env=environment, check=True).stdout
    assert output == b"\\xe9 \\udcff\n"
