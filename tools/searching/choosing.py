"""The choice of options: on validation images of seeds that no table has."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpl_tf import cli
from searching import ledger
from searching.conditions import Condition
from searching.ledger import Row
from searching.trials import Trial
from searching.variants import FEEDBACK, NONE

FIRST_SEED = 100  # of those that options are chosen on; a table has seeds from 0 on

Options = Mapping[str, Any]  # option name -> value


@dataclasses.dataclass(frozen=True)
class Choice:
    """The options that a table is made with.

    Attributes:
      options: those with which the method is best without feedback.
      weight: the feedback_weight that is best on top of them.
      without, with_weights: (options or weight, mean accuracy in percent) of all that were tried;
        None in place of the mean where a run failed, which cannot be chosen.
    """

    options: Options
    weight: float
    without: Sequence[tuple[Options, float | None]]
    with_weights: Sequence[tuple[float, float | None]]


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[Options]:
    """All combinations of the values of options, the first values first."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def trials_without(
    grid: Sequence[Options], conditions: Sequence[Condition], seeds: int
) -> Iterator[Trial]:
    """The runs without feedback that options are chosen from."""
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for condition in conditions:
            for options in grid:
                yield Trial(condition, NONE, options, seed)


def trials_with(
    options: Options, weights: Sequence[float], conditions: Sequence[Condition], seeds: int
) -> Iterator[Trial]:
    """The runs with feedback that its weight is chosen from."""
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for condition in conditions:
            for weight in weights:
                yield Trial(condition, FEEDBACK, {**options, "feedback_weight": weight}, seed)


def best_without(
    rows: Sequence[Row], grid: Sequence[Options]
) -> list[tuple[Options, float | None]]:
    """Combinations of options and their mean accuracies in percent, the best first.

    Last come those of which a run failed, with None.

    Raises:
      cli.Failure: a run of each of them failed.
    """
    means = [(options, _mean(rows, NONE.name, options)) for options in grid]
    return _best_first(means, "--grid")


def choose(rows: Sequence[Row], grid: Sequence[Options], weights: Sequence[float]) -> Choice:
    """The options without feedback, then the weight of feedback, of the greatest mean accuracy.

    Args:
      rows: of all runs of `trials_without` and `trials_with`.
      grid, weights: what was tried.

    Raises:
      cli.Failure: a run of each combination, or of each weight, failed.
    """
    without = best_without(rows, grid)
    options = without[0][0]
    with_weights = [
        (weight, _mean(rows, FEEDBACK.name, {**options, "feedback_weight": weight}))
        for weight in weights
    ]
    weight = _best_first(with_weights, "--weights")[0][0]
    return Choice(options, weight, without, with_weights)


def _best_first(means: list[tuple[Any, float | None]], name: str) -> list[tuple[Any, float | None]]:
    """Choices and their means, the best first; `name` is the flag that they are of."""
    if all(mean is None for _, mean in means):
        raise cli.Failure(
            f"none of {name} can be chosen: of each a run failed. See column failed of runs.csv."
        )
    return sorted(means, key=lambda pair: -math.inf if pair[1] is None else pair[1], reverse=True)


def _mean(rows: Sequence[Row], variant: str, options: Options) -> float | None:
    """Mean accuracy in percent of the runs of a choice; None if one of them failed."""
    text = ledger.options_text(options)
    of_choice = [
        row
        for row in rows
        if row["variant"] == variant and row["options"] == text and row["part"] == "validation"
    ]
    if len(ledger.finished(of_choice)) < len(of_choice):
        return None
    return statistics.mean(map(ledger.delivered, of_choice))
