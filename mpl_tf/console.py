"""What the terminal shows: our lines, and Keras's bar."""

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import TypeVar

from absl import logging as absl_logging

# The library's log. `absl.logging.set_verbosity` governs it, too, and by default warnings alone are
# shown; a verb prints all of it, by `start`.
log = absl_logging.get_absl_logger().getChild("mpl_tf")


_UNITS = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


class _Lines(logging.Handler):
    """Prints records as plain lines: information to standard output, warnings to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        show = say if record.levelno < logging.WARNING else complain
        show(record.getMessage())


T = TypeVar("T")
_LINES = _Lines()
_SECONDS = 10.0  # from one line of long work to the next
_hides_bars = False


def start(argv: Sequence[str]) -> None:
    """Prints the library's log, and imports TensorFlow, silently unless asked for its messages.

    TensorFlow writes to the process's standard error while it is imported, before it reads any
    setting, so the file descriptor itself is redirected for that moment. If the import fails,
    what was written is shown.

    What standard output cannot show is written in escapes from here on.

    Args:
      argv: the command line; with `--verbosity`, TensorFlow is not silenced.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as Python does for standard error
    _print_log()
    if any(argument.startswith(("-verbosity", "--verbosity")) for argument in argv):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    with _stderr_redirected():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for accelerators, aloud
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)


def _print_log() -> None:
    log.addHandler(_LINES)  # once, however often
    log.setLevel(logging.INFO)
    log.propagate = False  # some library may give the root logger a handler


@contextlib.contextmanager
def shown(verbose: bool) -> Iterator[None]:
    """While this lasts, the library's log is printed as by a verb; or there are warnings alone.

    Afterwards the log is as it was before.

    Args:
      verbose: whether it is printed. If not, there are no bars either.
    """
    global _hides_bars
    before, hid_bars = (log.level, log.propagate, _LINES in log.handlers), _hides_bars
    if verbose:
        _print_log()
    else:
        log.setLevel(logging.WARNING)
    _hides_bars = not verbose
    try:
        yield
    finally:
        log.setLevel(before[0])
        log.propagate = before[1]
        if not before[2]:
            log.removeHandler(_LINES)
        _hides_bars = hid_bars


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """While this lasts, the library's log says nothing."""
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def default_keras() -> None:
    """Undoes what ~/.keras/keras.json says for other programs: a verb's options say all of it."""
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_epsilon(1e-7)


@contextlib.contextmanager
def _stderr_redirected():
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            file.seek(0)
            sys.stderr.write(file.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def quiet_decoders() -> Iterator[None]:
    """While this lasts, nothing but Python writes to standard error, if TensorFlow is silenced.

    The library that decodes JPEGs tells of damage without naming the file, in the middle of a line.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    sys.stderr.flush()
    stream, stderr = sys.stderr, os.dup(2)
    with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream without a number
        if stream.fileno() == 2:
            sys.stderr = os.fdopen(
                os.dup(2), "w", 1, encoding=stream.encoding, errors="backslashreplace"
            )
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        if sys.stderr is not stream:
            sys.stderr.close()
            sys.stderr = stream
        os.dup2(stderr, 2)
        os.close(stderr)


def printable(name: str) -> str:
    """A name with escapes for what no terminal shows, such as line ends and bytes of no text."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def say(text: str = "") -> None:
    """One line (or more) of ours on standard output, at once."""
    print(text, flush=True)


def bar_mode() -> int:
    """Keras's `verbose`: a moving bar on a terminal, a line an evaluation in a file, or nothing."""
    if _hides_bars:
        return 0
    return 1 if sys.stdout.isatty() else 2


def no_bar() -> bool | None:
    """tqdm's `disable`: True where no bar is asked for; None, by which terminals alone have one."""
    return True if _hides_bars else None


def complain(text: str) -> None:
    """One message on standard error."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[tuple[str, object]]) -> str:
    """Rows of two columns as aligned text, indented by two spaces."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def duration(seconds: float) -> str:
    """A time in words, to two digits: "40 seconds", "2.5 hours"."""
    unit, length = next((u for u in _UNITS if seconds >= u[1]), _UNITS[-1])
    number = float(f"{seconds / length:.2g}")
    number = round(seconds / length) if number >= 10 else number
    return f"{number:g} {unit if number != 1 else unit.removesuffix('s')}"


class Pace:
    """Says of long work how far it is, and how much time is left: a line every ten seconds.

    Args:
      doing: the work, in words.
    """

    def __init__(self, doing: str):
        self._doing = doing
        self._began = self._said = time.perf_counter()

    def tell(self, done: int, total: int | None = None) -> None:
        """Says it, if it is time to.

        Args:
          done: how many there are done.
          total: of how many; None if nobody knows.
        """
        now = time.perf_counter()
        if now - self._said < _SECONDS:
            return
        self._said, text = now, f"{self._doing}: {done:,}"
        if total is not None:
            text += f" of {total:,}"
        if total is not None and done:
            text += f", {duration((now - self._began) * (total - done) / done)} left"
        log.info(text)


def paced(items: Sequence[T], doing: str) -> Iterator[T]:
    """The same items; says how far they are, as `Pace` does.

    Args:
      items: which are done one after the other.
      doing: what is done with them, in words.
    """
    pace = Pace(doing)
    for done, item in enumerate(items):
        pace.tell(done, len(items))
        yield item
