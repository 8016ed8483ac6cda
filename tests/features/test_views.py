"""Cached views: functions of seed, sort, number and place."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment import policies
from mpl_tf.features import compute, views
from mpl_tf.features.options import FeatureConfig, is_cached
from mpl_tf.features.views import CHUNK, STRONG, WEAK


@pytest.fixture
def sets():
    """sets(**options): the views of a run, weak and strong of one policy."""
    return lambda **options: views.view_sets(
        FeatureConfig(**options), policies.Crop(), policies.Crop()
    )


def seen(images, view_set, chunks):
    """Chunk -> its views uint8 [V, CHUNK, H, W, C]."""
    batches = list(compute.pixels(images, view_set, chunks))
    grouped = np.stack(batches).reshape(len(chunks), view_set.count, *batches[0].shape)
    return dict(zip(chunks, grouped, strict=True))


def test_a_view_does_not_depend_on_what_is_computed_with_it(images, sets):
    weak = sets()[WEAK]
    together, alone = seen(images["train"], weak, [0, 1, 2]), seen(images["train"], weak, [1])
    np.testing.assert_array_equal(together[1], alone[1])


def test_views_differ_by_number_seed_sort_and_place(images, sets):
    same = images["train"].take(np.zeros(2 * CHUNK, np.int64))  # one image, everywhere
    first = seen(same, sets()[WEAK], [0, 1])
    others = [
        first[0][1],  # another view
        first[1][0],  # another chunk
        seen(same, sets(view_seed=1)[WEAK], [0])[0][0],
        seen(same, sets()[STRONG], [0])[0][0],
    ]
    for other in others:
        assert np.mean(np.any(first[0][0] != other, axis=(1, 2, 3))) > 0.5
    assert len(np.unique(first[0][0].reshape(CHUNK, -1), axis=0)) > CHUNK / 8  # places


def test_the_last_chunk_is_filled_up(images, sets):
    plain = sets()["plain"]
    last = seen(images["train"], plain, [2])[2][0]
    expected = images["train"].images
    np.testing.assert_array_equal(last[: 150 - 2 * CHUNK], expected[2 * CHUNK :])
    np.testing.assert_array_equal(last[150 - 2 * CHUNK :], expected[[149] * (3 * CHUNK - 150)])


def test_unchanged_views_are_the_plain_one():
    made = views.view_sets(FeatureConfig(), policies.unchanged, policies.Crop())
    assert made[WEAK] is made["plain"]
    assert made["plain"].count == 1
    assert made[STRONG].count == FeatureConfig.cached_strong_views


@pytest.mark.parametrize(
    ("features", "train", "expected"),
    [
        ("auto", "head", True),
        ("auto", "all", False),
        ("auto", "last_2", False),
        ("off", "head", False),
        ("cache", "head", True),
    ],
)
def test_features_are_cached_where_only_the_head_learns(features, train, expected):
    assert is_cached(FeatureConfig(features), train) == expected


def test_views_keep_their_type_and_shape(images, sets):
    (batch,) = compute.pixels(images["train"], sets()["plain"], [0])
    assert (batch.dtype, batch.shape) == (tf.uint8, (CHUNK, 8, 8, 3))
