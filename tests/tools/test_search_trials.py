"""tools/searching: damaged splits, trials, and the variants that are compared."""

import dataclasses
import os
import types

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data, networks
from mpl_tf.data.dataset import Images
from mpl_tf.data.stores import ArrayStore
from mpl_tf.formulas import measures
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, calibration, callbacks, experiment, phases
from searching import conditions, trials, variants

SMALL = {"dataset": "digits", "network": "small_4", "steps": 4, "finetune_steps": 2, "dropout": 0.2}
SMALL |= {"labeled_batch": 10, "unlabeled_ratio": 2, "eval_every": 4, "log_every": 4}


@pytest.fixture(scope="module")
def source():
    return data.find("digits").load()


DIGITS = types.SimpleNamespace(class_names=tuple("0123456789"), unlabeled=None)


def condition(name):
    all_there_are = *conditions.of_labels([1, 5]), *conditions.of_faults(5, DIGITS)
    found = [c for c in all_there_are if name in c.name]
    assert len(found) == 1, name
    return found[0]


def damaged(source, name, seed):
    of = condition(name)
    settings = config.make({"num_labeled": 10 * of.per_class, "seed": seed})
    return of.damage(experiment.make_split(settings, source), seed)


@pytest.mark.parametrize(("share", "wrong"), [(0.2, 1), (0.4, 2)])
def test_a_share_of_every_class_is_labeled_wrong(source, share, wrong):
    right = damaged(source, "5 labels a class", 3)
    labels = conditions.wrong_labels(right, share, 3).labeled.labels
    for k in range(10):
        assert (labels[right.labeled.labels == k] != k).sum() == wrong
    images = conditions.wrong_labels(right, share, 3).labeled.images
    np.testing.assert_array_equal(images, right.labeled.images)
    again = conditions.wrong_labels(right, share, 3).labeled.labels
    np.testing.assert_array_equal(labels, again)
    np.testing.assert_array_equal(
        damaged(source, f"{share:.0%} of labels wrong", 3).labeled.labels, labels
    )


def test_foreign_classes_are_in_the_unlabeled_images_alone(source):
    split = damaged(source, "twice the classes", 0)
    for part in (split.labeled, split.validation, split.test):
        assert set(part.labels) == set(range(5))
    assert set(split.unlabeled.labels) == set(range(10))


def test_unbalanced_classes_fall_to_a_tenth(source):
    split = damaged(source, "10:1", 0)
    counts = np.sort(np.bincount(split.unlabeled.labels))
    assert counts[-1] / counts[0] == pytest.approx(10, rel=0.15)
    np.testing.assert_array_equal(np.bincount(split.labeled.labels), [5] * 10)


@pytest.mark.parametrize(
    ("classes", "unlabeled", "without"),
    [
        (3, None, "twice the classes"),
        (4, [-1, 2], "10:1"),
        (4, [], ""),
        (4, [0, 3], ""),
    ],
)
def test_images_are_damaged_only_in_ways_in_which_they_can_be(classes, unlabeled, without):
    if unlabeled is not None:
        store = ArrayStore(np.zeros([len(unlabeled), 2, 2, 3], np.uint8))
        index = np.arange(len(unlabeled))
        unlabeled = Images(store, index, np.array(unlabeled, np.int64), index)
    names = tuple("abcd"[:classes])
    there = conditions.of_faults(5, types.SimpleNamespace(class_names=names, unlabeled=unlabeled))
    assert sum(bool(without) and without in c.name for c in there) == 0
    assert len(there) == 6 - bool(without)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_images_to_choose_on_and_to_measure_on_must_be_there(source, part):
    flags = SMALL | {"num_validation": 0} if part == "validation" else SMALL
    runner = trials.Runner(flags, dataclasses.replace(source, **{part: None}))
    with pytest.raises(ConfigError, match=f"on {part} images, and there are none"):
        runner.config(trial(variants.NONE, 0))


@pytest.mark.parametrize(
    "change",
    [
        {"pretrain": "simclr:steps=5"},
        {"eval_image_size": 12},
        {"optimizer": "lars"},
        {"network_weights": "imagenet", "network": "keras:MobileNetV2", "head_init": "probe"},
    ],
)
def test_what_trials_do_not_follow_is_refused(source, monkeypatch, change):
    monkeypatch.setattr(networks, "check", lambda *_: None)  # of weights that lie nowhere
    runner = trials.Runner(SMALL | {"image_size": 32} | change, source)
    name, value = list(change.items())[-1]
    with pytest.raises(ConfigError, match=f"leave {name}={value} out"):
        runner.config(trial(variants.NONE, 0))


