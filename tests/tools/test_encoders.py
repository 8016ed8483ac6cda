"""tools/encoders.py: its figures against their parts, untrained networks, and what it refuses."""

import csv

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf import train
from mpl_tf.data import DATASETS, splits
from mpl_tf.features import probe
from mpl_tf.formulas import measures, neighbours
from mpl_tf.runs import restore

LABELED, VALIDATION = 40, 100
IMAGES = ["--dataset=digits", f"--num_labeled={LABELED}", f"--num_validation={VALIDATION}"]


@pytest.fixture
def judge(load_tool, tmp_path, monkeypatch, capsys):
    """judge(*arguments): (exit status, rows of the table by encoder, what was printed)."""
    tool = load_tool("encoders")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = tool.main([*IMAGES, *arguments, "--out=out"])
        rows = {}
        if (tmp_path / "out" / "table.csv").exists():
            with open(tmp_path / "out" / "table.csv", newline="") as file:
                rows = {row.pop("encoder"): row for row in csv.DictReader(file)}
        captured = capsys.readouterr()
        return status, rows, captured.out + captured.err

    return run


def save(network, path):
    network.save(path)
    return str(path)


@pytest.fixture
def pixels(tmp_path):
    """An encoder whose features are the pixels, at unit length in the tool."""
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return save(keras.Sequential([keras.Input((8, 8, 1)), *layers]), tmp_path / "pixels.keras")


def parts():
    split = splits.split(DATASETS["digits"].load(), LABELED, VALIDATION, 0)
    made = {}
    for name in ("labeled", "validation", "test"):
        images = getattr(split, name)
        features = images.images.reshape(len(images), -1).astype(np.float32)
        made[name] = features / np.linalg.norm(features, axis=1, keepdims=True), images.labels
    return made


@pytest.mark.parametrize("on", ["validation", "test"])
def test_the_figures_are_those_of_the_formulas(on, judge, pixels, tmp_path):
    status, rows, text = judge(f"--networks={pixels}", f"--on={on}", "--k=5")
    assert status == 0
    made = parts()
    (bank, labels), (features, truth) = made["labeled"], made[on]
    votes = neighbours.knn_probs(features, bank, labels, 10, 5)
    assert float(rows[pixels]["knn"]) == pytest.approx(measures.accuracy(votes, truth), abs=1e-9)
    standard = probe.moments([bank])
    heads = [probe.fit(bank, labels, 10, s, standard) for s in probe.STRENGTHS]
    right, is_right = made["validation"], []
    for head in heads:
        is_right.append(measures.accuracy(head.logits(right[0]), right[1]))
    best = int(np.argmax(is_right))  # on validation images, whatever accuracies are of
    expected = measures.accuracy(heads[best].logits(features), truth)
    assert float(rows[pixels]["strength"]) == probe.STRENGTHS[best]
    assert float(rows[pixels]["linear"]) == pytest.approx(expected, abs=0.011)
    assert rows[pixels]["features"] == "64"
    table = (tmp_path / "out" / "table.md").read_text()
    assert f"{len(truth):,} {on} images of digits; 40 labeled images, k=5" in table
    assert f"| {100 * float(rows[pixels]['knn']):.2f} |" in table and table in text


def test_random_is_the_same_architecture_before_training(judge, tmp_path):
    network = mpl_tf.NETWORKS["mlp"](10, (8, 8, 1), seed=3)
    before = save(network, tmp_path / "before.keras")
    rng = np.random.default_rng(0)
    network.set_weights([w + rng.normal(size=w.shape) for w in network.get_weights()])
    after = save(network, tmp_path / "after.keras")
    status, rows, _ = judge(f"--networks={before},{after}")
    assert status == 0 and list(rows) == [before, after, "random"]
    assert rows["random"] == rows[before] != rows[after]


def test_scaling_is_no_training(judge, load_tool):
    """And what has no seed of its own is drawn by that of the command line."""
    load_tool("encoders")
    from judging import encoders

    adapted = keras.layers.Normalization(axis=None)
    adapted.adapt(np.array([100.0, 110.0]))
    backbone = keras.Sequential([keras.Input((2,)), adapted, keras.layers.Dense(3)])
    trained = encoders.Encoder("a", backbone)
    drawn, again, other = (encoders.untrained([trained], seed)[0].backbone for seed in (1, 1, 2))
    middle, beside = np.full([1, 2], 105.0), np.full([1, 2], 115.0)
    assert (drawn(middle).numpy() == 0).all()
    np.testing.assert_array_equal(drawn(beside), again(beside))
    assert not np.allclose(drawn(beside), other(beside))
    assert not np.allclose(drawn(beside), backbone(beside))


def test_networks_of_runs_are_judged_without_their_heads(judge, tmp_path, no_pictures):
    flags = ["--method=supervised", "--steps=3", "--network=mlp", "--workdir=run"]
    assert train.main([*IMAGES, *flags]) == 0
    _, network = restore.restore(restore.find("run"), "student")
    saved = save(network, tmp_path / "student.keras")
    status, rows, _ = judge(f"--networks=run,{saved}", "--which=student")
    assert status == 0 and list(rows) == ["run", saved, "random"]
    assert rows["run"]["knn"] == rows[saved]["knn"]  # a file's features have unit length
    assert rows["run"]["features"] == rows["random"]["features"] == "128"
    assert rows["run"] != rows["random"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks=nowhere.keras"], "nowhere.keras is no file"),
        (["--networks=."], "is a folder, and no run lies in it"),
        (["--networks=,"], "names no encoder"),
        (["--networks=a", "--steps=3"], "--steps would have no effect here"),
        (["--networks=a", "--num_validation=0"], "digits has none: set --num_validation"),
        (["--networks=a", "--num_labeled=1500"], "from 10 to 1140 (without the 100"),
        (["--networks=a", "--dataset=magic"], "dataset must be one of"),
    ],
)
def test_bad_input_is_refused(judge, arguments, message):
    status, rows, text = judge(*arguments)
    assert status == 2 and not rows
    assert message in text and "Traceback" not in text
