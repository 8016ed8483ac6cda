"""MixUp of a global batch."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.engine import mixup

SEED = tf.constant([3, 8], tf.int64)


def mix(sizes, alpha=0.75, seed=SEED, **options):
    """(weights of the images in each mixed image [N, N], of the targets, likewise)."""
    total = sum(sizes)
    images = tf.split(tf.reshape(tf.eye(total), [total, total, 1, 1]), sizes)
    targets = tf.split(tf.eye(total, dtype=tf.float64), sizes)
    mixed = mixup.mix(images, targets, alpha, seed, **options)
    return [np.concatenate(parts).reshape(total, total) for parts in mixed]


@pytest.mark.parametrize("keep_larger", [False, True])
def test_every_image_is_mixed_with_one_other_and_its_target_likewise(keep_larger):
    images, targets = mix([20, 12], keep_larger=keep_larger)
    np.testing.assert_allclose(images, targets, atol=1e-6)
    own = np.diag(images).copy()
    rest = images - np.diag(own)
    partners = rest.argmax(axis=1)
    lonely = own > 0.9999  # its own partner
    assert lonely.sum() < 4
    np.testing.assert_allclose(rest.max(axis=1), 1 - own, atol=1e-6)
    assert len(set(partners[~lonely])) == (~lonely).sum()  # an order: nobody is taken twice
    assert (partners[:20] >= 20).any() and (partners[20:] < 20).any()  # from all parts
    assert (own.min() >= 0.5) == keep_larger
    assert len(set(own[~lonely].round(6))) > 20


def test_one_weight_for_all():
    images, _ = mix([8, 8], one_weight=True)
    own = np.diag(images)
    assert len(set(own[own < 0.9999].round(5))) == 1


def test_another_step_mixes_otherwise():
    first, again, other = (mix([8], seed=seed)[0] for seed in (SEED, SEED, SEED + [0, 8]))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_alpha_0_mixes_nothing():
    images, targets = mix([3, 2], alpha=0)
    np.testing.assert_array_equal(images, np.eye(5))
    np.testing.assert_array_equal(targets, np.eye(5))


def test_whole_numbers_are_mixed_as_floating_ones():
    images = tf.constant(np.full([4, 2, 2, 1], 200, np.uint8))
    (mixed,), _ = mixup.mix([images], [tf.eye(4)], 1.0, SEED)
    np.testing.assert_allclose(mixed, 200.0, rtol=1e-6)
