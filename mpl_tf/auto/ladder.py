"""Candidates under a budget of time, one after the other, and a journal of what is done."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from mpl_tf import console, files
from mpl_tf.options import ConfigError

JOURNAL = "journal.json"


@dataclasses.dataclass(frozen=True)
class Rung:
    """A candidate that may be tried.

    Attributes:
      name: by which it is told from others.
      seconds: what it is expected to take; None if nothing is known, and it is tried.
    """

    name: str
    seconds: float | None = None


class _Entry(TypedDict):
    seconds: float
    result: dict[str, Any]


class _Content(TypedDict):
    key: str
    spent: float
    done: dict[str, _Entry]


class Ladder:
    """Which candidates are tried, in order, before the time is over.

    What is done is kept in a journal, whole or not at all, so that an interrupted run continues: it
    goes on with the time that is left and the candidates that are not done. The time of a candidate
    that was interrupted counts, as far as `tick` was called.

    Args:
      path: folder of the journal; it must be there.
      key: what the results depend on, such as a digest of the images and of the options. A journal
        of another key is refused.
      budget: seconds, all starts together.
      reserve: seconds of the budget that are kept for what comes after the candidates.
      clock: gives seconds, of which differences count.

    Raises:
      ConfigError: the journal is damaged, or of another key.
    """

    def __init__(
        self,
        path: str,
        key: str,
        budget: float,
        *,
        reserve: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._file = os.path.join(path, JOURNAL)
        self._budget, self._reserve, self._clock = budget, reserve, clock
        self._content: _Content = {"key": key, "spent": 0.0, "done": {}}
        if os.path.lexists(self._file):
            self._content = files.read_json(self._file, _Content)
            if self._content["key"] != key:
                raise ConfigError(
                    f"{self._file} is of other images or options. Choose another folder, or remove "
                    "what is there."
                )
        self._before, self._start = self._content["spent"], clock()

    @property
    def spent(self) -> float:
        """Seconds of the budget that are used up, by earlier starts too."""
        return self._before + self._clock() - self._start

    @property
    def left(self) -> float:
        """Seconds for candidates, at least 0."""
        return max(0.0, self._budget - self._reserve - self.spent)

    @property
    def results(self) -> Mapping[str, dict[str, Any]]:
        """Name -> result of each candidate that is done, in the order in which they were."""
        return {name: entry["result"] for name, entry in self._content["done"].items()}

    @property
    def seconds(self) -> Mapping[str, float]:
        """Name -> seconds that each candidate took that is done."""
        return {name: entry["seconds"] for name, entry in self._content["done"].items()}

    def fits(self, rung: Rung) -> bool:
        """Whether a candidate can be expected to end in time; some must be left in any case."""
        return self.left > 0 and (rung.seconds or 0.0) <= self.left

    def climb(
        self,
        rungs: Sequence[Rung],
        attempt: Callable[[str], dict[str, Any]],
        expect: Callable[[str, Mapping[str, float]], float | None] | None = None,
    ) -> Iterator[tuple[Rung, str]]:
        """Tries candidates in order; one that does not fit is passed over, for a quicker one may.

        Args:
          rungs: the candidates.
          attempt: name -> what the journal keeps of it, as JSON has it. What it raises ends the
            climb, and the candidate is not done.
          expect: (name, seconds of those that are done) -> what a candidate is expected to take, in
            place of `Rung.seconds`, or None, which leaves that.

        Yields:
          (candidate, "done", "done before", or why it was passed over), as it happens.
        """
        for rung in rungs:
            if rung.name in self._content["done"]:
                yield rung, "done before"
                continue
            expected = expect(rung.name, self.seconds) if expect else None
            if expected is not None:
                rung = dataclasses.replace(rung, seconds=expected)
            if not self.fits(rung):
                yield rung, self._reason(rung)
                continue
            begin = self._clock()
            result = attempt(rung.name)
            entry: _Entry = {"seconds": self._clock() - begin, "result": result}
            self._content["done"][rung.name] = entry
            self.tick()
            yield rung, "done"

    def tick(self) -> None:
        """Writes the journal, with the time spent so far.

        Raises:
          OSError: it cannot be written.
        """
        self._content["spent"] = self.spent
        files.write_json(self._file, self._content)

    def _reason(self, rung: Rung) -> str:
        if not rung.seconds or not self.left:
            return "no time is left"
        return (
            f"it takes about {console.duration(rung.seconds)}, and "
            f"{console.duration(self.left)} are left"
        )
