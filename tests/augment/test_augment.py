"""Image operations by hand, and policies as pure functions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment import ops, policies, randaugment
from mpl_tf.augment.draws import Draws


def images(count=3, size=8):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1)).astype(np.uint8)


def test_identity_changes_nothing():
    x = images()
    identity = tf.constant([[[1.0, 0, 0], [0, 1, 0]]] * 3)
    np.testing.assert_array_equal(ops.affine(x, identity), x)
    np.testing.assert_array_equal(ops.enhance(x, tf.ones(3), tf.zeros(3)), x)


def test_translation_by_hand():
    x = images(2)
    moved = ops.shift(x, tf.constant([[1.0, 0.0], [0.0, -2.0]]), fill=7).numpy()
    np.testing.assert_array_equal(moved[0, :, 1:], x[0, :, :-1])  # to the right
    assert (moved[0, :, 0] == 7).all()
    np.testing.assert_array_equal(moved[1, :-2], x[1, 2:])  # up
    assert (moved[1, -2:] == 7).all()


def test_half_a_pixel_averages_neighbours():
    x = np.zeros((1, 4, 4, 1), np.uint8)
    x[0, :, 1] = 100
    moved = ops.shift(x, tf.constant([[0.5, 0.0]])).numpy()
    np.testing.assert_array_equal(moved[0, 0, :, 0], [0, 50, 50, 0])


def test_a_quarter_turn_about_the_centre():
    x = images(1)
    quarter = tf.constant([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(ops.affine(x, quarter)[0], np.rot90(x[0], k=1))


def test_enhance_by_hand():
    x = np.array([0, 100, 200, 255], np.uint8).reshape(1, 2, 2, 1)
    out = ops.enhance(x, tf.constant([0.5]), tf.constant([10.0])).numpy().ravel()
    np.testing.assert_array_equal(out, [74, 124, 174, 201])  # ties go to the even number


def draws(count, seed=0):
    return Draws(tf.constant([seed, 7], tf.int64), count)


POLICIES = {
    "shift": policies.Shift(),
    "affine": policies.Affine(),
    "crop": policies.Crop(),
    "resized_crop": policies.ResizedCrop(),
    "strong": policies.Strong(policies.Crop(), randaugment.RandAugment()),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies_are_functions_of_the_seed(name):
    policy, x = POLICIES[name], images(16)
    one, again = policy(x, draws(16)), policy(x, draws(16))
    np.testing.assert_array_equal(one, again)
    assert one.dtype == tf.uint8
    assert one.shape == x.shape
    assert not np.array_equal(one, policy(x, draws(16, seed=1)))


@pytest.mark.parametrize("name", POLICIES)
def test_rows_of_a_batch_can_be_shown_apart(name):
    policy, x = POLICIES[name], images(16)
    whole = policy(x, draws(16))
    for first in (0, 4, 12):
        rows = Draws(draws(16).seed, 16, first, 4)
        np.testing.assert_array_equal(policy(x[first : first + 4], rows), whole[first : first + 4])


def test_a_crop_moves_by_up_to_an_eighth_and_mirrors_half():
    rising = np.broadcast_to(np.arange(100, 108, dtype=np.uint8)[:, None], [256, 8, 8])[..., None]
    values = policies.Crop(flip=False)(tf.constant(rising), draws(256)).numpy()[:, 4, 4, 0]
    assert set(values) == {103, 104, 105}  # a pixel up, none, a pixel down
    rightwards = tf.constant(rising.transpose(0, 2, 1, 3))
    views = policies.Crop()(rightwards, draws(256)).numpy().astype(int)
    mirrored = views[:, 4, 3, 0] > views[:, 4, 4, 0]
    assert 0.4 < mirrored.mean() < 0.6


def test_a_keras_layer_is_a_policy():
    x = images(4)
    views = policies.as_policy(keras.layers.RandomFlip("horizontal", seed=0))(x, draws(4))
    assert views.dtype == tf.uint8
    for one, image in zip(views.numpy(), np.asarray(x), strict=True):
        assert np.array_equal(one, image) or np.array_equal(one, image[:, ::-1])
    assert policies.as_policy(None) is policies.unchanged


def test_images_of_a_batch_are_changed_differently():
    x = np.repeat(images(1), 8, axis=0)
    assert len({image.tobytes() for image in policies.Affine()(x, draws(8)).numpy()}) == 8


def test_the_strong_view_changes_more_than_the_weak():
    from mpl_tf.data import DATASETS

    x = DATASETS["digits"].load().train.images.astype(float)

    def change(policy):
        return np.abs(policy(x.astype(np.uint8), draws(len(x))).numpy() - x).mean()

    assert change(policies.Affine()) > 1.5 * change(policies.Shift())
