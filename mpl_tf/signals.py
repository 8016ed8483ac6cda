"""The signals that ask to stop, SIGTERM and Ctrl-C.

They raise at once, or are kept in mind and polled after each step.
"""

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mpl_tf.console import complain

# Seconds after which a signal whose exception was lost raises again.
_AGAIN = 0.5
# The name of the thread that sees to it.
REMINDERS = "reminders of a signal"


class Terminated(BaseException):
    """SIGTERM has come. As with KeyboardInterrupt, no `except Exception` stands in its way."""


class _Raising:
    """What raises at a signal, and again until that has arrived.

    A handler runs wherever the interpreter is. In a callback of the garbage collector or in a
    `__del__` Python ignores what it raises; a library may catch it, or make it another error.
    """

    def __init__(self) -> None:
        self.error: type[BaseException] | None = None
        self._unraisable = sys.unraisablehook
        self._ended, self._reminding = threading.Event(), threading.Lock()
        self._is_reminder = False

    def terminate(self, number: int, frame: Any) -> None:
        """Handles SIGTERM."""
        self._raise(Terminated, number)

    def interrupt(self, number: int, frame: Any) -> None:
        """Handles Ctrl-C."""
        self._raise(KeyboardInterrupt, number)

    def end(self) -> None:
        """No reminder comes after this."""
        with self._reminding:
            self._ended.set()

    def take_reminder(self) -> bool:
        """Whether the signal that is handled is none, but a reminder of one."""
        is_reminder, self._is_reminder = self._is_reminder, False
        return is_reminder

    def again(self) -> None:
        """Raises what was lost; nothing while it is on its way, through the cleaning up."""
        if self.error and not _is_handled(self.error):
            raise self.error

    def report(self, unraisable: Any) -> None:
        """Shows what Python ignores, as `sys.unraisablehook` does, but for what comes again."""
        if self.error is None or not issubclass(unraisable.exc_type, self.error):
            self._unraisable(unraisable)

    def _raise(self, error: type[BaseException], number: int) -> None:
        if self.take_reminder():
            self.again()
            return
        is_first, self.error = self.error is None, error
        if is_first:
            reminders = threading.Thread(None, self._remind, REMINDERS, [number], daemon=True)
            reminders.start()
        raise error

    def _remind(self, number: int) -> None:
        """Has the main thread handle the signal again and again, in a thread of its own."""
        while not self._ended.wait(_AGAIN):
            with self._reminding:
                if not self._ended.is_set():
                    self._is_reminder = True
                    _thread.interrupt_main(signal.Signals(number))


_raising: _Raising | None = None


def _is_handled(error: type[BaseException]) -> bool:
    """Whether an `except`, a `finally` or the end of a `with` is at work on such an exception."""
    handled = sys.exception()
    while handled is not None and not isinstance(handled, error):
        handled = handled.__context__
    return handled is not None


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """While this lasts, SIGTERM raises Terminated in the main thread, and Ctrl-C KeyboardInterrupt.

    They leave this in any case: one that is lost on its way is raised again soon.
    """
    global _raising
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raising, hook, before = _Raising(), sys.unraisablehook, _raising
    with contextlib.ExitStack() as handlers:
        handlers.enter_context(_handler(signal.SIGTERM, raising.terminate))
        # A shell has it ignored in what runs in the background.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            handlers.enter_context(_handler(signal.SIGINT, raising.interrupt))
        sys.unraisablehook, _raising = raising.report, raising
        try:
            yield
        except BaseException as error:
            if raising.error is None or isinstance(error, raising.error):
                raise
            raise raising.error from error
        finally:
            raising.end()
            sys.unraisablehook, _raising = hook, before
        raising.again()


class Stop:
    """Whether a signal has asked to stop.

    Attributes:
      error: Terminated after SIGTERM, KeyboardInterrupt after Ctrl-C, None before.
    """

    def __init__(self) -> None:
        self.error: type[BaseException] | None = None

    def __call__(self) -> bool:
        return self.error is not None

    def terminate(self, number: int, frame: Any) -> None:
        """Handles SIGTERM."""
        if not (_raising and _raising.take_reminder()):
            self.error = Terminated

    def interrupt(self, number: int, frame: Any) -> None:
        """Handles Ctrl-C; the second one does not wait."""
        if _raising and _raising.take_reminder():
            return
        if self():
            raise KeyboardInterrupt
        self.error = KeyboardInterrupt
        complain("\nStopping after this step; Ctrl-C again stops at once.")


@contextlib.contextmanager
def held_back() -> Iterator[Stop]:
    """While this lasts, SIGTERM and the first Ctrl-C are kept in mind, and raised at the end.

    One that came before and was lost is raised at once.

    Yields:
      What tells whether a signal has come.
    """
    stop = Stop()
    with _handler(signal.SIGTERM, stop.terminate), _handler(signal.SIGINT, stop.interrupt):
        if _raising:
            _raising.again()
        yield stop
    if stop.error:
        raise stop.error


@contextlib.contextmanager
def _handler(number: int, function: Callable[[int, Any], None]) -> Iterator[None]:
    """Installs a handler of a signal for a while; outside the main thread Python allows none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, function)
    try:
        yield
    finally:
        # None: a handler that was not installed from Python and cannot be named.
        signal.signal(number, signal.SIG_DFL if before is None else before)
