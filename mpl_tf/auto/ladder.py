"""Candidates under a budget of time, one after the other, and a journal of what is done."""

import contextlib
import dataclasses
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypedDict

from mpl_tf import console, files
from mpl_tf.options import ConfigError

JOURNAL = "journal.json"
_DIGEST = re.compile("[0-9a-f]{16,}")  # says nothing to who reads it


@dataclasses.dataclass(frozen=True)
class Rung:
    """A candidate that may be tried.

    Attributes:
      name: by which it is told from others.
      seconds: what it is expected to take; None if nothing is known, and it is tried.
      delivery: seconds after all candidates that it would take to deliver it.
      always: whether it is tried although no time is left.
    """

    name: str
    seconds: float | None = None
    delivery: float = 0.0
    always: bool = False


class PassedOverError(Exception):
    """A candidate cannot be tried in this start; the message says why."""


class TooLongError(Exception):
    """A candidate turns out not to end in time.

    Args:
      seconds: that it would take in addition.
    """

    def __init__(self, seconds: float):
        super().__init__(seconds)
        self.seconds = seconds


class _Entry(TypedDict):
    seconds: float
    result: dict[str, Any]


class _Content(TypedDict):
    of: dict[str, Any]
    spent: float
    done: dict[str, _Entry]


def begun_with(path: str) -> Mapping[str, Any]:
    """What the results of an earlier start depend on: the `of` of its `Ladder`.

    Args:
      path: folder of the journal.

    Returns:
      Empty if there is no journal that can be read.
    """
    try:
        content: _Content = files.read_json(os.path.join(path, JOURNAL), _Content)
    except ConfigError:
        return {}
    return content["of"]