def test_batches_are_no_larger_than_the_labels_of_a_condition(source):
    runner = trials.Runner(SMALL | {"labeled_batch": 30, "finetune_batch": 50}, source)
    for name, sizes in (("1 label", (10, 10)), ("5 labels", (30, 50))):
        each = trials.Trial(condition(name), variants.NONE, {}, 0)
        settings = runner.config(each)
        assert (settings.run.labeled_batch, settings.optimizer.finetune_batch) == sizes


def test_networks_that_are_made_of_other_options_start_from_others(source):
    starts, split = trials._Starts(), damaged(source, "1 label", 0)
    for dropout in (0.2, 0.0):  # which has no state
        settings = config.make(SMALL | {"network": "mlp", "dropout": dropout})
        fresh = [building.network(settings, 10, (8, 8, 1), role) for role in ("teacher", "student")]
        networks = dict(zip(("teacher", "student", "ema"), [*fresh, fresh[1]], strict=True))
        right = [n.get_weights() for n in fresh]
        for network in fresh:
            network.set_weights([0 * w for w in network.get_weights()])
        starts.give(settings, split, networks, is_head=False)
        for network, weights in zip(fresh, right, strict=True):
            for ours, theirs in zip(network.get_weights(), weights, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def trial(variant, seed, **options):
    return trials.Trial(condition("1 label"), variant, options, seed)


@pytest.mark.slow
def test_a_trial_is_the_run_of_its_settings_whichever_came_before(source, tmp_path):
    runner = trials.Runner(SMALL, source)
    options = {"feedback_weight": 0.1, "uda_weight": 2.0}
    results = [runner.run(trial(variants.FEEDBACK, s, **options), "test") for s in (3, 4, 3)]
    assert results[0] == results[2] != results[1]
    settings = runner.config(trial(variants.FEEDBACK, 4, **options))
    assert settings.method.feedback_scale == "unit" and settings.run.seed == 4
    split = experiment.make_split(settings, source)
    run = experiment.build(settings, split, str(tmp_path / "run"))
    os.makedirs(run.path)
    phases.fit(run)
    logits = calibration.logits(run.method.networks, split.test)
    accuracy = {name: measures.accuracy(z, split.test.labels) for name, z in logits.items()}
    assert accuracy.items() <= results[1].items()
    assert 0 <= results[1]["true_credited"] <= 1 and abs(results[1]["true_cosine"]) <= 1


def test_a_trial_stops_where_a_logit_is_not_finite():
    logits = {"teacher": np.eye(2), "ema": np.array([[0.0, 1.0], [np.nan, 0.0]])}
    with pytest.raises(callbacks.NonFiniteError, match="logits of ema are NaN or infinite"):
        trials._accuracies(logits, np.arange(2))
    assert trials._accuracies({"teacher": np.eye(2)}, np.arange(2)) == {"teacher": 1.0}


@pytest.mark.slow
def test_a_trial_that_fails_leaves_nothing_to_the_next(source):
    """Its weights are huge, and in the second step of the student no number is finite."""
    runner = trials.Runner(SMALL | {"network": "mlp"}, source)
    each = trial(variants.FEEDBACK, 3, feedback_weight=0.1)
    right = runner.run(each, "validation")
    (made,) = runner._trainers.values()
    initial = made._initial
    made._initial = [np.full_like(v, 1e30) if v.ndim == 2 else v for v in initial]
    starts, runner._starts = runner._starts, types.SimpleNamespace(give=lambda *_, **__: None)
    with pytest.raises(callbacks.NonFiniteError):
        runner.run(each, "validation")
    made._initial, runner._starts = initial, starts
    assert runner.run(each, "validation") == right


class Step:
    """What an estimator reads of a student's step, and a method that gives a known credit."""

    def __init__(self, monkeypatch, batch):
        generator = np.random.default_rng(0)
        self.credited = tf.constant(generator.normal(size=[6, 3]), tf.float32)
        self.pseudo_label = tf.nn.softmax(tf.constant(generator.normal(size=[6, 3]), tf.float32))
        self.batch, self.logs = batch, {}
        monkeypatch.setattr(variants.Exact, "credit", lambda _, step: step.credited)

    def draw_seed(self):
        return tf.constant([1, 2], tf.int64)

    def log(self, weight=1.0, **values):
        self.logs |= {name: float(value) for name, value in values.items()}


def test_how_right_the_direction_is_is_measured_by_the_hidden_labels(monkeypatch):
    batch = {}
    step = Step(monkeypatch, batch)
    hidden = step.pseudo_label.numpy().argmax(-1)
    hidden[:4] = (hidden[:4] + [1, 1, 2, 2]) % 3
    batch["hidden_label"] = tf.constant([*hidden[:5], 3])  # the last is of a class without labels
    logits = tf.Variable(tf.math.log(step.pseudo_label))
    with tf.GradientTape(persistent=True) as tape:
        ours = tf.reduce_sum((tf.nn.softmax(logits) * step.credited)[:5])
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant(hidden), logits)
        theirs = tf.reduce_sum(each[:5])
    a, b = (tape.gradient(term, logits).numpy() for term in (ours, theirs))
    cosine = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
    credited = (a[np.arange(4), hidden[:4]] < 0).mean()
    assert 0 < credited < 1
    variants.Measured(step).credit(step)
    assert step.logs["true_cosine"] == pytest.approx(cosine, abs=1e-5)
    assert step.logs["true_credited"] == pytest.approx(credited, abs=1e-5)
    step.batch, step.logs = {}, {}  # nobody knows the labels
    assert variants.Measured(step).credit(step) is step.credited and not step.logs


