"""The surest of each class, against a plain sort."""

import numpy as np
import pytest

from mpl_tf.formulas import selection


def random_probs(rng, images, classes, steps):
    """float16 [images, classes] with many equal values."""
    return (rng.integers(0, steps, [images, classes]) / steps).astype(np.float16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("steps", [2, 5, 1000])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_likeliest_classes_are_those_of_a_sort(dtype, steps, count):
    probs = random_probs(np.random.default_rng(0), 200, 7, steps).astype(dtype)
    chosen = selection.likeliest(probs, count)
    for row, of_row in zip(probs.astype(float).tolist(), chosen, strict=True):
        order = sorted(range(7), key=lambda k: (-row[k], k))
        assert np.flatnonzero(of_row).tolist() == sorted(order[:count])


def brute_force(classes, confidences, digests, count):
    chosen = []
    for k in sorted(set(classes)):
        rows = [row for row in range(len(classes)) if classes[row] == k]
        rows.sort(key=lambda row: (-confidences[row], digests[row], row))
        unlike = [row for i, row in enumerate(rows) if digests[row] not in digests[rows[:i]]]
        chosen += unlike[:count]
    return chosen


@pytest.mark.parametrize("steps", [2, 10, 1000])
@pytest.mark.parametrize("copies", [30, 10**6])
def test_the_surest_are_those_of_a_sort(steps, copies):
    rng = np.random.default_rng(steps)
    classes = rng.integers(0, 4, 300)
    confidences = random_probs(rng, 300, 1, steps)[:, 0]
    digests = rng.integers(2**63, 2**63 + copies, 300, np.uint64)
    for count in (1, 5, 300):
        found = selection.surest(classes, confidences, digests, count)
        assert found.tolist() == brute_force(classes, confidences, digests, count)


def test_the_choice_of_all_is_that_of_the_choices_of_parts():
    rng = np.random.default_rng(1)
    classes, digests = rng.integers(0, 3, 400), rng.integers(0, 100, 400, np.uint64)
    confidences = random_probs(rng, 400, 1, 20)[:, 0]
    of_parts = [
        rows[selection.surest(classes[rows], confidences[rows], digests[rows], 6)]
        for rows in np.split(np.arange(400), 4)
    ]
    rows = np.concatenate(of_parts)
    again = rows[selection.surest(classes[rows], confidences[rows], digests[rows], 6)]
    assert again.tolist() == selection.surest(classes, confidences, digests, 6).tolist()


def test_of_nothing_nothing_is_chosen():
    none = np.empty(0, np.int64)
    assert not len(selection.surest(none, none.astype(np.float16), none, 3))
