"""Seeds of two methods paired: differences, their intervals and tests."""

import statistics
from collections.abc import Mapping, Sequence

from scipy import stats

# A difference with a smaller p-value is called more than noise.
LEVEL = 0.05
_SAME = 1e-9  # percent, below which accuracies differ by rounding alone


def spread(values: Sequence[float]) -> float:
    """Standard deviation of a sample; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def interval(values: Sequence[float]) -> float:
    """Half the width of the 95% t-interval of the mean; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    return stats.t.ppf(0.975, len(values) - 1) * spread(values) / len(values) ** 0.5


def differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Ours less theirs, of each seed that both have.

    Args:
      ours, theirs: dict of seed -> accuracy.
    """
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def p_value(values: Sequence[float]) -> float | None:
    """p-value of a two-sided t-test of the mean of differences against 0.

    Returns:
      float; None with fewer than two, and where all are the same, which tells nothing of their
      spread. 1 where none differs from 0.
    """
    if len(values) < 2:
        return None
    if spread(values) < _SAME:
        return 1.0 if abs(values[0]) < _SAME else None
    return float(stats.ttest_1samp(values, 0).pvalue)


def difference_text(values: Sequence[float]) -> str:
    """Mean, 95% interval and p-value of differences.

    >>> difference_text([1.0, 2.0, 3.0])
    '+2.00 [-0.48, +4.48] (p 0.074)'
    >>> difference_text([0.5])
    '+0.50'
    """
    if not values:
        return ""
    mean, half, p = statistics.mean(values), interval(values), p_value(values)
    if p is None:
        return f"{mean:+.2f}"
    chance = "p < 0.001" if p < 0.0005 else f"p {p:.3f}"
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}] ({chance})"


def best_beyond_noise(scores: Mapping[str, Mapping[int, float]]) -> str | None:
    """The method with the greatest mean, if it is better than the second by more than noise.

    Seeds that both have are paired.

    Args:
      scores: dict of method -> dict of seed -> accuracy.

    Returns:
      A key of `scores`, or None.
    """
    ranked = sorted(scores, key=lambda m: -statistics.mean(scores[m].values()))
    if len(ranked) < 2:
        return None
    better_by = differences(scores[ranked[0]], scores[ranked[1]])
    p = p_value(better_by)
    is_better = p is not None and p < LEVEL and statistics.mean(better_by) > 0
    return ranked[0] if is_better else None
