"""Accuracies with their errors, and comparisons, by hand."""

import numpy as np
import pytest

from mpl_tf.auto import estimates


def rights(count, total):
    return np.arange(total) < count


def test_the_error_of_a_share_by_hand():
    result = estimates.estimate(rights(72, 98))
    assert (result.accuracy, result.images) == (72 / 98, 98)
    assert result.error == pytest.approx(np.sqrt(0.73 * 0.27 / 98))
    low, high = result.interval
    assert (low + high) / 2 == pytest.approx(result.accuracy)
    assert high - low == pytest.approx(4 * result.error)


@pytest.mark.parametrize("right", [0, 5])
def test_few_images_are_no_certainty(right):
    result = estimates.estimate(rights(right, 5))
    assert result.error > 0.1
    low, high = result.interval
    assert 0 <= low < high <= 1


def test_folds_that_differ_make_the_error_greater():
    right = np.repeat([True, False], 20)
    alike, apart = np.arange(40) % 2, np.repeat([0, 1], 20)
    of_images = estimates.estimate(right).error
    assert estimates.estimate(right, alike).error == of_images
    of_folds = estimates.estimate(right, apart)
    assert of_folds.error == pytest.approx(0.5)
    assert of_folds.errors == pytest.approx(12.706, abs=1e-3)  # t of one degree of freedom
    assert estimates.estimate(right, np.zeros(40)).error == of_images


def test_the_interval_covers_the_truth(rng):
    covered = [
        low <= 0.8 <= high
        for low, high in (estimates.estimate(rng.random(40) < 0.8).interval for _ in range(1000))
    ]
    assert 0.92 < np.mean(covered) < 0.99


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_the_interval_covers_the_truth_where_networks_of_folds_differ(rng, spread):
    """Two standard errors would be there 90 times of 100 at this spread."""
    folds, covered = np.repeat(np.arange(5), 40), []
    for _ in range(1000):
        right = rng.random(200) < rng.normal(0.7, spread, 5)[folds]
        low, high = estimates.estimate(right, folds).interval
        covered.append(low <= 0.7 <= high)
    assert 0.93 < np.mean(covered) < 0.985


@pytest.mark.parametrize(
    ("wins", "losses", "words"),
    [
        (0, 0, "not to be told apart"),
        (2, 0, "not to be told apart"),
        (4, 0, "probably better"),
        (0, 4, "probably worse"),
        (6, 0, "very likely better"),
        (20, 3, "almost surely better"),
        (60, 50, "not to be told apart"),
    ],
)
def test_words_follow_the_images_on_which_two_differ(wins, losses, words):
    right = np.concatenate([np.ones(wins), np.zeros(losses), np.ones(100)]).astype(bool)
    other = np.concatenate([np.zeros(wins), np.ones(losses), np.ones(100)]).astype(bool)
    result = estimates.difference(right, other)
    assert (result.wins, result.losses, result.words) == (wins, losses, words)
    assert result.mean == pytest.approx((wins - losses) / len(right))
    mirrored = estimates.difference(other, right)
    assert (mirrored.mean, mirrored.chance) == (-result.mean, result.chance)


def test_chance_is_how_often_equals_differ_as_much(rng):
    chances = [
        estimates.difference(rng.random(200) < 0.7, rng.random(200) < 0.7).chance
        for _ in range(500)
    ]
    assert np.mean(np.array(chances) <= 0.05) < 0.06


def test_of_equal_candidates_the_simplest_is_delivered():
    candidates = {"labels": rights(8, 10), "fixmatch": rights(8, 10), "mpl": rights(7, 10)}
    assert estimates.best(candidates) == "labels"
    words = estimates.verdict(candidates)
    assert words.startswith("labels is delivered: on 10 held-out images it is not to be told apart")
    assert "from fixmatch" in words
    candidates["uda"] = rights(10, 10)
    assert estimates.best(candidates) == "uda"
    assert "than labels: +20.0 points (+12.0 to +28.0), " in estimates.verdict(
        {"labels": rights(80, 100), "uda": rights(100, 100)}
    )
    words = estimates.verdict({"labels": rights(72, 98)})
    assert words.endswith(
        "nothing else was tried. On 98 held-out images it is right in 73.5% (64.5% to 82.4%)."
    )
