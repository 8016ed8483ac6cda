"""Image operations by hand, and policies as pure functions."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment import ops, policies

SEED = tf.constant([1, 2], tf.int64)


def images(count=3, size=8):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1)).astype(np.uint8)


def test_identity_changes_nothing():
    x = images()
    identity = tf.constant([[[1.0, 0, 0], [0, 1, 0]]] * 3)
    np.testing.assert_array_equal(ops.affine(x, identity), x)
    np.testing.assert_array_equal(ops.enhance(x, tf.ones(3), tf.zeros(3)), x)


def test_translation_by_hand():
    x = images(2)
    moved = ops.translate(x, tf.constant([[1.0, 0.0], [0.0, -2.0]]), fill=7).numpy()
    np.testing.assert_array_equal(moved[0, :, 1:], x[0, :, :-1])  # to the right
    assert (moved[0, :, 0] == 7).all()
    np.testing.assert_array_equal(moved[1, :-2], x[1, 2:])  # up
    assert (moved[1, -2:] == 7).all()


def test_half_a_pixel_averages_neighbours():
    x = np.zeros((1, 4, 4, 1), np.uint8)
    x[0, :, 1] = 100
    moved = ops.translate(x, tf.constant([[0.5, 0.0]])).numpy()
    np.testing.assert_array_equal(moved[0, 0, :, 0], [0, 50, 50, 0])


def test_a_quarter_turn_about_the_centre():
    x = images(1)
    quarter = tf.constant([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(ops.affine(x, quarter)[0], np.rot90(x[0], k=1))


def test_enhance_by_hand():
    x = np.array([0, 100, 200, 255], np.uint8).reshape(1, 2, 2, 1)
    out = ops.enhance(x, tf.constant([0.5]), tf.constant([10.0])).numpy().ravel()
    np.testing.assert_array_equal(out, [74, 124, 174, 201])  # ties go to the even number


def test_cutout_by_hand():
    x = np.zeros((2, 4, 4, 1), np.uint8)
    cut = ops.cutout(x, tf.constant([[0.5, 0.5], [0.0, 0.99]]), size=2, fill=9).numpy()[..., 0]
    expected = np.zeros((2, 4, 4))
    expected[0, 1:3, 1:3] = 9
    expected[1, 2:4, 0:1] = 9  # cut off at the border
    np.testing.assert_array_equal(cut, expected)


@pytest.mark.parametrize("policy", [policies.digits_weak, policies.digits_strong])
def test_policies_are_functions_of_the_seed(policy):
    x = images(16)
    one, again = policy(x, SEED), policy(x, SEED)
    np.testing.assert_array_equal(one, again)
    assert one.dtype == tf.uint8
    assert one.shape == x.shape
    assert not np.array_equal(one, policy(x, SEED + 1))


def test_images_of_a_batch_are_changed_differently():
    x = np.repeat(images(1), 8, axis=0)
    assert len({image.tobytes() for image in policies.digits_strong(x, SEED).numpy()}) == 8


def test_the_strong_view_changes_more_than_the_weak():
    from mpl_tf.data import DATASETS

    x = DATASETS["digits"].load()[0].images.astype(float)

    def change(policy):
        return np.abs(policy(x.astype(np.uint8), SEED).numpy() - x).mean()

    assert change(policies.digits_strong) > 1.5 * change(policies.digits_weak)
