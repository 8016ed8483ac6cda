"""Maps against points that are moved by hand, and what is told against what is drawn."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.formulas import transformations

CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)


def apply(matrix, points):
    """Points [P, 2] under one map."""
    moved = np.concatenate([points, np.ones([len(points), 1])], 1) @ np.asarray(matrix, float).T
    return moved[:, :2] / moved[:, 2:]


@pytest.mark.parametrize(("width", "height"), [(1.0, 1.0), (1.0, 0.6), (0.5, 1.0)])
def test_a_homography_takes_corners_where_it_is_told(width, height):
    rng = np.random.default_rng(0)
    targets = CORNERS * [width, height] + rng.uniform(-0.2, 0.2, (5, 4, 2))
    matrix = transformations.homography(tf.constant(targets, tf.float32), width, height)
    np.testing.assert_array_equal(matrix[:, 2, 2], 1)
    for each, target in zip(matrix, targets, strict=True):
        np.testing.assert_allclose(apply(each, CORNERS * [width, height]), target, atol=1e-5)
        straight = apply(each, np.array([[-width, 0.1], [0.0, 0.1], [width, 0.1]]))
        a, b = straight[1] - straight[0], straight[2] - straight[0]
        assert abs(a[0] * b[1] - a[1] * b[0]) < 1e-5  # lines stay lines


def test_the_inverse_takes_points_back():
    draws = tf.constant(np.random.default_rng(0).random((6, 10)), tf.float32)
    matrix, _ = transformations.projective(draws, 32, 32)
    points = np.random.default_rng(1).uniform(-1, 1, (7, 2))
    for there, back in zip(matrix, transformations.inverse(matrix), strict=True):
        np.testing.assert_allclose(apply(back, apply(there, points)), points, atol=1e-5)


def test_an_affine_map_shears_scales_turns_and_shifts():
    angle, shift, scale, shear = 0.7, (0.3, -0.2), 1.2, 0.4
    (matrix,) = transformations.affine_matrix(
        tf.constant([angle]), tf.constant([shift]), tf.constant([scale]), tf.constant([shear])
    )
    points = np.random.default_rng(1).uniform(-1, 1, (7, 2))
    x, y = points.T
    x, y = scale * (x + math.tan(shear) * y), scale * y
    turned = np.stack([math.cos(angle) * x + math.sin(angle) * y,
                       -math.sin(angle) * x + math.cos(angle) * y], 1)  # fmt: skip
    np.testing.assert_allclose(apply(matrix, points), turned + shift, atol=1e-6)


def test_what_is_told_of_the_affine_family_is_what_was_drawn():
    draws = np.random.default_rng(0).random((500, 5)).astype("float32")
    draws[:2] = [[0] * 5, [1] * 5]
    family = transformations.affine_family(tf.constant(draws), 1.0, 0.5)
    centred = 2 * draws - 1
    angle = math.pi * centred[:, 0]
    for name, count in (("affine", 6), ("similarity", 5), ("euclidean", 4)):
        matrix, told = (np.asarray(each, float) for each in family[name])
        assert told.shape == (500, count)
        assert told.min() >= -1 - 1e-6 and told.max() <= 1 + 1e-6
        np.testing.assert_allclose(told[:, 0], np.cos(angle), atol=1e-5)
        np.testing.assert_allclose(told[:, 1], np.sin(angle), atol=1e-5)
        np.testing.assert_allclose(matrix[:, 0, 2], 0.2 * 2 * told[:, 2], atol=1e-6)
        np.testing.assert_allclose(matrix[:, 1, 2], 0.2 * 2 * 0.5 * told[:, 3], atol=1e-6)
        stretch = 0.2 * told[:, 4] if count > 4 else 0.0
        area = np.linalg.det(matrix[:, :2, :2])
        np.testing.assert_allclose(area, (1 + stretch) ** 2 * np.ones(500), atol=1e-5)
        slope = np.sum(matrix[:, :2, 0] * matrix[:, :2, 1], axis=1) / area
        expected = np.tan(np.radians(30 * told[:, 5])) if count > 5 else np.zeros(500)
        np.testing.assert_allclose(slope, expected, atol=1e-5)


def test_corners_are_scaled_turned_and_shifted_by_whole_pixels():
    draws = np.random.default_rng(0).random((400, 10)).astype("float32")
    matrix, told = transformations.projective(tf.constant(draws), 32, 32)
    np.testing.assert_array_equal(np.reshape(matrix, [400, 9])[:, :8], told)
    quarters, shifts = set(), set()
    for each, draw in zip(matrix, draws, strict=True):
        quarter = int(4 * draw[1])
        turned = CORNERS * (0.8 + 0.4 * draw[0])
        for _ in range(quarter):  # to the left, y down
            turned = np.stack([turned[:, 1], -turned[:, 0]], 1)
        pixels = (apply(each, CORNERS) - turned) * 16
        np.testing.assert_allclose(pixels, np.round(pixels), atol=2e-3)
        quarters.add(quarter)
        shifts |= set(np.round(pixels).ravel().astype(int))
    assert quarters == {0, 1, 2, 3}
    assert shifts == set(range(-4, 5))


def test_an_image_that_is_not_square_keeps_its_corners_in_the_middle_of_the_range():
    still = tf.constant([[0.5, 0.0] + [0.5] * 8])
    matrix, _ = transformations.projective(still, 20, 10)
    np.testing.assert_allclose(matrix[0], np.eye(3), atol=1e-6)


def test_factors_are_told_between_minus_1_and_1():
    draws = tf.constant(np.random.default_rng(0).random((200, 4)), tf.float32)
    factors, told = (np.asarray(each) for each in transformations.color_factors(draws))
    assert factors.min() >= 0.2 and factors.max() <= 1.8 and np.abs(told).max() <= 1
    np.testing.assert_allclose(factors, 1 + 0.8 * told, atol=1e-6)
