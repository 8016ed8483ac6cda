"""What every method in METHODS must hold, whatever it does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data, training
from mpl_tf.checkpoint import Checkpoints
from mpl_tf.methods import METHODS
from mpl_tf.methods.base import Method

STEPS = 80
# A rate at which a small network learns in so few steps, whatever the method's own is.
SETTINGS = {
    "dataset": "digits",
    "network": "mlp",
    "num_labeled": 50,
    "labeled_batch": 20,
    "unlabeled_ratio": 2,
    "steps": STEPS,
    "student_learning_rate": 0.5,
}
# What suits so few steps less: the teacher's consistency at full weight, a student that waits.
SHORT = {"mpl": {"uda_weight": 1.0, "student_wait_steps": 0}}


@pytest.fixture(scope="module")
def source():
    return data.find("digits", "").load(config.make(SETTINGS).data)


def build(method, source, **more):
    """A training.Experiment of a method, untrained."""
    settings = {**SETTINGS, **SHORT.get(method, {}), **more}
    settings = {k: v for k, v in settings.items() if config.applies(k, method)}
    made = config.make({**settings, "method": method})
    return training.build(made, training.make_split(made, source), "")


def fit(experiment, steps, start=0):
    """Training, and at its start the phases before it; returns the logs."""
    if not start:
        for phase, engine in experiment.method.preparations().items():
            data = experiment.batches(phase, 0, engine.unlabeled_views)
            engine.fit(data, steps_per_epoch=STEPS // 2, verbose=0)
    history = experiment.method.fit(
        experiment.batches("train", start), steps_per_epoch=steps, verbose=0
    )
    return {name: values[-1] for name, values in history.history.items()}


def state(method):
    """Every number that a method holds: weights, optimizers, counters, random states."""
    optimizers = [getattr(method, name) for name in method.optimizers]
    held = [*method.variables, *(v for o in optimizers for v in o.variables)]
    windows = {id(v) for metric in method.metrics for v in metric.variables}
    return {v.path + str(i): np.array(v) for i, v in enumerate(held) if id(v) not in windows}


@pytest.mark.parametrize("name", METHODS)
def test_a_method(name, source, tmp_path):
    """One after the other, because building and tracing is what takes time."""
    experiment = build(name, source)
    method = experiment.method
    before = [np.array(v) for v in method.student.trainable_variables]
    logs = fit(experiment, 3)

    # Losses are finite, and every trainable weight of the student gets a gradient.
    assert logs and all(np.isfinite(value) for value in logs.values()), logs
    for v, old in zip(method.student.trainable_variables, before, strict=True):
        assert np.any(np.array(v) != old), v.path

    # A run that is restored at step 3 goes on as one that was not interrupted, to the last bit.
    Checkpoints(method, str(tmp_path / "checkpoints")).save(3)
    fit(experiment, 3, start=3)
    again = build(name, source)
    assert Checkpoints(again.method, str(tmp_path / "checkpoints")).restore() == 3
    fit(again, 3, start=3)
    wanted, found = state(method), state(again.method)
    assert [v.shape for v in found.values()] == [v.shape for v in wanted.values()]
    for (path, a), b in zip(wanted.items(), found.values(), strict=True):
        np.testing.assert_array_equal(b, a, err_msg=path)

    # It learns more than chance, in one trace.
    fit(experiment, STEPS - 6, start=6)
    assert method.train_function.experimental_get_tracing_count() == 1
    test = experiment.split.test
    images = test.store.read(test.positions)
    probs = method.predict(images, verbose=0)
    assert np.mean(np.argmax(probs, -1) == test.labels) > 0.3

    # What is exported answers as `predict` does.
    path = method.export(str(tmp_path / "export"), experiment.split.class_names)
    served = tf.saved_model.load(path).signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(served["probabilities"], probs, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_in_bfloat16_with_microbatches_and_groups_of_steps(name, source):
    experiment = build(
        name, source, precision="bfloat16", accumulate_steps=2, steps_per_execution=2, log_every=2,
        eval_every=2, finetune_steps=0,
    )  # fmt: skip
    logs = fit(experiment, 2)
    assert logs and all(np.isfinite(value) for value in logs.values()), logs
    assert int(experiment.method.step) == 2


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_one_final_class_with_a_documented_configuration(name):
    kind = METHODS[name]
    assert kind.__final__ and kind.__bases__ == (Method,)
    assert kind.cost and set(kind.optimizers) <= {"student_optimizer", "teacher_optimizer"}
    assert all(field.metadata["help"] for field in kind.Config.__dataclass_fields__.values())
    made = config.make({"method": name})
    assert kind.idle_options.isdisjoint(made.flat())
    assert issubclass(kind, keras.Model)
