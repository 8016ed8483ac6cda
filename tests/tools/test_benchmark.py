"""tools/benchmark.py: what the benchmarks compare, on problems too small for a meaningful time."""

import importlib
import importlib.util
import re
import sys

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="module")
def benchmark(load_tool):
    return load_tool("benchmark")


@pytest.fixture(scope="module")
def credit(benchmark):
    return importlib.import_module("benchmarks.credit")


@pytest.fixture(scope="module")
def augment(benchmark):
    return importlib.import_module("benchmarks.augment")


def test_the_ways_to_the_credit_agree_in_float64(credit):
    network, *arguments = credit.problem("float64", labeled=6, unlabeled=10)
    nested, double, finite = (f(network, *arguments, 0.1) for f in credit.TECHNIQUES[2:])
    assert nested.shape == (10, 10)
    np.testing.assert_allclose(double, nested, rtol=1e-9, atol=1e-12)
    assert np.linalg.norm(finite - nested) < 0.1 * np.linalg.norm(nested)


def test_credit_prints_a_row_for_each(benchmark, credit, capsys):
    assert benchmark.main(["credit", "--labeled=4", "--unlabeled=6", "--rounds=2"]) == 0
    output = capsys.readouterr().out
    for technique in credit.TECHNIQUES:
        assert technique.__name__ in output


def test_folders_are_made_and_their_start_is_timed(benchmark, tmp_path, monkeypatch, capsys):
    folders = importlib.import_module("benchmarks.folders")
    folders._write(tmp_path, 120)
    assert len({path.read_bytes() for path in tmp_path.rglob("*.png")}) == 120
    figures = folders._start(str(tmp_path), str(tmp_path / "work"), 8)
    assert len(figures) == len(folders._STAGES) + 2
    assert min(figures[:-2]) > 0
    monkeypatch.setattr(folders, "_write", lambda folder, count: None)
    seconds = iter(([1] * 5, [0] * 5, [3] * 5, [2] * 5))
    monkeypatch.setattr(folders, "_in_a_process", lambda *_: [*next(seconds), 1, 1])
    assert benchmark.main(["folders", "--small=1000", "--large=2000"]) == 0
    # 15 seconds for 2,000 files, and 0.01 for each of 998,000 more
    assert "| first | 9995 | 0 | 0 |" in capsys.readouterr().out
    assert benchmark.main(["folders", "--small=1000", "--large=1000"]) == 2
    assert "--large must be more than --small" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="counts bytes as Linux does")
def test_each_worker_reads_its_share_of_shards(benchmark, capsys):
    arguments = ["shards", "--records=8192", "--size=100", "--batch=64"]
    assert benchmark.main(arguments) == 0
    shares = re.findall(r"^\| (\d+) \| ([\d.]+) \|$", capsys.readouterr().out, re.MULTILINE)
    assert [int(workers) for workers, _ in shares] == [1, 2, 4, 8, 16]
    for workers, share in shares:  # windows that are read ahead make it uncertain
        assert 0.5 / int(workers) < float(share) < 2 / int(workers) + 0.1
    assert benchmark.main(["shards", "--batch=40"]) == 2
    assert "--batch must be a multiple of 16; received 40" in capsys.readouterr().err


def test_help_lists_the_benchmarks(benchmark, capsys):
    with pytest.raises(SystemExit) as end:
        benchmark.main(["--help"])
    output = capsys.readouterr().out
    assert end.value.code == 0
    for name in benchmark.BENCHMARKS:
        assert f"    {name.removeprefix('benchmarks.')} " in output


def test_a_model_that_is_none_ends_with_status_2_in_words(benchmark, capsys):
    assert benchmark.main(["serve", "--model=nowhere"]) == 2
    assert "Error: nowhere must be an export" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["speed"], "choose from"),
        (["augment", "--rounds=1"], "--rounds: must be at least 2; received 1"),
        (["credit", "--labeled=0"], "--labeled: must be at least 1; received 0"),
        (["augment", "--side=small"], "--side: invalid int value: 'small'"),
    ],
)
def test_bad_arguments_end_with_status_2(benchmark, capsys, wrong, message):
    with pytest.raises(SystemExit) as end:
        benchmark.main(wrong)
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_contenders_change_every_batch_anew(augment, rng):
    batch = tf.constant(rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8))
    functions = augment.contenders(batch)
    assert len(functions) == 4
    for function in functions.values():
        # Keras's layer may draw one operation twice in a row.
        results = [np.asarray(function(tf.constant(step, tf.int64))) for step in range(3)]
        assert results[0].shape == batch.shape
        assert len({result.tobytes() for result in results}) > 1


