"""Images to label next are uncertain, and different from one another."""

import time
import tracemalloc

import numpy as np
import pytest

from mpl_tf.auto import label_next


def test_uncertainty_by_hand():
    probs = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.3, 0.2, 0.5]])
    np.testing.assert_allclose(label_next.uncertainty(probs), [0, 1, 0.8])


def groups(rng, count, size=8, each=50):
    """Features of `count` groups of nearly equal images; half of each group is uncertain."""
    centers = rng.normal(size=(count, size))
    features = np.repeat(centers, each, axis=0) + 1e-3 * rng.normal(size=(count * each, size))
    likeliest = np.where(np.arange(count * each) % 2, 0.99, 0.5 + 0.01 * rng.random(count * each))
    return np.stack([likeliest, 1 - likeliest], axis=1), features


def test_only_what_is_asked_about_is_chosen(rng):
    probs, features = groups(rng, 6)
    among = np.arange(3, 300, 30)
    assert set(label_next.choose(probs, features, 400, 0, among)) == {*among}


@pytest.mark.parametrize("seed", range(5))
def test_one_of_each_group_of_like_images_is_chosen_and_none_that_is_sure(rng, seed):
    probs, features = groups(rng, 6)
    chosen = label_next.choose(probs, features, 6, seed)
    assert not np.any(chosen % 2)
    assert sorted(chosen // 50) == list(range(6))


@pytest.mark.parametrize(("count", "pool"), [(40, 150), (200, 200)])
def test_the_surer_half_is_left_out_where_many_are_wanted(rng, count, pool):
    probs, features = rng.dirichlet(np.ones(3), 300), rng.normal(size=(300, 4))
    most = np.argsort(-label_next.uncertainty(probs))[:pool]
    assert set(label_next.choose(probs, features, count, 0)) <= set(most)


def test_it_is_a_function_of_the_seed(rng):
    probs, features = rng.dirichlet(np.ones(3), 400), rng.normal(size=(400, 5))
    first = label_next.choose(probs, features, 9, 1)
    np.testing.assert_array_equal(first, label_next.choose(probs, features, 9, 1))
    assert np.any(first != label_next.choose(probs, features, 9, 2))
    assert len(set(first)) == 9
    most = np.argsort(-label_next.uncertainty(probs))[:90]
    assert set(first) <= set(most)


@pytest.mark.parametrize(("count", "total"), [(0, 5), (3, 0), (5, 3), (3, 3)])
def test_there_may_be_fewer_images_than_wanted(rng, count, total):
    probs, features = rng.dirichlet(np.ones(3), total), rng.normal(size=(total, 4))
    chosen = label_next.choose(probs, features, count, 0)
    assert sorted(chosen) == sorted(set(chosen)) and len(chosen) == min(count, total)


def test_equal_images_fill_up():
    probs, features = np.full((16, 2), 0.5), np.zeros((16, 3))
    features[5] = [1, 0, 0]
    chosen = label_next.choose(probs, features, 4, 0)
    assert len(set(chosen)) == 4 and 5 in chosen


def test_a_hundred_thousand_images_take_seconds_and_little_memory(rng):
    features = np.broadcast_to(rng.normal(size=(1, 1280)).astype(np.float16), (100_000, 1280))
    probs = rng.dirichlet(np.ones(10), 100_000).astype(np.float32)
    tracemalloc.start()
    start = time.process_time()
    assert len(label_next.choose(probs, features, 100, 0)) == 100
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 20 and peak < 100e6
