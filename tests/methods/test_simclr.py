"""SimCLR against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf

CONTRACT = {"no_better_on": ("digits", "moons")}


def all_against_all(first, second, temperature):
    """Both directions of the loss from one table of the similarities of all views."""
    count, rows = len(first), np.concatenate([first, second])
    rows = rows / np.sqrt(np.sum(rows**2, axis=1))[:, None]
    table = np.exp(rows @ rows.T / temperature)
    np.fill_diagonal(table, 0.0)
    sibling = np.roll(np.eye(2 * count), count, axis=1)
    return -np.log(np.sum(table * sibling, axis=1) / np.sum(table, axis=1)).sum() / count


def test_two_steps_by_hand(two_layers, two_batches, in_steps, by_hand):
    """Batch norm of the projector takes labeled images and both views as one batch."""
    model = mpl_tf.SimCLR(two_layers(), temperature=0.4, projection=3)
    student = model.student.get_weights()
    projector = [v.numpy() for v in model.projector.trainable_variables]
    for batch, logs in zip(two_batches, in_steps(model, two_batches), strict=True):

        def loss(encoder, projector, batch=batch):
            every = np.concatenate([batch[name] for name in ("labeled", "strong", "strong_2")])
            z = by_hand.perceptron(by_hand.encode(every, encoder), projector, batch_norm=True)
            return all_against_all(z[4:10], z[10:], 0.4)

        assert logs["unlabeled_loss"] == pytest.approx(loss(student[:2], projector), abs=1e-6)
        student, projector = by_hand.encoder_step(student, projector, batch, loss)
    by_hand.assert_close(model.student.get_weights(), student)
    by_hand.assert_close(model.projector.trainable_variables, projector)


def test_at_a_high_temperature_all_images_are_alike(two_layers, more_views, in_steps):
    (logs,) = in_steps(mpl_tf.SimCLR(two_layers(), temperature=1e6), [more_views])
    assert logs["unlabeled_loss"] == pytest.approx(2 * np.log(11), abs=1e-5)


def test_at_a_low_temperature_equal_views_are_told_from_all_others(
    two_layers, more_views, in_steps
):
    batch = more_views | {"strong_2": more_views["strong"]}
    (logs,) = in_steps(mpl_tf.SimCLR(two_layers(), temperature=1e-4), [batch])
    assert logs["unlabeled_loss"] == pytest.approx(0, abs=1e-6)


def test_one_image_alone_teaches_the_encoder_nothing(two_layers, random_batch, in_steps, by_hand):
    """There is nothing that it could be told from."""
    model = mpl_tf.SimCLR(two_layers())
    batch = random_batch((5,), unlabeled=1)
    before = model.student.get_weights()
    (logs,) = in_steps(model, [batch | {"strong_2": batch["weak"]}])
    assert logs["unlabeled_loss"] == pytest.approx(0, abs=1e-12)
    by_hand.assert_close(model.student.get_weights()[:2], before[:2], 1e-12)


def test_the_projector_is_as_wide_as_the_features(two_layers):
    model = mpl_tf.SimCLR(two_layers(), projection=7)
    shapes = [layer.units for layer in model.projector.layers if hasattr(layer, "units")]
    assert shapes == [4, 7]
    norms = [isinstance(x, keras.layers.BatchNormalization) for x in model.projector.layers]
    assert sum(norms) == 1
