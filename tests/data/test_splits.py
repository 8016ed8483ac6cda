"""Splits: pure, balanced, disjoint."""

import numpy as np
import pytest

from mpl_tf.data import DATASETS, splits


def digits(num_labeled=50, seed=0):
    train, test = DATASETS["digits"].load()
    return splits.split(train, test, num_labeled, 200, seed)


def parts(split):
    return {name: getattr(split, name) for name in ("labeled", "unlabeled", "validation", "test")}


def test_a_split_is_a_pure_function_of_seed_and_number_of_labels():
    a, b = digits(), digits()
    for name, part in parts(a).items():
        np.testing.assert_array_equal(part.ids, getattr(b, name).ids)
        np.testing.assert_array_equal(part.images, getattr(b, name).images)
    assert not np.array_equal(a.labeled.ids, digits(seed=1).labeled.ids)
    assert not np.array_equal(a.validation.ids, digits(seed=1).validation.ids)


def test_the_test_images_are_the_same_for_every_seed():
    np.testing.assert_array_equal(digits(seed=0).test.ids, digits(seed=7).test.ids)


def test_parts_are_disjoint_and_complete():
    ids = np.concatenate([part.ids for part in parts(digits()).values()])
    np.testing.assert_array_equal(np.sort(ids), np.arange(1797))


@pytest.mark.parametrize(("part", "each"), [("labeled", 5), ("validation", 20), ("test", 50)])
def test_parts_are_balanced(part, each):
    np.testing.assert_array_equal(np.bincount(getattr(digits(), part).labels), [each] * 10)


def test_more_labels_contain_fewer_of_the_same_seed():
    assert set(digits(20).labeled.ids) < set(digits(50).labeled.ids)
    np.testing.assert_array_equal(digits(20).validation.ids, digits(50).validation.ids)


def test_images_keep_their_labels():
    train, _ = DATASETS["digits"].load()
    of = dict(zip(train.ids, train.labels, strict=True))
    labeled = digits().labeled
    assert [of[i] for i in labeled.ids] == list(labeled.labels)


@pytest.mark.parametrize(("count", "message"), [(15, "multiple of 10"), (5000, "are asked for")])
def test_impossible_choices_are_refused(count, message):
    train, _ = DATASETS["digits"].load()
    with pytest.raises(ValueError, match=message):
        splits.balanced_choice(train.labels, count, seed=0)
