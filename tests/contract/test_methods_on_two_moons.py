"""Two moons with six labels: every method learns them, most better than the labels alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import datasets

from mpl_tf.engine import pool_predictions
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.methods import METHODS

pytestmark = pytest.mark.usefixtures("optimized_graphs")

STEPS, BATCH, POINTS = 1200, 125, 1000
VIEWS = {"weak": 0.05, "weak_2": 0.05, "strong": 0.2, "strong_2": 0.2}  # standard deviations


def moons(seed):
    """(points [1000, 2], label [1000], places of three labeled points of each moon [6])."""
    points, label = datasets.make_moons(POINTS, noise=0.1, random_state=seed)
    points = ((points - points.mean(0)) / points.std(0)).astype(np.float32)
    places = [np.flatnonzero(label == k)[:3] for k in range(2)]
    return points, label, np.concatenate(places)


def make_batches(points, label, places):
    """Batches without end: all labels, and views of 125 points, each point once in 8 batches."""
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


@pytest.fixture(scope="module")
def sets():
    """Two data sets: their points, labels, and batches."""
    return [(*made[:2], make_batches(*made)) for made in map(moons, (1, 2))]


def network(seed):
    """2-16-16-2 with tanh."""
    x = inputs = keras.Input([2])
    for n in range(2):
        start = keras.initializers.GlorotUniform(seed=10 * seed + n)
        x = keras.layers.Dense(16, "tanh", kernel_initializer=start)(x)
    head = keras.initializers.GlorotUniform(seed=10 * seed + 9)
    return keras.Model(inputs, keras.layers.Dense(2, kernel_initializer=head)(x))


def compiled(name, **hyperparameters):
    """A method, untrained."""
    method_class = METHODS[name]
    roles = [role.removesuffix("_optimizer") for role in method_class.optimizers]
    networks = {role: network(("student", "teacher").index(role)) for role in roles}
    method = method_class(**networks, label_smoothing=0.0, **hyperparameters)
    optimizers = {role: keras.optimizers.SGD(0.1, momentum=0.9) for role in method_class.optimizers}
    method.compile(**optimizers, steps_per_execution=STEPS // 4)
    return method


def accuracy(name, sets, **hyperparameters):
    """The share of all points that a method gets right in the end, mean over the data sets.

    Its steps are traced for the first and begin anew, with all variables, for the second.
    """
    method = compiled(name, **hyperparameters)
    engines = [*method.pretraining_phases().values(), method]
    owners = [*engines, *(o for each in engines for o in each.own_optimizers.values())]
    variables = list({id(v): v for owner in owners for v in owner.variables}.values())
    start = [np.array(v) for v in variables]
    shares = []
    for points, label, batches in sets:
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        for engine in engines:
            if isinstance(engine, StoredTeacherMethod):
                array = np.empty([POINTS, 2], pool_predictions.DTYPE)
                pool = [(points, np.arange(POINTS))]
                pool_predictions.predict(engines[0].network, pool, array)
                engine.take_predictions(pool_predictions.ArrayPredictions(array))
            engine.fit(batches, steps_per_epoch=STEPS, verbose=0)
        probs = method.predict(points, verbose=0)
        shares.append(np.mean(np.argmax(probs, axis=-1) == label))
    return np.mean(shares)


@pytest.fixture(scope="module")
def labels_alone(sets):
    return accuracy("supervised", sets)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"supervised"}))
def test_a_method_learns_two_moons(name, sets, contract, hyperparameters, labels_alone):
    """Far better than chance, 0.5, and most better than the labels alone."""
    assert labels_alone > 0.75
    share = accuracy(name, sets, **hyperparameters(name, "moons", STEPS // 4, POINTS))
    assert share > (0.75 if "moons" in contract(name)["no_better_on"] else labels_alone)
