"""Every method learns two moons from six labels, most of them better than the labels alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import datasets

from mpl_tf.methods import METHODS

STEPS, BATCH, POINTS = 1200, 125, 1000
VIEWS = {"weak": 0.05, "weak_2": 0.05, "strong": 0.2, "strong_2": 0.2}  # standard deviations
# What the papers have for images of thousands of pixels and as many steps.
SUITED = {
    "mpl": {"uda_weight": 1.0, "uda_threshold": 0.0, "uda_ramp_steps": 0},
    "vat": {"perturbation": 0.03, "probe": 0.003},
    "remixmatch": {"rotation_weight": 0.0, "strong_views": 2},
    "noisy_student": {"rounds": 2},
}


@pytest.fixture(scope="module")
def moons():
    """(points [1000, 2], label [1000], places of three labeled points of each moon [6])."""
    points, label = datasets.make_moons(POINTS, noise=0.1, random_state=0)
    points = ((points - points.mean(0)) / points.std(0)).astype(np.float32)
    places = [np.flatnonzero(label == k)[:3] for k in range(2)]
    return points, label, np.concatenate(places)


@pytest.fixture(scope="module")
def batches(moons):
    """Batches without end: all labels, and views of 125 points, each point once in 8 batches."""
    points, label, places = moons
    rng = np.random.default_rng(1)
    order = np.concatenate([rng.permutation(POINTS) for _ in range(STEPS * BATCH // POINTS)])
    index = order.reshape(STEPS, BATCH)
    views = {
        name: points[index] + rng.normal(0, sigma, [STEPS, BATCH, 2]).astype(np.float32)
        for name, sigma in VIEWS.items()
    }
    drawn = tf.data.Dataset.from_tensor_slices({**views, "index": index}).repeat()
    labels = {"labeled": points[places], "label": label[places]}
    return drawn.map(lambda batch: labels | batch)


def network(seed):
    """2-16-16-2 with tanh."""
    x = inputs = keras.Input([2])
    for n in range(2):
        start = keras.initializers.GlorotUniform(seed=10 * seed + n)
        x = keras.layers.Dense(16, "tanh", kernel_initializer=start)(x)
    head = keras.initializers.GlorotUniform(seed=10 * seed + 9)
    return keras.Model(inputs, keras.layers.Dense(2, kernel_initializer=head)(x))


def accuracy(name, moons, batches):
    """The share of all points that a method gets right in the end."""
    kind, more = METHODS[name], dict(SUITED.get(name, {}))
    if "index" in kind.unlabeled_views:
        more["num_unlabeled"] = POINTS
    if hasattr(kind.Config, "ramp_steps"):
        more["ramp_steps"] = STEPS // 4
    roles = [role.removesuffix("_optimizer") for role in kind.optimizers]
    method = kind(
        *(network(("student", "teacher").index(role)) for role in sorted(roles, reverse=True)),
        label_smoothing=0.0,
        **more,
    )
    method.compile(
        *(keras.optimizers.SGD(0.1, momentum=0.9) for _ in roles), steps_per_execution=STEPS // 4
    )
    for engine in [*method.preparations().values(), method]:
        engine.fit(batches, steps_per_epoch=STEPS, verbose=0)
    points, label, _ = moons
    return np.mean(np.argmax(method.predict(points, verbose=0), axis=-1) == label)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_two_moons(name, moons, batches):
    assert accuracy(name, moons, batches) > 0.8
