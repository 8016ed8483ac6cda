"""The pure functions of the feedback, one by one."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.formulas import feedback


@pytest.mark.parametrize(("nesterov", "expected"), [(True, 0.19), (False, 0.1)])
def test_step_factor_is_how_far_keras_moves_along_the_newest_gradient(nesterov, expected):
    import keras

    assert feedback.step_factor(0.1, 0.9, nesterov) == pytest.approx(expected)
    moved = []
    for newest in (0.0, 1.0):
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=nesterov)
        weight = keras.Variable(0.0)
        optimizer.build([weight])
        for gradient in (0.7, newest):
            optimizer.apply([tf.constant(gradient)], [weight])
        moved.append(float(weight.value))
    assert moved[0] - moved[1] == pytest.approx(expected, rel=1e-5)


def test_loss_difference_is_positive_when_the_lesson_helped():
    assert feedback.loss_difference(before=2.0, after=1.5) == 0.5


def test_dot_product_by_hand():
    labeled = [tf.constant([1.0, 2.0]), tf.constant([[3.0]])]
    lesson = [tf.constant([4.0, 5.0]), tf.constant([[-6.0]])]
    assert float(feedback.dot_product(labeled, lesson, 0.5)) == pytest.approx(0.5 * (4 + 10 - 18))


@pytest.mark.parametrize("clip_norm", [None, 0.5, 100.0])
def test_through_clipping_is_the_derivative_of_clipping(clip_norm):
    rng = np.random.default_rng(1)
    gradient = [tf.constant(rng.normal(size=s)) for s in ((3,), (2, 2))]
    direction = [tf.constant(rng.normal(size=g.shape)) for g in gradient]

    def clip(tensors):
        return tensors if clip_norm is None else tf.clip_by_global_norm(tensors, clip_norm)[0]

    with tf.GradientTape() as tape:
        tape.watch(gradient)
        along = feedback.inner_product(clip(gradient), direction)
    expected = tape.gradient(along, gradient)
    for a, b in zip(
        feedback.through_clipping(direction, gradient, clip_norm), expected, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_through_clipping_of_a_zero_gradient_is_finite():
    (moved,) = feedback.through_clipping([tf.ones(2)], [tf.zeros(2)], 1.0)
    np.testing.assert_array_equal(moved, [1, 1])


def test_scalar_term_rewards_the_label_that_helped():
    logits = tf.constant([[0.2, -0.1, 0.4]])
    label = tf.one_hot([1], 3)
    for advantage in (0.7, -0.7):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = feedback.scalar_term(tf.constant(advantage), label, logits)
        descent = -tape.gradient(loss, logits).numpy()[0]
        assert np.sign(descent[1]) == np.sign(advantage)


def test_exact_term_moves_mass_to_classes_of_negative_credit():
    logits = tf.zeros([1, 3])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = feedback.exact_term(tf.constant([[-1.0, 0.0, 1.0]]), logits)
    assert float(loss) == pytest.approx(0.0)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[-1 / 3, 0, 1 / 3]], rtol=1e-6)


def test_the_published_term_has_no_gradient_and_ours_has():
    """Soft labels of the teacher under stop_gradient, credited to the same logits: q - q = 0."""
    logits = tf.constant([[0.2, -0.1, 0.4], [1.0, 0.0, -1.0]])
    credit = tf.constant([[0.3, 0.1, -0.2], [0.0, 0.5, -0.5]])

    def gradient(term):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = term()
        return np.abs(tape.gradient(value, logits)).max()

    def published():
        return feedback.scalar_term(
            tf.constant(0.7), tf.stop_gradient(tf.nn.softmax(logits)), logits
        )

    assert gradient(published) < 1e-7
    assert gradient(lambda: feedback.exact_term(credit, logits)) > 0.01
    drawn = tf.one_hot([1, 0], 3)
    assert gradient(lambda: feedback.scalar_term(tf.constant(0.7), drawn, logits)) > 0.01
