"""MoCo v2 against hand-written numpy."""

import numpy as np
import pytest

import mpl_tf

CONTRACT = {
    "digits": {"queue": 64, "target_momentum": 0.9},
    "moons": {"queue": 64, "target_momentum": 0.9},
    "replicas": {"queue": 10, "target_momentum": 0.8},
    "no_better_on": ("digits", "moons"),
}


def make(student, **hyperparameters):
    options = {"queue": 8, "projection": 3, "temperature": 0.4, "target_momentum": 0.8}
    return mpl_tf.MoCoV2(student, **(options | hyperparameters))


def target_weights(model):
    """Those of the target: of the student's average, and of the projector's."""
    return [np.array(v) for v in model.target.variables]


def test_three_steps_by_hand(two_layers, two_batches, in_steps, by_hand):
    """New keys enter the queue in front, after the loss, and the oldest ones leave it."""
    batches = [*two_batches, two_batches[0]]
    model = make(two_layers())
    student, projector = model.student.get_weights(), model.projector.get_weights()
    target, queue = [*student[:2], *projector], model.queue.numpy()
    np.testing.assert_allclose(np.linalg.norm(queue, axis=1), 1, atol=1e-6)
    for batch, logs in zip(batches, in_steps(model, batches), strict=True):
        features = by_hand.encode(batch["strong_2"], target)
        key = by_hand.unit(by_hand.perceptron(features, target[2:]))

        def loss(encoder, projector, batch=batch, key=key, queue=queue):
            features = by_hand.encode(batch["strong"], encoder)
            query = by_hand.unit(by_hand.perceptron(features, projector))
            return by_hand.info_nce(query, key, queue, 0.4)

        assert logs["unlabeled_loss"] == pytest.approx(loss(student[:2], projector), abs=1e-6)
        student, projector = by_hand.encoder_step(student, projector, batch, loss)
        moved = zip(target, [*student[:2], *projector], strict=True)
        target = [0.8 * t + 0.2 * s for t, s in moved]
        queue = np.concatenate([key, queue[:2]])
    by_hand.assert_close(model.student.get_weights(), student, 1e-6)  # the queue is float32
    by_hand.assert_close(model.projector.get_weights(), projector, 1e-6)
    expected = by_hand.perceptron(by_hand.encode(two_batches[1]["weak"], target), target[2:])
    got = model.target(two_batches[1]["weak"])[:, 3:]
    by_hand.assert_close([got, model.queue], [expected, queue], 1e-6)


def test_a_queue_of_one_has_the_first_of_the_newest_keys(
    two_layers, two_batches, in_steps, by_hand
):
    model = make(two_layers(), queue=1, target_momentum=1.0)
    logs = in_steps(model, two_batches)
    first, second = (model.keys(batch["strong_2"]).numpy() for batch in two_batches)
    np.testing.assert_allclose(model.queue, second[:1], atol=1e-6)
    again = make(two_layers(), queue=1, target_momentum=1.0)
    in_steps(again, two_batches[:1])
    query = again.projected(two_batches[1]["strong"]).numpy()[:, 3:]
    expected = by_hand.info_nce(by_hand.unit(query), second, first[:1], 0.4)
    assert logs[1]["unlabeled_loss"] == pytest.approx(expected, abs=1e-6)


def test_at_a_high_temperature_all_keys_are_alike(two_layers, more_views, in_steps):
    (logs,) = in_steps(make(two_layers(), temperature=1e6), [more_views])
    assert logs["unlabeled_loss"] == pytest.approx(np.log(9), abs=1e-5)


def test_with_a_momentum_of_one_the_target_stays(two_layers, two_batches, in_steps, by_hand):
    model = make(two_layers(), target_momentum=1.0)
    before = target_weights(model)
    in_steps(model, two_batches)
    by_hand.assert_identical(target_weights(model), before)


def test_with_a_momentum_of_zero_it_is_the_student(two_layers, two_batches, in_steps, by_hand):
    model = make(two_layers(), target_momentum=0.0)
    in_steps(model, two_batches)
    by_hand.assert_identical(target_weights(model), map(np.array, model.projected.variables))


def test_keys_are_of_moving_statistics(convolutional, random_batch, in_steps):
    """A key does not depend on the batch that it is in, so that it tells nothing of it."""
    model = make(convolutional(0), target_momentum=0.0)
    batch = random_batch((6, 6, 1))
    batch["strong_2"] = batch["weak"]
    in_steps(model, [batch])
    together, alone = model.keys(batch["weak"]), model.keys(batch["weak"][:1])
    np.testing.assert_allclose(together[:1], alone, atol=1e-12)
