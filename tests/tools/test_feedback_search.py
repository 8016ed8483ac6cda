"""tools/feedback_search.py: damaged splits, controls, choice, paired tables."""

import csv
import dataclasses
import json
import os
import re
import types

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data
from mpl_tf.data.dataset import Images
from mpl_tf.data.stores import ArrayStore
from mpl_tf.formulas import measures
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, calibration, experiment, phases
from mpl_tf.runs import folder as run_folder
from searching import choosing, conditions, ledger, pictures, tables, trials, variants
from searching.pairs import paired

SMALL = {"dataset": "digits", "network": "small_4", "steps": 4, "finetune_steps": 2, "dropout": 0.2}
SMALL |= {"labeled_batch": 10, "unlabeled_ratio": 2, "eval_every": 4, "log_every": 4}


@pytest.fixture(scope="module")
def search(load_tool):
    return load_tool("feedback_search")


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


def row(part, variant, seed, accuracy, options, of="1 label a class"):
    each = trials.Trial(
        next(c for c in conditions.of_labels([1, 5]) if c.name == of), variant, options, seed
    )
    return ledger.row_of(each, part, {"ema": 0.1, "teacher": 0.2, "finetuned": accuracy})


GRID = choosing.combinations({"uda_weight": [0.0, 2.0], "label_temperature": [1.0]})


@pytest.fixture
def rows():
    """UDA 2 is the best without feedback, on it weight 3; test images would say the opposite."""
    made = []
    for seed in (100, 101):
        for options, accuracy in zip(GRID, (0.5, 0.6), strict=True):
            made.append(row("validation", variants.NONE, seed, accuracy, options))
        for weight, accuracy in ((1.0, 0.62), (3.0, 0.65 + (seed - 100) / 50)):
            options = {**GRID[1], "feedback_weight": weight}
            made.append(row("validation", variants.FEEDBACK, seed, accuracy, options))
        options = {**GRID[0], "feedback_weight": 1.0}
        made.append(row("validation", variants.FEEDBACK, seed, 0.99, options))
    for seed, gain in ((0, 0.02), (1, 0.04)):
        made.append(row("test", variants.NONE, seed, 0.5 + seed / 10, GRID[1]))
        options = {**GRID[1], "feedback_weight": 3.0}
        made.append(row("test", variants.FEEDBACK, seed, 0.5 + seed / 10 + gain, options))
    return made


def test_options_are_chosen_without_feedback_and_then_its_weight(rows):
    choice = choosing.choose(rows, GRID, [1.0, 3.0])
    assert (choice.options, choice.weight) == (GRID[1], 3.0)
    assert [mean for _, mean in choice.without] == pytest.approx([60, 50])
    assert dict(choice.with_weights) == pytest.approx({1.0: 62, 3.0: 66})


def test_the_table_is_paired(rows, tmp_path):
    choice = choosing.choose(rows, GRID, [1.0, 3.0])
    text = tables.markdown(rows, conditions.of_labels([1, 5]), choice, "digits", "command")
    # Gains 2 and 4: mean 3, standard error 1, t(0.975, 1) = 12.71; t(1) = 3 has p 0.2048.
    assert "| +3.00 [-9.71, +15.71], p 0.2048; 2 of 2, p 0.500 |" in text
    assert "| 1 label a class | 2 | 55.00 ± 7.07 | 58.00 ± 8.49 |" in text
    assert "**uda_weight 2, label_temperature 1** | 60.00" in text and "**3** | 66.00" in text
    assert "5 labels a class" not in text and text.endswith("`command`\n")
    points = pictures.strengths(rows, choice)["1 label a class"]
    assert [(weight, round(values.mean, 6)) for weight, values in points] == [(1, 2), (3, 6)]
    pictures.draw(tmp_path / "p.png", rows, conditions.of_labels([1, 5]), choice, "digits")
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_a_single_pair_and_options_that_are_words(rows, tmp_path):
    grid = choosing.combinations({"label_view": ["weak", "strong"], "joint_views": [True]})
    made = []
    for part, seed in (("validation", 100), ("test", 0)):
        made += [row(part, variants.NONE, seed, 0.5, options) for options in grid]
        options = {**grid[0], "feedback_weight": 3.0}
        made += [
            row(part, v, seed, 0.52, options) for v in (variants.FEEDBACK, variants.VARIANTS[2])
        ]
    choice = choosing.choose(made, grid, [3.0])
    text = tables.markdown(made, conditions.of_labels([1]), choice, "digits", "command")
    assert "**label_view weak, joint_views True** | 50.00" in text
    assert "| 1 label a class | 1 | 50.00 | 52.00 | +2.00 | +0.00 | +0.00 |" in text
    assert "| 1 label a class | +2.00 | +2.00 |" in text and "nan" not in text
    assert [v.mean for _, v in pictures.strengths(made, choice)["1 label a class"]] == [
        pytest.approx(2)
    ]
    pictures.draw(tmp_path / "p.png", made, conditions.of_labels([1]), choice, "digits")


