"""Nearest neighbours by hand and against sorting."""

import numpy as np
import pytest

from mpl_tf.formulas import neighbours

BANK = np.float32([[1, 0], [0, 5], [3, 4], [-2, 0], [0, 0]])  # directions 0, 90, 53, 180 degrees
LABELS = np.array([0, 1, 1, 2, 2])


def test_nearest_by_hand():
    index, similarity = neighbours.nearest(np.float32([[10, 0], [0, 0.1]]), BANK, 3)
    assert index.tolist() == [[0, 2, 1], [1, 2, 0]]  # of equal ones, 0 and 4, the first
    np.testing.assert_allclose(similarity, [[1, 0.6, 0], [1, 0.8, 0]], atol=1e-6)
    assert (index.dtype, similarity.dtype) == (np.int64, np.float32)


def test_a_row_of_zeros_is_like_nothing():
    index, similarity = neighbours.nearest(np.zeros([1, 2]), BANK, 5)
    assert index.tolist() == [[0, 1, 2, 3, 4]]
    assert (similarity == 0).all()


@pytest.mark.parametrize("k", [1, 7, 60])
def test_blocks_and_ties_are_as_by_a_stable_sort(k, rng, monkeypatch):
    features, bank = rng.integers(-2, 3, (23, 3)), rng.integers(-2, 3, (60, 3))
    whole = neighbours.nearest(features, bank, k)
    monkeypatch.setattr(neighbours, "_BLOCK", 250)  # four rows at a time
    index, similarity = neighbours.nearest(features, bank, k)
    lengths = [np.maximum(np.linalg.norm(x, axis=1), 1e-9) for x in (features, bank)]
    cosines = (features @ bank.T) / np.outer(*lengths)
    np.testing.assert_allclose(
        similarity, np.take_along_axis(cosines, index, axis=1), rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(similarity, -np.sort(-cosines, axis=1)[:, :k], rtol=0, atol=1e-6)
    assert all(len(set(row)) == k for row in index)
    np.testing.assert_array_equal(index, whole[0])
    ties = similarity[:, 1:] == similarity[:, :-1]
    assert (index[:, 1:] > index[:, :-1])[ties].all()


def test_a_vote_by_hand():
    probs = neighbours.knn_probs(np.float32([[1, 0]]), BANK, LABELS, 3, k=3, temperature=0.5)
    weights = np.exp(np.array([1, 0.6, 0]) / 0.5)  # of labels 0, 1, 1
    expected = np.array([weights[0], weights[1] + weights[2], 0]) / weights.sum()
    np.testing.assert_allclose(probs, [expected], rtol=1e-6)
    one = neighbours.knn_probs(np.float32([[3, 3.9]]), BANK, LABELS, 3, k=1)
    np.testing.assert_array_equal(one, [[0, 1, 0]])


def test_defaults_are_the_papers_and_small_banks_vote_whole():
    probs = neighbours.knn_probs(np.float32([[1, 0]]), BANK, LABELS, 3)
    weights = np.exp(np.array([1, 0, 0.6, -1, 0]) / 0.07)
    expected = np.bincount(LABELS, weights) / weights.sum()
    np.testing.assert_allclose(probs, [expected], rtol=1e-5)
    cold = neighbours.knn_probs(np.float32([[1, 0]]), BANK, LABELS, 3, temperature=1e-4)
    np.testing.assert_array_equal(cold, [[1, 0, 0]])  # and no overflow


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neighbours.nearest(BANK, BANK, 6), "from 1 to the 5 rows.*received 6"),
        (lambda: neighbours.nearest(BANK, BANK, 0), "received 0"),
        (lambda: neighbours.nearest(BANK[:, :1], BANK, 1), r"\[5, 1\] and \[5, 2\]"),
        (lambda: neighbours.knn_probs(BANK, BANK, LABELS[:4], 3), "5 rows and 4 labels"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