class Ladder:
    """Which candidates are tried, in order, before the time is over.

    What is done is kept in a journal, whole or not at all, so that an interrupted run continues: it
    goes on with the time that is left and the candidates that are not done. The time of a candidate
    that was interrupted counts, as far as `tick` was called, which `ticking` does.

    Attributes:
      is_late: whether a candidate was passed over in this start because there was no time for it.

    Args:
      path: folder of the journal; it must be there.
      of: name -> value, as JSON has it, of what the results depend on, such as a digest of the
        images, and options. A journal of other values is refused.
      budget: seconds, all starts together.
      clock: gives seconds, of which differences count.
      start: what the clock said when this start began; None is now.

    Raises:
      ConfigError: the journal is damaged, or of something else; the message says of what.
    """

    def __init__(
        self,
        path: str,
        of: Mapping[str, Any],
        budget: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        start: float | None = None,
    ):
        self._file, self._writing = os.path.join(path, JOURNAL), threading.Lock()
        self._budget, self._reserve, self._clock = budget, 0.0, clock
        self.is_late = False
        self._content: _Content = {"of": dict(of), "spent": 0.0, "done": {}}
        if os.path.lexists(self._file):
            self._content = self._read(path)
        self._before = self._content["spent"]
        self._start = clock() if start is None else start

    def _read(self, path: str) -> _Content:
        """The journal that is there, of the same things.

        Raises:
          ConfigError: as of the class.
        """
        way_out = f"Choose another --workdir, or remove {path} to start anew."
        try:
            content: _Content = files.read_json(self._file, _Content)
        except ConfigError as error:
            raise ConfigError(f"{error} {way_out}") from error
        if differences := _differences(content["of"], self._content["of"]):
            raise ConfigError(
                f"{self._file} is of another search: {'; '.join(differences)}. {way_out}"
            )
        return content

    @property
    def spent(self) -> float:
        """Seconds of the budget that are used up, by earlier starts too."""
        return self._before + self._clock() - self._start

    @property
    def over(self) -> float:
        """Seconds that were used beyond the budget, at least 0."""
        return max(0.0, self.spent - self._budget)

    @property
    def left(self) -> float:
        """Seconds for candidates, at least 0: delivering what is done has its own."""
        return max(0.0, self._budget - self._reserve - self.spent)

    @property
    def results(self) -> Mapping[str, dict[str, Any]]:
        """Name -> result of each candidate that is done, in the order in which they were."""
        return {name: entry["result"] for name, entry in self._content["done"].items()}

    @property
    def seconds(self) -> Mapping[str, float]:
        """Name -> seconds that each candidate took that is done."""
        return {name: entry["seconds"] for name, entry in self._content["done"].items()}

    def climb(
        self, rungs: Iterable[Rung], attempt: Callable[[str], dict[str, Any]]
    ) -> Iterator[tuple[Rung, str]]:
        """Tries candidates in order; one that does not fit is passed over, for a quicker one may.

        Args:
          rungs: the candidates. Each is asked for once those before it are done, so that what it
            is expected to take may follow from what they took.
          attempt: name -> what the journal keeps of it, as JSON has it. It may raise TooLongError
            or PassedOverError, and the candidate is passed over. Anything else that it raises ends
            the climb, and the candidate is not done.

        Yields:
          (candidate, "done", "done before", or why it was passed over), as it happens.
        """
        for rung in rungs:
            if rung.name in self._content["done"]:
                self._reserve = max(self._reserve, rung.delivery)
                yield rung, "done before"
                continue
            late = self.left <= 0 or self.short_of(rung.seconds or 0.0, rung.delivery)
            if late and not rung.always:
                self.is_late = True
                yield rung, self._reason(rung)
                continue
            begin = self._clock()
            try:
                result = attempt(rung.name)
            except TooLongError as error:
                self.is_late = True
                yield rung, self._reason(dataclasses.replace(rung, seconds=error.seconds))
                continue
            except PassedOverError as error:
                yield rung, str(error)
                continue
            entry: _Entry = {"seconds": self._clock() - begin, "result": result}
            self._content["done"] = {**self._content["done"], rung.name: entry}
            self._reserve = max(self._reserve, rung.delivery)
            self.tick()
            yield rung, "done"

    def add(self, name: str, result: Mapping[str, Any]) -> None:
        """Adds to the result of a candidate that is done, and writes the journal.

        Raises:
          OSError: it cannot be written.
        """
        entry = self._content["done"][name]
        changed: _Entry = {**entry, "result": {**entry["result"], **result}}
        self._content["done"] = {**self._content["done"], name: changed}
        self.tick()

    def forget(self, name: str) -> None:
        """Has a candidate that is done count as not done; the time that it took stays spent."""
        done = self._content["done"]
        self._content["done"] = {other: done[other] for other in done if other != name}

    def short_of(self, seconds: float, delivery: float) -> bool:
        """Whether there is not enough time for so many seconds and for delivering afterwards.

        Args:
          seconds: for a candidate.
          delivery: seconds that it would take to deliver it.
        """
        return seconds > self.left - max(0.0, delivery - self._reserve)

    def tick(self) -> None:
        """Writes the journal, with the time spent so far.

        Raises:
          OSError: it cannot be written.
        """
        with self._writing:
            self._content["spent"] = self.spent
            files.write_json(self._file, self._content)

    @contextlib.contextmanager
    def ticking(self, every: float = 5.0) -> Iterator[None]:
        """While this lasts, the journal is written every so many seconds, and at the end."""
        stop = threading.Event()

        def tick() -> None:
            while not stop.wait(every):
                with contextlib.suppress(OSError):  # which the next result would tell
                    self.tick()

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            with contextlib.suppress(OSError):
                self.tick()

    def _reason(self, rung: Rung) -> str:
        """Why there is no time for a candidate."""
        left = self.left - max(0.0, rung.delivery - self._reserve)
        if not rung.seconds:
            return "no time is left"
        seconds = console.duration(rung.seconds)
        return f"it takes about {seconds}, and {console.duration(max(left, 0.0))} are left"


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs, in words."""
    missing = "missing"
    lines = []
    for name in dict.fromkeys([*here, *there]):
        one, other = there.get(name, missing), here.get(name, missing)
        if one == other:
            continue
        if all(_DIGEST.fullmatch(str(value)) for value in (one, other)):
            lines.append(f"the {name} are others")
        else:
            lines.append(f"{name} is {_quoted(one)} there and {_quoted(other)} here")
    return lines


def _quoted(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
