"""Paired differences: means, intervals, tests."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from scipy import stats


@dataclasses.dataclass(frozen=True)
class Paired:
    """What differences of pairs say.

    Attributes:
      mean: of the differences.
      half: half the width of its 95% interval, by the t-distribution; NaN of a single pair.
      p: of the two-sided paired t-test; 1 where no pair differs, NaN of a single pair.
      better, differ: pairs whose difference is above 0; other than 0.
      sign_p: of the two-sided sign test, in which pairs that do not differ do not count.
    """

    mean: float
    half: float
    p: float
    better: int
    differ: int
    sign_p: float


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Differences `ours - theirs`.

    Args:
      ours, theirs: at least one value each, of which those at the same place are a pair.
    """
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, better = statistics.mean(gains), sum(gain > 0 for gain in gains)
    differ = sum(gain != 0 for gain in gains)
    if len(gains) == 1:
        half = p = math.nan
    elif statistics.stdev(gains) > 0:
        half = float(stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains))
        p = float(stats.ttest_1samp(gains, 0).pvalue)
    else:
        half, p = 0.0, 0.0 if mean else 1.0
    sign_p = float(stats.binomtest(better, differ).pvalue) if differ else 1.0
    return Paired(mean, half, p, better, differ, sign_p)
