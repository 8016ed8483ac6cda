"""What every method in METHODS must hold, whatever it does.

A method is built and traced once, which is what takes time; fixtures train it further in steps, and
keep what the tests ask about.
"""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data
from mpl_tf.engine.feedback_method import FeedbackMethod
from mpl_tf.engine.fixed_teacher import FixedTeacherMethod
from mpl_tf.engine.self_supervised import MomentumMethod, SelfSupervisedMethod
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.engine.student import StudentMethod
from mpl_tf.methods import METHODS
from mpl_tf.runs import experiment as experiments
from mpl_tf.runs import stored_predictions
from mpl_tf.runs.checkpoint import Checkpoints

ABSTRACT = (
    StudentMethod,
    FixedTeacherMethod,
    FeedbackMethod,
    StoredTeacherMethod,
    SelfSupervisedMethod,
    MomentumMethod,
)
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


@pytest.fixture(scope="module")
def build(contract, tmp_path_factory):
    """build(method, **settings): an experiment.Experiment of a method, untrained.

    All of a method have one folder.
    """
    folders = tmp_path_factory.mktemp("runs")
    source = data.find("digits", "").load(config.make(SETTINGS).data)

    def make(method, **more):
        settings = {**SETTINGS, **contract(method)["digits"], **more}
        settings = {k: v for k, v in settings.items() if config.applies(k, method)}
        settings = config.make({**settings, "method": method})
        return experiments.build(
            settings, experiments.make_split(settings, source), str(folders / method)
        )

    return make


def fit(experiment, steps, start=0):
    """Training, and at its start the phases before it; returns the logs."""
    if not start:
        for phase, trainer in experiment.method.pretraining_phases().items():
            batches = experiment.batches(phase, 0, trainer.unlabeled_views)
            trainer.fit(batches, steps_per_epoch=STEPS // 2, verbose=0)
    if isinstance(experiment.method, StoredTeacherMethod):
        pathlib.Path(experiment.path).mkdir(exist_ok=True)
        stored_predictions.prepare(experiment, experiment.method)
    batches = experiment.batches("train", start)
    history = experiment.method.fit(batches, steps_per_epoch=steps, verbose=0)
    return {name: values[-1] for name, values in history.history.items()}


def accuracy(experiment):
    """The share of the test images that a method gets right."""
    test = experiment.split.test
    probs = experiment.method.predict(test.store.read(test.positions), verbose=0)
    return np.mean(np.argmax(probs, -1) == test.labels)


def state(method):
    """Every number that a method holds: weights, optimizers, counters, random states."""
    optimizers = method.own_optimizers.values()
    variables = [*method.variables, *(v for o in optimizers for v in o.variables)]
    windows = {id(v) for metric in method.metrics for v in metric.variables}
    return {v.path + str(i): np.array(v) for i, v in enumerate(variables) if id(v) not in windows}


@pytest.fixture(scope="module", params=METHODS)
def name(request):
    """A method's name in METHODS."""
    return request.param


@pytest.fixture(scope="module")
def experiment(build, name):
    """An experiment.Experiment of the method, which the fixtures below train."""
    return build(name)


@pytest.fixture(scope="module")
def three_steps(experiment, tmp_path_factory):
    """(logs, paths of the student's weights that moved not, checkpoints) after three steps."""
    variables = experiment.method.student.trainable_variables
    before = [np.array(v) for v in variables]
    logs = fit(experiment, 3)
    resting = [v.path for v, old in zip(variables, before, strict=True) if np.all(v == old)]
    folder = str(tmp_path_factory.mktemp("checkpoints"))
    Checkpoints(experiment.method, folder).save(3)
    return logs, resting, folder


@pytest.fixture(scope="module")
def six_steps(experiment, three_steps):
    """The state after three more."""
    assert three_steps
    fit(experiment, 3, start=3)
    return state(experiment.method)


@pytest.fixture(scope="module")
def all_steps(experiment, six_steps):
    """The experiment after all of them."""
    assert six_steps
    fit(experiment, STEPS - 6, start=6)
    return experiment


@pytest.fixture(scope="module")
def labels_alone(build):
    """The accuracy of supervised learning after as many steps."""
    experiment = build("supervised")
    fit(experiment, STEPS)
    return accuracy(experiment)


def test_losses_are_finite(three_steps):
    logs = three_steps[0]
    assert logs and all(np.isfinite(value) for value in logs.values()), logs


def test_every_trainable_weight_of_the_student_moves(three_steps):
    assert not three_steps[1]


def test_a_restored_run_goes_on_to_the_last_bit(name, build, three_steps, six_steps):
    """As one that was not interrupted: checkpoints hold all that a step reads."""
    restored = build(name)
    assert Checkpoints(restored.method, three_steps[2]).restore() == 3
    fit(restored, 3, start=3)
    resumed = state(restored.method)
    assert [v.shape for v in resumed.values()] == [v.shape for v in six_steps.values()]
    for (path, expected), actual in zip(six_steps.items(), resumed.values(), strict=True):
        np.testing.assert_array_equal(actual, expected, err_msg=path)


def test_steps_are_traced_once(all_steps):
    """Neither a checkpoint nor a second `fit` has a step, or the passes after it, traced again."""
    method = all_steps.method
    assert method.train_function.experimental_get_tracing_count() == 1
    if method.passes_function is not None:  # networks with batch normalisation have it
        assert method.passes_function.experimental_get_tracing_count() == 1


def test_it_learns_far_more_than_chance(all_steps):
    assert accuracy(all_steps) > 0.7  # chance is 0.1


def test_it_learns_more_than_the_labels_alone_teach(name, contract, all_steps, labels_alone):
    """As the papers claim; README and docs have tables of longer runs."""
    if name == "supervised" or "digits" in contract(name)["no_better_on"]:
        pytest.skip("not claimed for so few steps")
    assert accuracy(all_steps) > labels_alone


def test_its_export_answers_as_predict_does(all_steps, tmp_path):
    images = all_steps.split.test.images
    probs = all_steps.method.predict(images, verbose=0)
    path = all_steps.method.export(str(tmp_path), all_steps.split.class_names)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    np.testing.assert_allclose(serve(images=tf.constant(images))["probabilities"], probs, atol=1e-5)


def test_it_runs_in_bfloat16_with_microbatches_and_groups_of_steps(name, build):
    experiment = build(
        name, precision="bfloat16", accumulate_steps=2, steps_per_execution=2, log_every=2,
        eval_every=2, finetune_steps=0,
    )  # fmt: skip
    logs = fit(experiment, 2)
    assert logs and all(np.isfinite(value) for value in logs.values()), logs
    assert int(experiment.method.step) == 2


def test_it_is_a_final_class_of_keras_that_extends_an_abstract_one(name):
    method = METHODS[name]
    assert method.registered_name == name
    assert method.__final__ and method.__bases__[0] in ABSTRACT
    assert issubclass(method, keras.Model)


def test_it_says_what_a_step_costs_and_which_optimizers_it_takes(name):
    method = METHODS[name]
    assert method.passes_per_step
    assert set(method.optimizers) <= {"student_optimizer", "teacher_optimizer"}


def test_its_hyperparameters_have_help_and_no_unused_option_is_set(name):
    method = METHODS[name]
    assert all(field.metadata["help"] for field in method.Config.__dataclass_fields__.values())
    assert config.unused_options(method).isdisjoint(config.make({"method": name}).flat())
