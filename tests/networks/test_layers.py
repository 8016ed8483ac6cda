"""Layers that networks share."""

import numpy as np

from mpl_tf.networks.layers import drop_path


def test_drop_path_drops_whole_images_and_scales_the_others():
    images = np.ones((400, 2, 3, 4), np.float32)
    outputs = drop_path(0.25, seed=3)(images, training=True).numpy()
    of_images = outputs[:, 0, 0, 0]
    np.testing.assert_array_equal(outputs, images * of_images[:, None, None, None])
    assert set(of_images) == {np.float32(0), np.float32(1 / 0.75)}
    # Four standard errors of the mean of 400 draws.
    assert abs(of_images.mean() - 1) < 4 * np.sqrt(0.25 / 0.75 / 400)


def test_drop_path_draws_from_its_seed_and_keeps_everything_outside_training():
    images = np.ones((50, 1, 1, 1), np.float32)
    one, same, other = (drop_path(0.5, seed=s)(images, training=True) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(drop_path(0.5, seed=1)(images), images)
