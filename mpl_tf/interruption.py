"""SIGTERM: an exception where a run can stop at once, a question where it has a step to end."""

import contextlib
import signal
import threading


class Terminated(BaseException):
    """SIGTERM has come. As with KeyboardInterrupt, no `except Exception` stands in its way."""


@contextlib.contextmanager
def raised():
    """While this lasts, SIGTERM raises Terminated in the main thread."""

    def handle(number, frame):
        raise Terminated

    with _handler(handle):
        yield


@contextlib.contextmanager
def held_back():
    """While this lasts, SIGTERM is noted and no more; at the end a noted one raises Terminated.

    Yields:
      callable without arguments -> bool, whether SIGTERM has come.
    """
    seen = threading.Event()
    with _handler(lambda number, frame: seen.set()):
        yield seen.is_set
    if seen.is_set():
        raise Terminated


@contextlib.contextmanager
def _handler(function):
    """Installs a handler of SIGTERM for a while; outside the main thread Python allows none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, function)
    try:
        yield
    finally:
        # None: a handler that was not installed from Python and cannot be named.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
