"""How good a candidate is, how far that can be relied on, and whether another is better."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from scipy import stats

# Standard errors to either side of what is measured over many images.
_ERRORS = 2.0
# (greatest probability of chance, in words), of a comparison.
_WORDS = ((0.01, "almost surely"), (0.05, "very likely"), (0.2, "probably"))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Accuracy on images that were held out.

    Attributes:
      accuracy: in [0, 1].
      error: its standard error.
      images: that were held out.
      errors: standard errors from the accuracy to either end of its interval.
    """

    accuracy: float
    error: float
    images: int
    errors: float = _ERRORS

    @property
    def interval(self) -> tuple[float, float]:
        """So many standard errors to either side, inside [0, 1]: it is there 95 times of 100."""
        half = self.errors * self.error
        return max(0.0, self.accuracy - half), min(1.0, self.accuracy + half)

    def __str__(self) -> str:
        """The accuracy and its interval in percent."""
        low, high = self.interval
        return f"{self.accuracy:.1%} ({low:.1%} to {high:.1%})"


@dataclasses.dataclass(frozen=True)
class Difference:
    """The accuracy of a candidate less that of another, image by image.

    Attributes:
      mean: in [-1, 1].
      error: its standard error.
      wins, losses: images that the first alone, or the second alone, answers right.
      chance: the probability that two equally good candidates differ as much (the sign test).
    """

    mean: float
    error: float
    wins: int
    losses: int
    chance: float

    def __str__(self) -> str:
        """The difference in points, and two standard errors to either side."""
        low, high = self.mean - _ERRORS * self.error, self.mean + _ERRORS * self.error
        return f"{100 * self.mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"

    @property
    def words(self) -> str:
        """ "very likely better", and so on."""
        for chance, word in _WORDS:
            if self.chance <= chance:
                return f"{word} {'better' if self.mean > 0 else 'worse'}"
        return "not to be told apart"


def estimate(right: np.ndarray, folds: np.ndarray | None = None) -> Estimate:
    """The accuracy of a candidate with its standard error.

    Over images the error is that of a share, with one right and one wrong image more than there
    are, so that a few images that are all right do not look like certainty. Images of a fold are
    answered by one network and are not independent: with folds, it is the greater of that and the
    standard error over folds. The interval has two errors to either side; of the error over folds,
    which is itself of few numbers, as many as Student's t distribution (1908) has within 95%, for
    one degree of freedom less than there are folds: 2.8 of five folds, 12.7 of two.

    Args:
      right: bool [N], N at least 1, whether each held-out image is answered right.
      folds: integer [N], the fold of each; None for images that one network answers.
    """
    right = np.asarray(right, np.float64)
    share = (right.sum() + 1) / (len(right) + 2)
    error, errors = math.sqrt(share * (1 - share) / len(right)), _ERRORS
    if folds is not None and len(numbers := np.unique(folds)) > 1:
        means = np.array([right[folds == number].mean() for number in numbers])
        sizes = np.array([np.sum(folds == number) for number in numbers])
        spread = np.sum(sizes * (means - right.mean()) ** 2) / len(right)
        of_folds = math.sqrt(spread / (len(numbers) - 1))
        if of_folds > error:
            error, errors = of_folds, float(stats.t.ppf(0.975, len(numbers) - 1))
    return Estimate(float(right.mean()), error, len(right), errors)


def difference(right: np.ndarray, other: np.ndarray) -> Difference:
    """Compares two candidates on the same held-out images.

    Args:
      right: bool [N], which of them the first answers right.
      other: bool [N], which of them the second does.
    """
    signs = np.asarray(right, np.int64) - np.asarray(other, np.int64)
    wins, losses = int(np.sum(signs > 0)), int(np.sum(signs < 0))
    chance = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    error = float(np.std(signs) / math.sqrt(len(signs)))
    return Difference(float(np.mean(signs)), error, wins, losses, float(chance))


def best(rights: Mapping[str, np.ndarray]) -> str:
    """The name of the candidate with the most right answers; of equals the first.

    Args:
      rights: name -> bool [N], on the same images, the simplest candidate first.
    """
    return max(rights, key=lambda name: int(np.sum(rights[name])))


def verdict(
    rights: Mapping[str, np.ndarray],
    folds: np.ndarray | None = None,
    failures: Mapping[str, str] | None = None,
) -> str:
    """Which candidate is delivered, and how sure it is that it beats the next one, in sentences.

    Args:
      rights: as for `best`.
      folds: as for `estimate`.
      failures: name -> why its training on all labels failed, of those that cannot be delivered.
    """
    failures = failures or {}
    usable = {name: right for name, right in rights.items() if name not in failures}
    winner = best(usable)
    ahead = [
        name for name in rights if name in failures and rights[name].sum() >= rights[winner].sum()
    ]
    lines = [
        f"{name} was ahead, but its training on all labels failed: {failures[name].rstrip('.')}."
        for name in ahead
    ]
    others = {name: right for name, right in usable.items() if name != winner}
    if others:
        second = best(others)
        compared = difference(rights[winner], others[second])
        lines.append(
            f"{winner} is delivered: on {len(rights[winner])} held-out images it is "
            f"{compared.words} {_FOLLOWS[compared.words.split()[-1]]} {second}: {compared}, "
            f"{compared.wins} images it alone gets right and {compared.losses} the other alone."
        )
    else:
        of_winner = estimate(rights[winner], folds)
        why = "nothing else can be" if failures else "nothing else was tried"
        lines.append(
            f"{winner} is delivered: {why}. On {of_winner.images} held-out images it is right in "
            f"{of_winner}."
        )
    return " ".join(lines)


_FOLLOWS = {"better": "than", "worse": "than", "apart": "from"}
