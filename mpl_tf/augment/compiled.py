"""Which form views are traced in: TensorFlow's fastest on a CPU, or one that XLA compiles."""

import contextlib
import threading
from collections.abc import Iterator

_STATE = threading.local()


@contextlib.contextmanager
def for_xla() -> Iterator[None]:
    """Inside, views are traced in forms that XLA compiles.

    Shapes are static and no operation is the CPU's alone. Values are the same, but for the last bit
    of a fraction before it is rounded.
    """
    before = is_for_xla()
    _STATE.is_for_xla = True
    try:
        yield
    finally:
        _STATE.is_for_xla = before


def is_for_xla() -> bool:
    """Whether this thread is inside `for_xla`."""
    return getattr(_STATE, "is_for_xla", False)
