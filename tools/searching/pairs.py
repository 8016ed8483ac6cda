"""Paired differences: means, intervals, tests."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from scipy import stats

from comparing.paired import interval, p_value


@dataclasses.dataclass(frozen=True)
class Paired:
    """What differences of pairs say.

    Attributes:
      mean: of the differences.
      half: half the width of its 95% interval, by the t-distribution; NaN where there is no p.
      p: of the two-sided paired t-test; None where it tells nothing (see `p_value`).
      better, differ: pairs whose difference is above 0; other than 0.
      sign_p: of the two-sided sign test, in which pairs that do not differ do not count.
    """

    mean: float
    half: float
    p: float | None
    better: int
    differ: int
    sign_p: float


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Differences `ours - theirs`.

    Args:
      ours, theirs: at least one value each, of which those at the same place are a pair.
    """
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    better, differ = sum(gain > 0 for gain in gains), sum(gain != 0 for gain in gains)
    sign_p = float(stats.binomtest(better, differ).pvalue) if differ else 1.0
    p = p_value(gains)
    half = math.nan if p is None else float(interval(gains))  # of which a picture draws none
    return Paired(statistics.mean(gains), half, p, better, differ, sign_p)
