"""What every pool of images can do, wherever they lie."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data.arrays import ShuffledDataset, arrays
from mpl_tf.data.dataset import Images, Pool, Source
from mpl_tf.data.sources import tfrecord, tfrecord_format, tfrecord_stream
from mpl_tf.images import example

COUNT = 12


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), np.uint8)


@pytest.fixture(params=["images", "records", "dataset"])
def pool(request, pixels, tmp_path):
    if request.param == "images":
        return arrays(pixels)
    if request.param == "dataset":
        return ShuffledDataset(tf.data.Dataset.from_tensor_slices(pixels), with_labels=False)
    path = str(tmp_path / "unlabeled-00000-of-00001.tfrecord")
    examples = [example.serialize(tf.io.encode_png(image).numpy()) for image in pixels]
    tfrecord_format.write(path, examples)
    return tfrecord.StreamPool(tfrecord_stream.Stream([path]), 4, 3)


def names(images):
    return sorted(image.tobytes() for image in images)


def test_it_is_a_pool(pool):
    assert isinstance(pool, Pool)
    assert pool.shape == (4, 4, 3)
    assert pool.size in (COUNT, None)
    assert not pool.has_hidden_labels


def test_batches_show_every_image_once_an_epoch(pool, pixels):
    data = pool.batches(6, seed=1, stream=2, start=0, rows=(0, None))
    images, labels, index = (
        np.concatenate(part)
        for part in zip(*itertools.islice(data.as_numpy_iterator(), 2), strict=True)
    )
    assert names(images) == names(pixels)
    assert set(labels) == {-1}
    assert set(index) == ({-1} if pool.size is None else set(range(COUNT)))


def test_rows_are_a_part_of_the_batch(pool):
    whole, *_ = next(pool.batches(6, seed=1, stream=2).as_numpy_iterator())
    part, *_ = next(pool.batches(6, seed=1, stream=2, rows=(2, 3)).as_numpy_iterator())
    np.testing.assert_array_equal(part, whole[2:5])


@pytest.mark.parametrize("count", [5, 50])
def test_a_sample_is_of_different_images(pool, pixels, count):
    sample = pool.sample(count, seed=3)
    assert len(set(names(sample))) == len(sample) == min(count, COUNT)
    assert set(names(sample)) <= set(names(pixels))
    np.testing.assert_array_equal(sample, pool.sample(count, seed=3))


def test_images_of_another_store_are_not_added(pool, pixels):
    if pool.size is None or not isinstance(pool, Images):
        assert pool.following(arrays(pixels)) is pool
    else:
        with pytest.raises(ValueError, match="two stores"):
            pool.following(arrays(pixels))


def test_images_have_hidden_labels_where_one_is_known(pixels):
    images = arrays(pixels)
    assert images.relabel(np.arange(COUNT) - COUNT + 1).has_hidden_labels
    assert not images.relabel(np.arange(COUNT)).without_labels().has_hidden_labels


def test_a_source_adds_its_own_unlabeled_images_where_they_lie_in_one_store(pixels):
    every = arrays(pixels)
    train, more = every.take(np.arange(8)), every.take(np.arange(8, COUNT))
    chosen = train.take(slice(5))
    stream = ShuffledDataset(tf.data.Dataset.from_tensor_slices(pixels), with_labels=False)
    np.testing.assert_array_equal(Source(train, ("a",)).pool(chosen).ids, np.arange(5))
    joined = Source(train, ("a",), unlabeled=more).pool(chosen)
    np.testing.assert_array_equal(joined.ids, [0, 1, 2, 3, 4, 8, 9, 10, 11])
    assert Source(train, ("a",), unlabeled=stream).pool(chosen) is stream