def test_a_peer_that_is_not_installed_is_left_out_with_a_word(augment, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "keras_cv" else found(name)
    )
    assert [*augment.contenders(tf.zeros((2, 8, 8, 3), tf.uint8))] == ["mpl_tf", "keras.layers"]
    assert "keras_cv is not installed, and left out" in capsys.readouterr().err


@pytest.fixture
def peers(benchmark, monkeypatch):
    module = importlib.import_module("benchmarks.peers")
    monkeypatch.setattr(module, "NETWORKS", {"mlp": (4, 4, 1)})
    return module


def test_peers_take_the_same_steps(peers, monkeypatch):
    monkeypatch.setattr(peers, "_CLIP_NORM", 0.1)
    models = peers.contenders("mlp", labeled=6)
    fit = {"steps_per_epoch": 3, "shuffle": False, "verbose": 0}
    losses = [model.fit(data, **fit).history for model, data in models.values()]
    ours, same, plain = (each.get("student_loss", each.get("loss"))[0] for each in losses)
    np.testing.assert_allclose(ours, same, rtol=1e-5)
    assert abs(plain - same) > 1e-2  # which clips nothing
    averages = [model.optimizer.use_ema for model, _ in [*models.values()][1:]]
    assert averages == [True, False]


def test_steps_of_fit_are_timed_after_the_first(peers, monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(peers.time, "perf_counter", lambda: float(next(now)))
    monkeypatch.setattr(peers.time, "process_time", lambda: 10.0)
    clock = peers.Clock()
    clock.set_params({"steps": 5})
    for batch in range(5):
        clock.on_train_batch_end(batch, {"loss": 1.0})
    assert clock.seconds.tolist() == [1.0, 0.0]


def test_rounds_of_peers_are_interleaved(peers):
    order = []

    class Model:
        def fit(self, data, *, steps_per_epoch, callbacks, **kwargs):
            order.append((data, steps_per_epoch))
            callbacks[0].seconds = np.array([len(order), 10.0 * len(order)])

    seconds = peers.times({"a": (Model(), "A"), "b": (Model(), "B")}, steps=3, rounds=2)
    assert order == [("A", 3), ("B", 3)] * 3
    assert seconds["a"].tolist() == [[3, 5], [30, 50]]  # the first round is not counted


def test_peers_print_two_tables(benchmark, peers, augment, monkeypatch, capsys):
    ours, theirs = np.array([[0.002, 0.004, 0.006]] * 2), np.array([[0.004] * 3] * 2)
    monkeypatch.setattr(augment, "contenders", lambda batch: {"mpl_tf": lambda step: batch})
    monkeypatch.setattr(peers, "times", lambda *_: {"mpl_tf": ours, "keras": theirs})
    assert benchmark.main(["peers", "--side=8", "--batch=5", "--rounds=2", "--labeled=6"]) == 0
    rows = [
        line[2:-2].split(" | ") for line in capsys.readouterr().out.splitlines() if "| " in line
    ]
    assert [cells[0] for cells in rows] == ["side", "8", "network", "mlp", "mlp"]
    once = ["1.000 (1.000-1.000)"] * 2
    assert rows[3][1:] == ["mpl_tf", *["4.000 (2.000-6.000)"] * 2, *once]
    ratios = ["1.000 (0.500-1.500)"] * 2
    assert rows[4][1:] == ["keras", *["4.000 (4.000-4.000)"] * 2, *ratios]


def test_rounds_are_interleaved_and_warming_up_is_not_timed(augment):
    order = []

    def contender(name):
        def function(step):
            tf.py_function(lambda s: order.append((name, int(s))), [step], [])
            return step

        return function

    seconds = augment.times({"a": contender("a"), "b": contender("b")}, rounds=3)
    assert order == [(name, step) for step in range(5) for name in "ab"]
    assert [len(seconds[name]) for name in "ab"] == [3, 3]


def test_speed_and_ratio_by_hand(augment):
    seconds = {"ours": [0.1, 0.2, 0.3], "theirs": [0.5, 0.5, 0.5]}
    assert list(augment.rows(seconds, count=100)) == [
        ("ours", "500", "333-1,000", "1.0"),
        ("theirs", "200", "200-200", "2.5"),
    ]


def test_augment_prints_a_row_a_contender(benchmark, augment, monkeypatch, capsys):
    monkeypatch.setattr(augment, "contenders", lambda batch: {"mpl_tf": lambda step: batch})
    assert benchmark.main(["augment", "--side=8", "--batch=5", "--rounds=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("| 8 | 5 | mpl_tf | ")
    assert all(line.count("|") == 7 for line in lines)


def test_serve_prints_a_row_a_signature_and_batch(benchmark, capsys):
    flags = ["--network=mlp", "--image_size=8", "--side=20", "--batches", "1", "3", "--rounds=2"]
    assert benchmark.main(["serve", *flags]) == 0
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines() if "| " in line]
    names = ("serving_default", "serving_bytes", "classify")
    assert rows[1:] == [[f"| {name}", str(batch)] for batch in (1, 3) for name in names]


def test_serve_computes_latency_and_throughput(benchmark):
    serve = importlib.import_module("benchmarks.serve")
    assert serve.row("classify", 4, [0.1, 0.2, 0.3]) == "| classify | 4 | 200.0 | 280.0 | 20 |"
    asked = []

    def request(name):
        return lambda: asked.append(name) or {"x": tf.constant(0)}

    seconds = serve.times({"a": request("a"), "b": request("b")}, rounds=3)
    assert asked == ["a", "b"] * 5
    assert [len(seconds[name]) for name in "ab"] == [3, 3]


STEP = ["step", "--network=mlp", "--image_size=4", "--labeled=2", "--ratio=2", "--rounds=2"]


def test_step_prints_a_row_a_step_and_a_pass(benchmark, capsys):
    flags = ["--modes", "exact", "sampled", "--separate_views", "--compiler", "graph"]
    assert benchmark.main([*STEP, *flags]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "| " in line][1:]
    assert all(cells[:2] == ["| float32", "graph"] for cells in rows)
    names = [cells[2] for cells in rows]
    assert names[:2] == ["step, exact", "step, sampled"]
    assert set(names[2:]) == {
        *("teacher", "student", "labeled", "labeled forward", "weak forward", "updates"),
        *("student, credit", "credit"),
    }
    assert [bool(cells[5].strip()) for cells in rows] == [True] * 2 + [False] * 8  # ratios of steps


def test_step_prints_the_peak_memory_of_a_process(benchmark, capsys):
    assert benchmark.main([*STEP, "--memory", "--modes", "none"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "feedback" in line)
    peak, before, added = (float(cell) for cell in line.strip("| ").split(" | ")[2:])
    assert 10 < before <= peak and abs(peak - before - added) <= 1


def test_the_necessary_passes_of_a_step_by_hand(benchmark):
    step = importlib.import_module("benchmarks.step")
    names = ("teacher", "student", "labeled", "labeled forward", "student, credit")
    times = dict(zip(names, ([10.0], [4.0], [1.0], [0.5], [7.0]), strict=True))
    seconds = step.with_credit({name: np.array([t, t]) for name, t in times.items()})
    sums = {mode: step.needed(mode, seconds).tolist() for mode in step.MODES}
    expected = {"exact": 10 + 4 + 1 + 3, "dot": 10 + 4 + 1, "sampled": 10 + 4 + 2 * 0.5, "none": 14}
    assert sums == {mode: [[total], [total]] for mode, total in expected.items()}
    weak = seconds | {"weak forward": np.array([[3.0], [3.0]])}
    assert step.needed("none", weak).tolist() == [[17.0], [17.0]]
    ours = step.row("step", np.array([[1.0, 2.0, 3.0]] * 2), np.array([[2.0, 2.0, 2.0]] * 2))
    assert ours == ["step", *["2.000 (1.000-3.000)"] * 2, *["1.000 (0.500-1.500)"] * 2]
