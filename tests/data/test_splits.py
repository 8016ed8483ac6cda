"""Splits: pure, balanced, disjoint."""

import json

import numpy as np
import pytest

from mpl_tf.data import DATASETS, splits
from mpl_tf.data.arrays import arrays
from mpl_tf.data.dataset import Source
from mpl_tf.options import ConfigError


def digits(num_labeled=50, seed=0, num_validation=200, **kwargs):
    kwargs = {"exclude_labeled": True} | kwargs
    return splits.split(DATASETS["digits"].load(), num_labeled, num_validation, seed, **kwargs)


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
    train = DATASETS["digits"].load().train
    of = dict(zip(train.ids, train.labels, strict=True))
    labeled = digits().labeled
    assert [of[i] for i in labeled.ids] == list(labeled.labels)


@pytest.mark.parametrize(("count", "message"), [(15, "multiple of 10"), (5000, "are asked for")])
def test_impossible_choices_are_refused(count, message):
    train = DATASETS["digits"].load().train
    with pytest.raises(ValueError, match=message):
        splits.balanced_choice(train.labels, count, seed=0)


def test_labeled_images_are_among_the_unlabeled_unless_excluded():
    split = digits(exclude_labeled=False)
    assert set(split.labeled.ids) < set(split.unlabeled.ids)
    assert not set(split.validation.ids) & set(split.unlabeled.ids)
    has_label = split.unlabeled.labels >= 0
    assert set(split.unlabeled.ids[~has_label]) == set(split.labeled.ids)


def test_copies_of_labeled_images_are_left_out_with_them(rng):
    images = rng.integers(0, 256, (12, 4, 4, 3), np.uint8)
    images[[7, 8, 9, 10]] = images[[0, 1, 4, 5]]  # of train, train, validation and test
    places = (0, 4), (4, 5), (5, 6), (6, 12)
    everything = arrays(images, np.arange(12) % 2)
    train, validation, test, pool = (everything.take(slice(*part)) for part in places)
    source = Source(train, ("a", "b"), pool, validation, test)
    assert source.copies.tolist() == [False, True, True, True, True, False]
    seen = [
        splits.split(source, 2, 0, 0, exclude_labeled=exclude).unlabeled.ids.tolist()
        for exclude in (True, False)
    ]
    assert seen == [[1, 2, 6, 11], [0, 1, 2, 3, *range(6, 12)]]
    assert not Source(train, ("a", "b"), test=test).copies.any()


def test_zero_labels_means_all():
    assert len(digits(0).labeled) == 1097
    assert len(digits(0, num_validation=0).labeled) == 1297


def test_a_split_file_makes_the_same_split_under_another_seed(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(digits(seed=5).to_json()))
    again = digits(seed=9, ids=splits.read_ids(path))
    for name, part in parts(digits(seed=5)).items():
        np.testing.assert_array_equal(part.ids, getattr(again, name).ids)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "content must be an object"),
        ('{"labeled": [0]}', "content.validation is missing"),
        (
            '{"labeled": [[0, 1]], "validation": []}',
            r"labeled\[0\] must be a string or a whole number",
        ),
        ('{"labeled": [0.5], "validation": []}', r"labeled\[0\] must be .*; received 0.5"),
        ('{"labeled": [true], "validation": []}', r"labeled\[0\] must be .*; received True"),
        ('{"labeled": {"0": 1}, "validation": []}', "content.labeled must be a list"),
        ('{"labeled": null, "validation": []}', "content.labeled must be a list"),
        ('{"labeled": [0], "validation": "0"}', "content.validation must be a list"),
        ('{"labeled": [], "validation": []}', "names no labeled image"),
        ('{"labeled": [0, 99999], "validation": []}', "1 labeled ids are not among"),
        ('{"labeled": ["a"], "validation": []}', "belongs to another dataset"),
        ('{"labeled": [2, 2], "validation": []}', "occur twice"),
        ('{"labeled": [2, 3], "validation": [3]}', "labeled and validation at once"),
        (
            '{"labeled": [2, 3], "validation": [4], "class_names": ["cat", "dog"]}',
            "other classes: cat, dog there, and 0, 1, 2, 3, 4, ... here",
        ),
    ],
)
def test_a_wrong_split_file_is_refused(tmp_path, content, message):
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        digits(ids=splits.read_ids(path))


def test_rare_classes_are_repeated_until_all_are_equally_frequent(rng):
    labels = np.array([0] * 7 + [2] * 3 + [3])
    images = arrays(rng.integers(0, 256, (11, 4, 4, 1), np.uint8), labels)
    drawn = splits.equally_frequent(images)
    assert np.bincount(drawn.labels).tolist() == [7, 0, 7, 7]
    times = np.bincount(drawn.positions, minlength=11)
    assert times[:7].tolist() == [1] * 7
    assert sorted(times[7:10]) == [2, 2, 3]
    assert times[10] == 7
    np.testing.assert_array_equal(drawn.labels, labels[drawn.positions])
    even = images.take(np.array([0, 7, 10]))
    assert splits.equally_frequent(even) is even