def test_shuffled_credits_are_those_of_other_images(monkeypatch):
    step = Step(monkeypatch, {})
    shuffled = variants.Shuffled(step).credit(step).numpy()
    assert not np.array_equal(shuffled, step.credited)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(step.credited, axis=0))
    rows = {tuple(row) for row in shuffled}
    assert rows == {tuple(row) for row in step.credited.numpy()}  # whole rows


def test_credits_of_classes_and_of_images_are_the_credits(monkeypatch):
    step = Step(monkeypatch, {})
    classes = variants.OfClasses(step).credit(step).numpy()
    images = variants.OfImages(step).credit(step).numpy()
    assert np.ptp(classes, axis=0).max() == 0 < np.ptp(classes[0])
    np.testing.assert_allclose(images.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(classes + images, step.credited, rtol=1e-5, atol=1e-6)


def test_aligned_labels_are_the_teachers_by_class_shares_and_then_sharpened():
    method = types.SimpleNamespace(config=types.SimpleNamespace(label_temperature=0.5))
    probs = np.array([[0.8, 0.2], [0.6, 0.4]])
    label = variants.AlignedLabels(method).label(tf.constant(2 * np.log(probs)))
    weighted = probs / [0.7, 0.3]  # the shares that the teacher gives the classes
    odds = (weighted[:, 0] / weighted[:, 1]) ** 2
    np.testing.assert_allclose(label, np.stack([odds, np.ones(2)], 1) / (1 + odds[:, None]), 1e-4)


@pytest.mark.slow
def test_aligned_labels_are_no_feedback_and_other_labels(source):
    runner = trials.Runner(SMALL | {"steps": 8}, source)
    aligned = next(v for v in variants.VARIANTS if v.name == "alignment instead")
    none, other = (
        runner.run(trial(v, 0, feedback_weight=30.0), "validation")
        for v in (variants.NONE, aligned)
    )
    assert none["teacher"] == other["teacher"] and none["ema"] != other["ema"]
    assert "feedback_share" not in other


@pytest.mark.slow
def test_controls_are_no_exact_feedback_and_differ_from_one_another(source):
    runner = trials.Runner(SMALL | {"steps": 8}, source)
    names = "exact", "shuffled over images", "supervised instead", "other labels"
    of = [v for v in variants.VARIANTS if v.name in names]
    results = [runner.run(trial(v, 0, feedback_weight=30.0), "validation") for v in of]
    assert len({(r["teacher"], r["student"], r["feedback_share"]) for r in results}) == len(of) == 4


def test_the_supervised_control_has_the_gradient_norm_of_the_feedback(source):
    runner = trials.Runner(SMALL, source)
    instead = next(v for v in variants.VARIANTS if v.name == "supervised instead")
    each = trial(instead, 0, feedback_weight=1.0)
    settings = runner.config(each)
    split = experiment.make_split(settings, source)
    method = experiment.build(settings, split, "").method
    control = instead.estimator(method, ())
    generator, teacher = np.random.default_rng(0), method.teacher
    batch = {
        "labeled": tf.constant(generator.uniform(0, 255, [4, *split.labeled.shape]), tf.float32),
        "label": tf.constant([0, 1, 2, 3]),
        "strong": tf.constant(generator.uniform(0, 255, [6, *split.labeled.shape]), tf.float32),
    }
    control._batch = batch
    credit = tf.constant(generator.normal(size=[6, 10]), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        term = control.term(credit, None, None)
        probs = tf.nn.softmax(teacher(batch["strong"], training=False))
        replaced = tf.reduce_sum(probs * credit)
        labels = tf.one_hot(batch["label"], 10)
        logits = teacher(batch["labeled"], training=False)
        supervised = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
    norm, of_feedback = (
        tf.linalg.global_norm(tape.gradient(loss, teacher.trainable_variables))
        for loss in (term, replaced)
    )
    np.testing.assert_allclose(norm, of_feedback, rtol=1e-4)
    ours, theirs = (
        tape.gradient(loss, teacher.trainable_variables[-1]).numpy() for loss in (term, supervised)
    )
    np.testing.assert_allclose(
        ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), 1e-3, 1e-5
    )
