"""tools/two_moons.py: data, seeds side by side, tables."""

import csv

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("two_moons")


def test_the_data_of_a_seed(tool):
    points, label, index = tool.moons(3, 0.1)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(points.std(0), 1, atol=1e-5)
    assert np.bincount(label).tolist() == [1000, 1000]
    assert label[index].tolist() == [0, 0, 0, 1, 1, 1] and len(set(index)) == 6
    for again, first in zip(tool.moons(3, 0.1), (points, label, index), strict=True):
        np.testing.assert_array_equal(again, first)
    # A label twice would be rare, so many are drawn.
    assert all(len(set(tool.moons(seed, 0.1)[2])) == 6 for seed in range(1000))
    others = tool.moons(4, 0.1)
    assert not np.allclose(others[0], points) and set(others[2]) != set(index)


def test_seeds_keep_their_place_when_stacked(tool):
    points, label, index = tool.stacked(3, 0.1)
    for seed in range(3):
        alone = tool.moons(seed, 0.1)
        np.testing.assert_array_equal(points[:, seed], alone[0])
        np.testing.assert_array_equal(label[:, seed], alone[1])
        np.testing.assert_array_equal(index[:, seed], alone[2])


def test_batches_repeat_and_do_not_depend_on_later_seeds(tool):
    data = tool.stacked(3, 0.1)
    fewer = tuple(part[:, :2] for part in data)
    three, two = (list(tool.batches(d, 0.15).take(3)) for d in (data, fewer))
    assert three[0]["weak"].shape == three[0]["strong"].shape == (128, 3, 2)
    for more, less in zip(three, two, strict=True):
        for name in ("labeled", "label", "weak", "strong"):
            np.testing.assert_array_equal(more[name][:, :2], less[name])
    points, label, index = data
    for seed in range(3):
        own = {tuple(point) for point in points[:, seed]}
        assert {tuple(point) for point in three[0]["weak"][:, seed].numpy()} <= own
        place = index[:, seed]
        np.testing.assert_array_equal(three[0]["labeled"][:, seed], points[place, seed])
        np.testing.assert_array_equal(three[0]["label"][:, seed], label[place, seed])
    noise = np.stack([batch["strong"] - batch["weak"] for batch in three])
    assert noise.std() == pytest.approx(0.15, rel=0.05) and abs(noise.mean()) < 0.02
    assert not np.allclose(noise[0], noise[1]) and not np.allclose(noise[0, :, 0], noise[0, :, 1])


def test_initial_weights_belong_to_a_seed_and_a_role(tool):
    two, three, teacher = tool.network(2, 0), tool.network(3, 0), tool.network(3, 1)
    for few, many, other in zip(two.weights, three.weights, teacher.weights, strict=True):
        np.testing.assert_array_equal(few, many[:2])
        assert not np.allclose(many[0], many[1]) and not np.allclose(many, other)
    drawn = np.concatenate([np.ravel(w) for w in tool.network(20, 0).weights])
    assert np.abs(drawn).max() < 0.5 and drawn.std() == pytest.approx(1 / 12**0.5, rel=0.05)


def trained(tool, row, data, weights, column=slice(None), steps=12):
    """The weights of every network after `steps`; `column` takes these seeds, and only these."""
    batches = tool.batches(data, 0.15).take(steps)
    columns = [{name: value[:, column] for name, value in b.items()} for b in batches]
    stacked = {name: np.stack([batch[name] for batch in columns]) for name in columns[0]}
    method = tool.build(*tool.ROWS[row], len(range(3)[column]))
    method.run_eagerly = True  # faster than compiling a few steps
    networks = [n for n in (method.student, method.teacher) if n is not None]
    for network, values in zip(networks, weights, strict=False):
        network.set_weights([value[column] for value in values])
    batches = tf.data.Dataset.from_tensor_slices(stacked).repeat()
    if method.pretraining_phases():
        method.pretrain(batches, steps=steps, verbose=0)
    method.fit(batches, steps_per_epoch=steps, verbose=0)
    return [np.asarray(w) for network in networks for w in network.weights]


@pytest.mark.parametrize(
    ("row", "without"),
    [
        ("Supervised", None),
        ("Pseudo Labels (fixed supervised teacher)", None),
        ("UDA + feedback", "UDA (CE + consistency), distilled student"),
    ],
)
def test_a_seed_among_others_trains_as_it_does_alone(tool, rng, row, without):
    data = tool.stacked(3, 0.1)
    # Larger than the tool's, so that feedback is no small part of what the teacher learns.
    weights = [[rng.normal(size=w.shape) for w in tool.network(3, 0).weights] for _ in range(2)]
    together = trained(tool, row, data, weights)
    alone = trained(tool, row, data, weights, slice(1, 2))
    for among, single in zip(together, alone, strict=True):
        np.testing.assert_allclose(among[1:2], single, atol=2e-5)
    if without:  # the same comparison can tell feedback from none
        distilled = trained(tool, without, data, weights)
        teacher = len(distilled) // 2
        pairs = list(zip(distilled, together, strict=True))[teacher:]
        assert max(np.abs(a - b)[1].max() for a, b in pairs) > 1e-2


