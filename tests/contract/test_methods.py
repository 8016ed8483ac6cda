"""What every method in METHODS must hold, whatever it does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data
from mpl_tf.engine.fixed_teacher import FixedTeacherMethod
from mpl_tf.engine.method import Method
from mpl_tf.engine.student import StudentMethod
from mpl_tf.methods import METHODS
from mpl_tf.runs import experiment as experiments
from mpl_tf.runs.checkpoint import Checkpoints

ABSTRACT = (Method, StudentMethod, FixedTeacherMethod)
STEPS = 200
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
# Better than the labels alone within so few steps, as their papers claim. A student that sees no
# label before it is finetuned (mpl, pseudo_label), and averages over epochs (temporal_ensembling),
# need more: test_methods_on_two_moons.py and the README's tables have them.
BETTER = {
    "fixmatch", "flexmatch", "freematch", "ict", "mean_teacher", "mixmatch", "noisy_student",
    "remixmatch", "uda", "vat",
}  # fmt: skip


@pytest.fixture(scope="module")
def source():
    return data.find("digits", "").load(config.make(SETTINGS).data)


def build(method, source, **more):
    """An experiment.Experiment of a method, untrained."""
    settings = {**SETTINGS, **SHORT.get(method, {}), **more}
    settings = {k: v for k, v in settings.items() if config.applies(k, method)}
    made = config.make({**settings, "method": method})
    return experiments.build(made, experiments.make_split(made, source), "")


def fit(experiment, steps, start=0):
    """Training, and at its start the phases before it; returns the logs."""
    if not start:
        for phase, engine in experiment.method.pretraining_phases().items():
            data = experiment.batches(phase, 0, engine.unlabeled_views)
            engine.fit(data, steps_per_epoch=STEPS // 2, verbose=0)
    history = experiment.method.fit(
        experiment.batches("train", start), steps_per_epoch=steps, verbose=0
    )
    return {name: values[-1] for name, values in history.history.items()}


def accuracy(experiment):
    """The share of the test images that a method gets right."""
    test = experiment.split.test
    probs = experiment.method.predict(test.store.read(test.positions), verbose=0)
    return np.mean(np.argmax(probs, -1) == test.labels)


@pytest.fixture(scope="module")
def labels_alone(source):
    """The accuracy of supervised learning after as many steps."""
    experiment = build("supervised", source)
    fit(experiment, STEPS)
    return accuracy(experiment)


def state(method):
    """Every number that a method holds: weights, optimizers, counters, random states."""
    optimizers = [getattr(method, name) for name in method.optimizers]
    held = [*method.variables, *(v for o in optimizers for v in o.variables)]
    windows = {id(v) for metric in method.metrics for v in metric.variables}
    return {v.path + str(i): np.array(v) for i, v in enumerate(held) if id(v) not in windows}


@pytest.mark.parametrize("name", METHODS)
def test_a_method(name, source, labels_alone, tmp_path):
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

    # It learns far more than chance, 0.1, and what its paper claims, in one trace.
    fit(experiment, STEPS - 6, start=6)
    assert method.train_function.experimental_get_tracing_count() == 1
    assert accuracy(experiment) > (labels_alone if name in BETTER else 0.7)

    # What is exported answers as `predict` does.
    images = experiment.split.test.images
    probs = method.predict(images, verbose=0)
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
    assert kind.__final__ and kind.__bases__[0] in ABSTRACT
    assert kind.passes_per_step and set(kind.optimizers) <= {
        "student_optimizer",
        "teacher_optimizer",
    }
    assert all(field.metadata["help"] for field in kind.Config.__dataclass_fields__.values())
    made = config.make({"method": name})
    assert config.unused_options(kind).isdisjoint(made.flat())
    assert issubclass(kind, keras.Model)
