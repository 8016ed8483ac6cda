"""Shared by the tests of runs."""

import logging

import pytest

from mpl_tf.console import log


@pytest.fixture
def messages(caplog, monkeypatch):
    """messages(level): what the library has logged at that level since the last call, as text."""
    monkeypatch.setattr(log, "propagate", True)  # which a verb in this process turns off
    caplog.set_level(logging.INFO, logger=log.name)

    def read(level):
        lines = [record.getMessage() for record in caplog.records if record.levelno == level]
        caplog.clear()
        return "\n".join(lines)

    return read
