"""BYOL against hand-written numpy, and that it does not collapse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import mpl_tf

CONTRACT = {
    "digits": {"hidden_width": 32, "projection": 16},
    "moons": {"hidden_width": 16, "projection": 8},
    "replicas": {"hidden_width": 8, "projection": 4, "target_momentum": 0.8},
    "no_better_on": ("digits", "moons"),
}


def make(student, **hyperparameters):
    options = {"hidden_width": 8, "projection": 3, "target_momentum": 0.6, "momentum_steps": 4}
    return mpl_tf.BYOL(student, **(options | hyperparameters))


def trained(network):
    return [v.numpy() for v in network.trainable_variables]


def test_three_steps_by_hand(two_layers, two_batches, in_steps, by_hand):
    """The student's batch has labeled images and both views, the target's both views."""
    batches = [*two_batches, two_batches[0]]
    model = make(two_layers())
    student, projector, predictor = map(trained, (model.student, model.projector, model.predictor))
    target = [*student[:2], *projector]

    def project(images, encoder, projector):
        features = by_hand.encode(images, encoder)
        return by_hand.perceptron(features, projector, batch_norm=True)

    for number, (batch, logs) in enumerate(zip(batches, in_steps(model, batches), strict=True)):
        views = np.concatenate([batch["strong"], batch["strong_2"]])
        wanted = by_hand.unit(np.roll(project(views, target[:2], target[2:]), 6, axis=0))

        def loss(encoder, projectors, batch=batch, views=views, wanted=wanted):
            images = np.concatenate([batch["labeled"], views])
            z = project(images, encoder, projectors[:5])
            p = by_hand.unit(by_hand.perceptron(z, projectors[5:], batch_norm=True)[4:])
            return np.sum((p - wanted) ** 2) / 6

        both = [*projector, *predictor]
        assert logs["unlabeled_loss"] == pytest.approx(loss(student[:2], both), abs=1e-6)
        student, both = by_hand.encoder_step(student, both, batch, loss)
        projector, predictor = both[:5], both[5:]
        m = 1 - 0.4 * (np.cos(np.pi * number / 4) + 1) / 2
        moved = zip(target, [*student[:2], *projector], strict=True)
        target = [m * t + (1 - m) * s for t, s in moved]
    by_hand.assert_close(trained(model.student), student, 1e-6)  # momenta are float32
    by_hand.assert_close(trained(model.projector), projector, 1e-6)
    by_hand.assert_close(trained(model.predictor), predictor, 1e-6)
    kernel, bias, *averages = trained(model.target)
    by_hand.assert_close([kernel, bias], target[:2], 1e-6)
    by_hand.assert_close(averages[-5:], target[2:], 1e-6)


def test_momentum_rises_to_one_along_half_a_cosine(linear):
    model = make(linear(5, 3), momentum_steps=100)
    for step, expected in ((0, 0.6), (25, 1 - 0.2 * (1 + 0.5**0.5)), (50, 0.8), (100, 1), (200, 1)):
        model.step.assign(step)
        assert float(model.momentum()) == pytest.approx(expected, abs=1e-6)


def test_without_steps_it_stays(linear):
    model = make(linear(5, 3), momentum_steps=0)
    model.step.assign(1000)
    assert float(model.momentum()) == pytest.approx(0.6)


def test_with_a_momentum_of_one_the_target_stays(two_layers, two_batches, in_steps, by_hand):
    """Its batch statistics, too, although it computes by those of the batch."""
    model = make(two_layers(), target_momentum=1.0)
    before = [np.array(v) for v in model.target.variables]
    in_steps(model, two_batches)
    by_hand.assert_identical(model.target.variables, before)


def test_representations_do_not_collapse(rng):
    """The targets are no constant, by which the loss would be 0, after 60 steps.

    Directions in d dimensions that are spread evenly have a standard deviation of 1 / sqrt(d).
    """
    images = load_digits().images.reshape(-1, 64).astype("float32") / 16
    x = inputs = keras.Input([64])
    for number in range(2):
        start = keras.initializers.GlorotUniform(seed=number)
        x = keras.layers.Dense(32, "relu", kernel_initializer=start)(x)
    model = make(
        keras.Model(inputs, keras.layers.Dense(10)(x)), hidden_width=32, projection=8,
        target_momentum=0.9, momentum_steps=60,
    )  # fmt: skip

    def batches():
        while True:
            of_step = images[rng.integers(len(images), size=64)]
            views = [of_step + 0.2 * rng.normal(size=of_step.shape) for _ in range(2)]
            strong, strong_2 = (view.astype("float32") for view in views)
            label = np.zeros(4, "int64")
            yield {"labeled": of_step[:4], "label": label, "strong": strong, "strong_2": strong_2}

    spec = {name: tf.TensorSpec(v.shape, v.dtype) for name, v in next(batches()).items()}
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    losses = []
    for _ in range(2):
        history = model.fit(data, steps_per_epoch=30, verbose=0).history
        losses.append(history["unlabeled_loss"][0])
    assert losses[1] < 0.5 * losses[0]
    for network in (model.projected, model.target):
        rows = network(images[:500], training=True).numpy()[:, 10:]
        spread = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).std(axis=0).mean()
        assert spread > 0.5 / np.sqrt(8)  # without a predictor it is 0.02
