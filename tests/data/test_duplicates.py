"""Images that are there more than once."""

import numpy as np

from mpl_tf.data import duplicates
from mpl_tf.data.contents import Contents


def held(prefix, digests, labels=None):
    names = np.array([f"{prefix}{i}" for i in range(len(digests))], str)
    labels = [0] * len(digests) if labels is None else labels
    return Contents(names, np.array(labels, np.int64), np.array(digests, np.uint64))


def test_images_of_two_parts_are_paired():
    rows, other_rows = duplicates.shared(held("a", [5, 7, 9, 5]), held("b", [8, 5, 9, 9, 5]))
    assert list(rows) == [0, 2, 3]
    assert list(other_rows) == [1, 2, 1]
    assert [len(part) for part in duplicates.shared(held("a", []), held("b", [1]))] == [0, 0]
    assert [len(part) for part in duplicates.shared(held("a", [1]), held("b", []))] == [0, 0]


def test_copies_and_contradictions_are_counted():
    part = held("a", [5, 7, 5, 9, 7, 5], [0, 1, 0, 2, 2, 1])
    assert duplicates.repeated(part) == 3
    assert [list(rows) for rows in duplicates.contradictions(part)] == [[0, 2, 5], [1, 4]]
    assert duplicates.repeated(held("a", [])) == 0
    assert duplicates.contradictions(held("a", [])) == []


def test_held_out_images_that_training_sees_are_named():
    parts = {
        "train": held("l", [1, 2, 3, 4, 5]),
        "unlabeled": held("u", [1, 2, 10]),
        "validation": held("v", [10, 20]),
        "test": held("t", [20, 5, 4, 3, 2, 30]),
    }
    assert duplicates.leaks(parts) == [
        "4 of 6 test images are in train too (t1 = l4, t2 = l3, t3 = l2, ...)",
        "1 of 6 test images are in unlabeled too (t4 = u1)",
        "1 of 6 test images are in validation too (t0 = v1)",
        "1 of 2 validation images are in unlabeled too (v0 = u2)",
    ]
    assert duplicates.leaks({"train": parts["train"]}) == []
