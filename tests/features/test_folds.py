"""Folds: the same for all candidates, and each class in what is left."""

import numpy as np
import pytest

from mpl_tf.features import folds


@pytest.mark.parametrize("counts", [(5, 5, 5), (2, 9, 3), (1, 4, 2), (1, 1, 2), (40, 2, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_each_class_is_spread_evenly_and_never_held_out_whole(rng, counts, seed):
    labels = rng.permutation(np.repeat(range(3), counts))
    numbers = folds.stratified(labels, seed)
    total = folds.count(numbers)
    assert total == min(folds.MOST, max(counts))
    assert sorted(set(numbers[numbers >= 0])) == list(range(total))
    for k, count in enumerate(counts):
        of_class = np.bincount(numbers[labels == k] + 1, minlength=total + 1)
        never, held_out = of_class[0], of_class[1:]
        assert never == (count == 1)
        assert held_out.max() < count and np.ptp(held_out) <= 1


def test_they_are_a_function_of_labels_and_seed(rng):
    labels = rng.integers(0, 4, 60)
    first = folds.stratified(labels, 3)
    np.testing.assert_array_equal(first, folds.stratified(labels, 3))
    assert np.any(first != folds.stratified(labels, 4))


@pytest.mark.parametrize("labels", [[0, 1, 2], [3, 0], []])
def test_single_labels_make_no_fold(labels):
    numbers = folds.stratified(np.array(labels, int), 0)
    assert numbers.tolist() == [folds.NEVER_HELD_OUT] * len(labels)
    assert folds.count(numbers) == 0