def test_pairs_that_do_not_differ_count_in_no_sign_test():
    result = paired([1.0, 2.0, 3.0, 4.0, 4.0], [1.0, 1.0, 2.0, 3.0, 5.0])
    assert (result.better, result.differ) == (3, 4)
    assert result.sign_p == pytest.approx(0.625)  # twice (1 + 4) / 16
    assert paired([1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert paired([2.0, 3.0], [1.0, 2.0]).p == 0.0


def test_runs_are_kept_and_the_same_command_continues(search, tmp_path, monkeypatch, capsys):
    few = ["--labels=1", "--grid=uda_weight=0:2", "--weights=1", "--search_seeds=1", "--seeds=2"]
    runs = []

    def run(self, each, part):
        runs.append(ledger.key_of(each, part))
        return {"ema": each.seed / 1000 + each.options["uda_weight"] / 10, "teacher": 0.5}

    def start(*more):
        runs.clear()
        status = search.main([*few, f"--out={tmp_path / 'a'}", *more])
        return status, capsys.readouterr()

    def rows():
        with open(tmp_path / "a" / "runs.csv", newline="") as file:
            return list(csv.DictReader(file))

    monkeypatch.setattr(trials.Runner, "run", run)
    assert start()[0] == 0
    whole = rows()
    assert len(whole) == len(runs) == 3 + 2 * len(variants.VARIANTS)
    assert [ledger.key(r) for r in whole] == runs
    assert [r["seed"] for r in whole[:5]] == ["100", "100", "100", "0", "0"]
    assert all((r["part"] == "test") == (int(r["seed"]) < 100) for r in whole)
    assert all('"uda_weight": 2.0' in r["options"] for r in whole[2:])
    assert "| 1 label a class | 2 |" in (tmp_path / "a" / "table.md").read_text()
    ledger.write(tmp_path / "a" / "runs.csv", whole[:4])
    assert start()[0] == 0 and rows() == whole and len(runs) == len(whole) - 4
    assert start()[0] == 0 and not runs
    table = (tmp_path / "a" / "table.md").read_text()
    # Runs of other arguments do not count: of seeds, of weights, and of what was chosen by them.
    assert start("--seeds=3", "--weights=1,2")[0] == 0 and len(rows()) > len(whole)
    assert start()[0] == 0
    assert (tmp_path / "a" / "table.md").read_text() == table
    whole = rows()
    status, said = start("--flags=network=mlp")
    assert status == 2 and "has runs of other settings" in said.err and rows() == whole
    settings = tmp_path / "a" / "settings.json"
    there = settings.read_text()
    settings.write_text(json.dumps(json.loads(there) | {"images": {"test": "of others"}}))
    status, said = start()
    assert status == 2 and "has runs on other images" in said.err and rows() == whole
    settings.write_text(there)
    with run_folder.lock(str(tmp_path / "a"), "out"):
        status, said = start()
    assert status == 2 and f"out {tmp_path / 'a'} is in use by another process" in said.err
    (tmp_path / "a" / "settings.json").unlink()
    status, said = start()
    assert status == 2 and "has runs, but no settings.json" in said.err and rows() == whole


@pytest.mark.parametrize(
    ("grid", "values"),
    [
        ("uda_weight=0:2:0,label_view=weak", {"uda_weight": [0.0, 2.0], "label_view": ["weak"]}),
        ("", {}),
    ],
)
def test_values_that_are_named_twice_are_tried_once(search, grid, values):
    assert search._values(grid, ["--dataset=digits"]) == values


def test_a_kill_while_runs_are_written_loses_none(rows, tmp_path):
    ledger.write(tmp_path / "runs.csv", rows[:1])

    def killed_after_the_first():
        yield rows[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.write(tmp_path / "runs.csv", killed_after_the_first())
    assert ledger.read(tmp_path / "runs.csv") == rows[:1]
    (tmp_path / "runs.csv").write_text("part,seed\ntest,0\n")
    with pytest.raises(ConfigError, match=r"runs\.csv is damaged: its columns must be"):
        ledger.read(tmp_path / "runs.csv")


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        (",.1,.1,.1,,,,", "a row has no accuracies"),  # of the teacher
        (".1,.1,nan,.1,,,,", "a row has no accuracies"),
        (".1,.1,.1,.1,,,1e,", "could not convert string to float: '1e'"),
        (".1,.1,.1,.1,,", "a row has 13 columns"),  # cut off
        (".1,.1,.1,.1,,,,,9", "a row has 13 columns"),
    ],
)
def test_a_row_that_no_table_can_be_made_of_is_refused(rows, tmp_path, accuracies, message):
    file = tmp_path / "runs.csv"
    ledger.write(file, rows)
    assert ledger.read(file) == rows
    file.write_text(file.read_text() + f"test,x,none,{{}},0,{accuracies}\n")
    with pytest.raises(ConfigError, match=re.escape(f"runs.csv is damaged: {message}. Move it")):
        ledger.read(file)