def test_accuracy_by_hand(tool):
    points = np.zeros([4, 2, 2], np.float32)
    label = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])

    def method(x):  # class 1 for the second seed, class 0 for the first
        return np.stack([[[0.9, 0.1], [0.2, 0.8]]] * len(x))

    np.testing.assert_array_equal(tool.correct(method, (points, label, None)), [0.5, 0.5])
    label[0] = 1
    np.testing.assert_array_equal(tool.correct(method, (points, label, None)), [0.25, 0.75])


def test_the_table_by_hand(tool, tmp_path):
    options = tool.parse(["--seeds=4", f"--out={tmp_path}"])
    accuracies = {"a": np.array([0.5, 0.97, 1.0, 0.9695]), "b": np.array([0.8, 0.9, 0.8, 0.8])}
    # Wilson, k of n: (k + z2/2 +- z * sqrt(k * (n - k) / n + z2/4)) / (n + z2), z = 1.959964.
    z2 = 1.959964**2
    half = (z2 * (2 * 2 / 4 + z2 / 4)) ** 0.5
    low, high = (2 + z2 / 2 - half) / (4 + z2), (2 + z2 / 2 + half) / (4 + z2)
    assert tool.moons_results.success(accuracies["a"]) == pytest.approx((0.5, low, high))
    tool.moons_results.write_markdown(tmp_path / "t.md", options, accuracies, "command")
    text = (tmp_path / "t.md").read_text()
    assert "| a | 0.860 | 0.50 | 0.15-0.85 |" in text
    assert "| b | 0.825 | 0.00 | 0.00-0.49 |" in text
    assert "10,000 steps, 4 seeds" in text and "`command`" in text
    tool.moons_results.write_csv(tmp_path / "t.csv", accuracies)
    with open(tmp_path / "t.csv", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert len(rows) == 8 and rows[1] == ("a", "1", "0.9700", "1")
    # In a, seeds 1 and 3 are both 0.00025 from the median; in b, seed 1 is 0.1 from it.
    assert tool.moons_results.typical(accuracies) == 3


def test_every_row_builds(tool):
    assert len(tool.ROWS) == 7
    for row in tool.ROWS.values():
        assert tool.build(*row, 2).student.output_shape == (None, 2, 2)


def test_main_writes_the_files(tool, tmp_path, capsys, monkeypatch):
    # One row a method: compiling all seven takes longer than all the rest here.
    names = ["Supervised", "Pseudo Labels (fixed supervised teacher)", "UDA + feedback"]
    monkeypatch.setattr(tool, "ROWS", {name: tool.ROWS[name] for name in names})
    tool.main(["--seeds=2", "--steps=20", f"--out={tmp_path / 'new'}"])
    out = capsys.readouterr().out
    with open(tmp_path / "new" / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [name for name in tool.ROWS for _ in range(2)]
    assert len({row["accuracy"] for row in rows}) > 3
    table = (tmp_path / "new" / "table.md").read_text()
    assert table in out and "[3/3] UDA + feedback" in out
    assert "python tools/two_moons.py --seeds=2 --steps=20" in table
    png = (tmp_path / "new" / "two_moons.png").read_bytes()
    assert png[:4] == b"\x89PNG" and len(png) < 300_000


def test_sigma_follows_noise_unless_given(tool, tmp_path):
    def sigma(*arguments):
        return tool.parse([f"--out={tmp_path}", *arguments]).sigma

    assert sigma() == 0.15 and sigma("--noise=0.05") == 0.2
    assert sigma("--noise=0.05", "--sigma=0.1") == 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--seeds=0", "must be at least 1; received 0"),
        ("--seeds=2.5", "invalid int value: '2.5'"),
        ("--steps=-5", "must be at least 1; received -5"),
        ("--noise=-0.1", "must be at least 0; received -0.1"),
        ("--noise=nan", "must be at least 0; received nan"),
        ("--sigma=wide", "invalid float value: 'wide'"),
        (f"--out={__file__}", "is a file, no folder"),
        ("--what=1", "unrecognized arguments"),
    ],
)
def test_bad_arguments_end_with_status_2(tool, tmp_path, monkeypatch, capsys, wrong, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        tool.main([wrong])
    assert error.value.code == 2 and message in capsys.readouterr().err
