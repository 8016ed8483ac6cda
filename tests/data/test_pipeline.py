"""Batches are a function of (seed, step)."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment import policies
from mpl_tf.data import DATASETS, pipeline, shuffle, splits
from mpl_tf.options import ConfigError


@pytest.fixture(scope="module")
def split():
    return splits.split(DATASETS["digits"].load(), 50, 200, 0)


def batches(split, start=0, seed=3, views=("weak", "strong"), count=4, shard=(0, 1), **other):
    data = pipeline.training_batches(
        split.labeled,
        split.unlabeled,
        labeled_batch=20,
        unlabeled_batch=60,
        views=views,
        weak=other.get("weak", policies.Shift()),
        strong=other.get("strong", policies.Affine()),
        seed=seed,
        start=start,
        shard=shard,
    )
    return list(itertools.islice(data.as_numpy_iterator(), count))


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_late_start_gives_the_same_batches(split):
    straight = batches(split, count=42)
    for start in (1, 2, 17, 38):  # within the first epoch, and after several
        for a, b in zip(straight[start:], batches(split, start=start), strict=False):
            assert_same(a, b)


def test_a_very_late_start_costs_nothing(split):
    assert batches(split, start=10**8, count=1)[0]["labeled"].shape == (20, 8, 8, 1)


def test_seeds_differ_and_repeat(split):
    assert_same(batches(split)[0], batches(split)[0])
    assert not np.array_equal(batches(split)[0]["label"], batches(split, seed=4)[0]["label"])


def test_every_epoch_shows_every_image_once_in_a_new_order():
    data = shuffle.positions(count=12, batch=5, seed=0, stream=0, start=0)
    drawn = np.concatenate(list(itertools.islice(data.as_numpy_iterator(), 12)))
    epochs = drawn.reshape(5, 12)
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_consecutive_epochs_are_uncorrelated():
    data = shuffle.positions(count=2000, batch=2000, seed=0, stream=1, start=0)
    a, b = itertools.islice(data.as_numpy_iterator(), 2)
    assert abs(np.corrcoef(np.argsort(a), np.argsort(b))[0, 1]) < 0.1


def test_both_views_show_the_same_images(split):
    batch = batches(split, weak=policies.unchanged, strong=policies.unchanged)[0]
    np.testing.assert_array_equal(batch["weak"], batch["strong"])
    pool = {image.tobytes() for image in split.unlabeled.images}
    assert all(image.tobytes() in pool for image in batch["weak"])


def test_views_of_one_step_and_of_two_steps_are_drawn_apart(split):
    def noise(images, draws):  # shows the draws, not the image
        return tf.cast(draws.integers(0, 0, 256, images.shape[1:]), tf.uint8)

    first, second = batches(split, count=2, weak=noise, strong=noise)
    assert not np.array_equal(first["weak"], first["strong"])
    for view in ("labeled", "weak", "strong"):
        assert not np.array_equal(first[view], second[view])


def test_labels_belong_to_their_images(split):
    of = {i.tobytes(): k for i, k in zip(split.labeled.images, split.labeled.labels, strict=True)}
    batch = batches(split, weak=policies.unchanged)[0]
    assert [of[image.tobytes()] for image in batch["labeled"]] == list(batch["label"])


def test_a_method_without_views_reads_no_unlabeled_image(split):
    assert batches(split, views=())[0].keys() == {"labeled", "label"}


def test_images_stay_uint8(split):
    batch = batches(split)[0]
    assert {batch[name].dtype for name in ("labeled", "weak", "strong")} == {np.dtype("uint8")}


@pytest.mark.parametrize("count", [2, 4])
def test_shards_together_are_the_whole_batch(split, count):
    whole = batches(split, count=3, start=7)
    parts = [batches(split, count=3, start=7, shard=(i, count)) for i in range(count)]
    for step, batch in enumerate(whole):
        assert_same(batch, {k: np.concatenate([part[step][k] for part in parts]) for k in batch})


def test_batches_must_divide_by_the_shards(split):
    with pytest.raises(ValueError, match="labeled_batch must be a multiple of 3 shards"):
        batches(split, shard=(0, 3))


def test_hidden_labels_of_labeled_images_stay_hidden():
    whole = splits.split(DATASETS["digits"].load(), 50, 200, 0)
    hidden = np.concatenate([b["hidden_label"] for b in batches(whole, count=40)])
    assert (hidden == -1).mean() == pytest.approx(50 / 1097, abs=0.01)


def test_evaluation_shows_everything_once_in_order(split):
    data = list(pipeline.evaluation_batches(split.validation, batch=64).as_numpy_iterator())
    assert [len(label) for _, label in data] == [64, 64, 64, 8]
    np.testing.assert_array_equal(
        np.concatenate([label for _, label in data]), split.validation.labels
    )


MANY = ("weak", "strong", "weak_2", "strong_2", "strong_3", "index")


def test_more_views_are_drawn_apart_and_leave_the_first_as_they_are(split):
    def noise(images, draws):
        return tf.cast(draws.integers(0, 0, 256, images.shape[1:]), tf.uint8)

    (batch,) = batches(split, views=MANY, count=1, weak=noise, strong=noise)
    (plain,) = batches(split, count=1, weak=noise, strong=noise)
    assert_same(plain, {name: batch[name] for name in plain})
    images = {batch[name].tobytes() for name in ("labeled", *MANY[:-1])}
    assert len(images) == len(MANY)


def test_every_view_shows_the_same_images_by_its_policy(split):
    def dark(images, draws):
        return images // 2

    batch = batches(split, views=MANY, weak=policies.unchanged, strong=dark)[0]
    np.testing.assert_array_equal(batch["weak_2"], batch["weak"])
    for name in ("strong", "strong_2", "strong_3"):
        np.testing.assert_array_equal(batch[name], batch["weak"] // 2)


def test_the_index_is_the_place_in_the_pool(split):
    pool = split.unlabeled.images
    straight = batches(split, views=("weak", "index"), weak=policies.unchanged, count=22)
    for batch in straight:
        assert batch["index"].dtype == np.int64
        np.testing.assert_array_equal(pool[batch["index"]], batch["weak"])
    epoch = np.concatenate([batch["index"] for batch in straight])[: len(pool)]
    assert sorted(epoch) == list(range(pipeline.pool_size(split.unlabeled)))


def test_many_views_and_the_index_under_sharding_and_late_starts(split):
    straight = batches(split, views=MANY, count=6)
    parts = [batches(split, views=MANY, start=4, count=2, shard=(i, 2)) for i in range(2)]
    for step, batch in enumerate(straight[4:]):
        assert_same(batch, {k: np.concatenate([part[step][k] for part in parts]) for k in batch})


@pytest.mark.parametrize("name", ["strong_1", "weak_02", "strong_", "middle", "index_2"])
def test_unknown_views_are_refused(split, name):
    with pytest.raises(ConfigError, match=f"received '{name}'"):
        batches(split, views=("weak", name))


@pytest.mark.parametrize(("count", "batch"), [(7, 3), (3, 5), (10, 10)])
def test_the_table_of_an_order_has_its_batches(count, batch):
    order = shuffle.positions(count, batch, seed=3, stream=1, start=0)
    table = shuffle.table(count, batch, seed=3, stream=1, steps=6)
    assert table.dtype == np.uint16 and table.shape == (6, batch)
    np.testing.assert_array_equal(table, list(order.take(6).as_numpy_iterator()))
