"""A training that goes to JAX and back takes the steps of TensorFlow's own, views included."""

import csv
import dataclasses
import io
import json
import shlex
import sys
import types

import numpy as np
import pytest

from mpl_tf import data, train
from mpl_tf.config import flags
from mpl_tf.data.options import DataConfig
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder as run_folder

pytestmark = pytest.mark.filterwarnings("default")  # JAX's and TensorFlow's own
FLAGS = (
    "--dataset=digits",
    "--method=mpl",
    "--network=mlp",
    "--dropout=0",
    "--num_labeled=20",
    "--num_validation=30",
    "--labeled_batch=5",
    "--unlabeled_ratio=2",
    "--steps=12",
    "--eval_every=5",
    "--log_every=5",
    "--finetune_steps=2",
    "--finetune_batch=5",
    "--weak=crop",
    "--strong=randaugment",
    "--randaugment_layers=1",
    "--student_wait_steps=0",
    "--student_warmup_steps=0",
    "--teacher_warmup_steps=0",
    "--uda_ramp_steps=2",
    "--uda_threshold=0.1",
)
STEPS = 10


@pytest.fixture(scope="module")
def tools(load_tool):
    pytest.importorskip("jax", reason="JAX runs the training: pip install 'mpl_tf[stablehlo]'")
    names = (
        "export_training",
        "run_training",
        "import_training",
        "jax_training",
        "step_program",
        "training_files",
    )
    return {name: load_tool(name) for name in names}


def test_a_method_that_reads_what_is_stored_is_refused(load_tool, monkeypatch, tmp_path, capsys):
    """Its own teacher's predictions, and such as are given."""
    monkeypatch.setitem(sys.modules, "jax", sys)  # is not got to
    tool = load_tool("export_training")
    for more in ([], [f"--predictions={tmp_path / 'nowhere'}"]):
        run = ["--dataset=digits", "--method=reduced_mpl", f"--workdir={tmp_path / 'run'}", *more]
        assert tool.main([f"--to={tmp_path / 'to'}", *run]) == 2
        said = capsys.readouterr().err
        assert "method=reduced_mpl reads the stored prediction of each unlabeled image" in said
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--pretrain=simclr", "pretrain=simclr is not written"),
        ("--balance_labels", "balance_labels=True is not written"),
        ("--select=chosen", "chosen is not written: leave it out"),
        ("--overwrite", "leave out --overwrite"),
    ],
)
def test_what_the_program_would_leave_out_is_refused(
    load_tool, monkeypatch, tmp_path, capsys, flag, message
):
    monkeypatch.setitem(sys.modules, "jax", sys)  # is not got to
    run = ["--dataset=digits", "--method=supervised", f"--workdir={tmp_path / 'run'}", flag]
    assert load_tool("export_training").main([f"--to={tmp_path / 'to'}", *run]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_images_of_another_dataset_are_refused_before_programs_are_traced(
    load_tool, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(sys.modules, "jax", sys)  # is not got to
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "images.json").write_text('{"images-000.npy": "0"}')
    to = [f"--to={tmp_path / 'to'}", f"--images={tmp_path / 'images'}"]
    tool = load_tool("export_training")
    assert tool.main([*to, *FLAGS, f"--workdir={tmp_path / 'run'}"]) == 2
    assert "has other images than the dataset" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


@pytest.fixture(scope="module")
def trip(tools, tmp_path_factory):
    """The folder of an exported training, of which JAX has taken some steps, and its programs."""
    place = tmp_path_factory.mktemp("trip")
    to = [f"--to={place / 'training'}", f"--images={place / 'images'}"]
    assert tools["export_training"].main([*to, *FLAGS, f"--workdir={place / 'my run'}"]) == 0
    runner, saved = tools["run_training"], place / "training" / "saved.npz"
    training = tools["jax_training"].Training(place / "training")
    training.load()
    for file, steps in (("state.npz", STEPS - 3), ("saved.npz", 3)):
        runner.run(training, training.read_state(place / "training" / file), steps, saved)
    return types.SimpleNamespace(
        training=place / "training",
        images=place / "images",
        run=place / "my run",
        programs=training,
    )


def test_ten_steps_in_jax_equal_ten_in_tensorflow(tools, trip):
    job = flags.parse([*FLAGS, f"--workdir={trip.run.parent / 'other'}"])
    experiment = tools["export_training"].start(job)
    method = experiment.method
    variables = tools["step_program"].named_variables(method)
    start = {name: v.numpy() for name, v in variables.items()}
    batches = experiment.batches(run_folder.TRAIN, 0)
    history = method.fit(batches, steps_per_epoch=5, epochs=2, renew_statistics=False, verbose=0)
    expected = {name: v.numpy() for name, v in variables.items()}
    state = np.load(trip.training / "saved.npz")
    sums = {f"pseudo_label_shares/{v.path}" for v in method.pseudo_label_shares.variables}
    unread = expected.keys() - state.keys()  # by the step, which therefore leaves them as they are
    assert all(np.array_equal(start[name], expected[name]) for name in unread - sums)
    for name in expected.keys() & {*state} - sums:
        np.testing.assert_allclose(state[name], expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
    moved = [name for name in start if not np.array_equal(start[name], expected[name])]
    assert {name.split("/")[0] for name in moved} >= {"teacher", "student", "ema", "method"}
    with open(trip.training / "saved.csv", newline="", encoding="utf-8") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    assert [*rows] == [5, 7, 10]
    for name in ("teacher_loss", "student_loss", "uda_loss", "pseudo_label_accuracy"):
        assert float(rows[5][name]) == pytest.approx(history.history[name][0], rel=1e-3)
    measured = method.evaluate(
        experiment.split.validation.images,
        experiment.split.validation.labels,
        return_dict=True,
        verbose=0,
    )
    for name, value in measured.items():
        assert float(rows[10][f"val_{name}"]) == pytest.approx(value, rel=1e-3), name
    assert float(rows[10]["seconds"]) > float(rows[7]["seconds"]) > 0


def test_the_run_goes_on_in_tensorflow(tools, trip, capsys, no_pictures):
    workdir = f"--workdir={trip.run}"
    assert tools["import_training"].main([f"--from={trip.training}", workdir]) == 0
    said, _, command = capsys.readouterr().out.strip().partition("; continue: ")
    assert "stands at step 10 of 12" in said
    program = ["python", "-m", "mpl_tf.train"]
    assert shlex.split(command) == [*program, f"--flagfile={trip.run / 'run.flags'}", workdir]
    again = tools["export_training"].start(flags.parse([*FLAGS, workdir])).method
    variables = tools["step_program"].named_variables(again)
    state = np.load(trip.training / "saved.npz")
    assert all(
        np.array_equal(variables[n], state[n]) for n in state if "shares" not in n and n != "recipe"
    )
    early = f"--state={trip.training / 'state.npz'}"
    assert tools["import_training"].main([f"--from={trip.training}", workdir, early]) == 2
    assert "has come to step 10, and the state stands at step 0" in capsys.readouterr().err
    assert train.main([*FLAGS, workdir]) == 0
    results = json.loads((trip.run / "results.json").read_text(encoding="utf-8"))
    assert results["resumed_at"] == "train step 10"
    lines = (trip.run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    starts = [line.split(",")[:2] for line in lines[1:]]
    assert [step for phase, step in starts if phase == "train"][:4] == ["5", "5", "7", "7"]
    capsys.readouterr()
    assert tools["import_training"].main([f"--from={trip.training}", workdir]) == 2
    assert "holds a finished run" in capsys.readouterr().err


def test_the_averaged_network_gets_its_batch_statistics_after_the_last_step(tools):
    calls = []
    method = types.SimpleNamespace(
        has_averaged_statistics=True,
        renew_statistics=lambda batches, steps: calls.append((batches, steps)),
    )
    for steps in (12, 80):
        tools["import_training"].renew_statistics(
            types.SimpleNamespace(
                method=method,
                config=types.SimpleNamespace(run=types.SimpleNamespace(steps=steps)),
                batches=lambda phase, start: (phase, start),
            )
        )
    assert calls == [(("train", 12), 12), (("train", 80), 50)]


def test_what_comes_back_is_the_training_that_went_out(tools, trip, tmp_path, capsys):
    """Flags, arrays, recipe, images, labels and split; nothing is written before they are seen."""
    state = dict(np.load(trip.training / "saved.npz"))
    counter = trip.programs.counter
    table = trip.training / "saved.csv"
    for name, changes, rows, flag, message in (
        ("seed", {}, table.read_text(), "--seed=7", "seed cannot be changed"),
        ("recipe", {"recipe": np.array("another")}, "", "", "is the state of another recipe"),
        ("half", {next(iter(state)): None}, "", "", "the state is of another training: "),
        ("type", {counter: state[counter].astype(np.int32)}, "", "", f"{counter} is int32 ()"),
        ("shape", {counter: state[counter][None]}, "", "", f"{counter} is int64 (1,), not int64"),
        ("beyond", {counter: state[counter] + 3}, "", "", "it stands at step 13"),
        ("table", {}, "step,loss\n5,x\n", "", "table.csv is no table of a training"),
    ):
        arrays = {n: v for n, v in (state | changes).items() if v is not None}
        np.savez(tmp_path / f"{name}.npz", **arrays)
        (tmp_path / f"{name}.csv").write_text(rows)
        flags_here = [f"--workdir={tmp_path / 'back'}", *filter(None, [flag])]
        here = [f"--from={trip.training}", f"--state={tmp_path / f'{name}.npz'}"]
        assert tools["import_training"].main([*here, *flags_here]) == 2, name
        assert message in capsys.readouterr().err, name
        assert not (tmp_path / "back").exists()
    job = flags.parse([*FLAGS, f"--workdir={tmp_path / 'other'}"])
    experiment = tools["export_training"].start(job)
    there = dict(np.load(trip.training / "data.npz")) | trip.programs.recipe["images"]["digests"]
    tools["import_training"].check_images(experiment, there)
    for changed in (
        {"labeled_labels": (there["labeled_labels"] + 1) % 10},
        {"validation_rows": there["validation_rows"][:-1]},
        {"images-000.npy": "another"},
        {"images-001.npy": "one more"},
    ):
        with pytest.raises(ConfigError, match=f"that were exported: {next(iter(changed))} differ"):
            tools["import_training"].check_images(experiment, there | changed)


def test_what_was_measured_before_batch_statistics_are_renewed_is_left_out(tools, tmp_path):
    method = types.SimpleNamespace(unlabeled_views=(), has_averaged_statistics=True)
    run = types.SimpleNamespace(
        method=method,
        output_path=str(tmp_path),
        split=types.SimpleNamespace(class_names=("a", "b")),
        config=types.SimpleNamespace(run=types.SimpleNamespace(steps=4)),
    )
    rows = [{"step": 2.0 * k, "loss": 1.0, "val_ema_accuracy": 0.5} for k in (1, 2)]
    tools["import_training"]._write_rows(run, rows, 0, 4)
    with open(tmp_path / "metrics.csv", newline="", encoding="utf-8") as file:
        written = [(row["step"], row.get("val_ema_accuracy")) for row in csv.DictReader(file)]
    assert [step for step, value in written if value] == ["2"]
    assert [step for step, value in written if not value] == ["2", "4"]


class Diverging:
    """A training of one weight, which is NaN from step 4 on, and nothing that it logs."""

    counter, sums, logs, measures, parts = "step", [], [], [], {}
    data = turns = None
    digest = "of the recipe"
    recipe = {"steps": 6, "log_every": 2, "eval_every": 2, "labeled_batch": 1}  # noqa: RUF012
    recipe |= {"unlabeled_batch": 0}

    def step(self, state, totals, data, turns):
        step = np.asarray(state["step"]) + 1
        return {"step": step, "w": np.float32(np.nan if step >= 4 else step)}, totals

    def evaluate(self, state):
        return {}


def test_a_state_that_diverged_replaces_no_good_one(tools, tmp_path):
    runner, saved = tools["run_training"], tmp_path / "saved.npz"
    start = {"step": np.int64(0), "w": np.float32(0)}
    with pytest.raises(tools["jax_training"].TrainingError, match="w is NaN or infinite"):
        runner.run(Diverging(), start, 6, saved)
    with np.load(saved) as state:
        assert int(state["step"]) == state["w"] == 2
        assert str(state["recipe"]) == "of the recipe"
    assert saved.with_suffix(".csv").read_text().splitlines()[1].startswith("2,")


def test_states_of_other_trainings_and_other_images_are_refused(tools, trip, tmp_path):
    error = tools["jax_training"].TrainingError
    state = dict(np.load(trip.training / "state.npz"))
    first = sorted(state)[0]
    np.savez(tmp_path / "other.npz", **state | {first: state[first][None]})
    np.savez(tmp_path / "recipe.npz", **state, recipe=np.array("another"))
    for name, step in (("late", 13), ("early", -1)):
        counter = {trip.programs.counter: np.int64(step)}
        np.savez(tmp_path / f"{name}.npz", **state | counter)
    (tmp_path / "text.npz").write_text("no archive")
    for name, message in (
        ("other.npz", f"other.npz is the state of another training: see {first}"),
        ("recipe.npz", "recipe.npz is the state of another recipe"),
        ("late.npz", "late.npz stands at step 13, of 12"),
        ("early.npz", "early.npz stands at step -1, of 12"),
        ("text.npz", "text.npz cannot be read as a state"),
        ("none.npz", "none.npz cannot be read as a state"),
    ):
        with pytest.raises(error, match=message):
            trip.programs.read_state(tmp_path / name)
    (tmp_path / "table.csv").write_text("step\nnone\n")
    with pytest.raises(error, match=r"table\.csv is no table of a training"):
        tools["run_training"].Table(tmp_path / "table.csv", ["loss"], 1)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(error, match=r"folder\.csv is no table of a training"):
        tools["run_training"].Table(tmp_path / "folder.csv", ["loss"], 1)
    files = (trip.images / "images-000.npy", *trip.training.glob("turns_*.npy"))
    for file in (*files, trip.training / "data.npz"):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + b"?")
        try:
            with pytest.raises(error, match=f"{file.name} is damaged, or of another training"):
                trip.programs.load()
        finally:
            file.write_bytes(content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save=nowhere/state.npz"], "--save must be an .npz file in a folder that is there"),
        (["--save=state"], "--save must be an .npz file in a folder that is there"),
        (["--steps=-1"], "--steps must be at least 0; received -1"),
    ],
)
def test_arguments_of_a_run_are_checked_before_it_compiles(tools, trip, capsys, arguments, message):
    with pytest.raises(SystemExit):
        tools["run_training"].main([str(trip.training), *arguments])
    assert message in capsys.readouterr().err


def test_two_processes_do_not_take_the_same_steps(tools, trip, tmp_path, capsys):
    pytest.importorskip("fcntl", reason="Windows has none")
    saved = tmp_path / "saved.npz"
    with tools["run_training"].locked(saved), pytest.raises(SystemExit):
        tools["run_training"].main([str(trip.training), f"--save={saved}"])
    assert f"another run.py is busy with {saved}" in capsys.readouterr().err
    assert not saved.exists()


def test_the_images_of_a_dataset_are_written_once(tools, trip):
    files, source = tools["training_files"], data.find("digits", "").load(DataConfig())
    before = {path: path.stat().st_mtime_ns for path in trip.images.iterdir()}
    digests = files.write_images(str(trip.images), source)
    assert {path: path.stat().st_mtime_ns for path in trip.images.iterdir()} == before
    assert digests.keys() == {"images-000.npy"}
    half = dataclasses.replace(source, test=source.test.take(slice(9)))
    with pytest.raises(ConfigError, match="has other images than the dataset"):
        files.write_images(str(trip.images), half)
    with pytest.raises(ConfigError, match=r"exists and has no images\.json"):
        files.write_images(str(trip.training), source)


def test_rows_are_where_the_images_lie_in_the_files(tools):
    """In files of a few images each, of parts in any order."""
    files, source = tools["training_files"], data.find("digits", "").load(DataConfig())
    chosen = source.test.take([5, 2, 2, 100])
    rows = files.rows(source, chosen)
    everything = np.concatenate([part.images for part in files.image_parts(source)])
    assert np.array_equal(everything[rows], chosen.images)
    with pytest.raises(ConfigError, match="none of the dataset's"):
        files.rows(dataclasses.replace(source, test=None, train=source.train.take([0])), chosen)
    contents = [np.load(io.BytesIO(content)) for _, content in files.contents(everything, 20_000)]
    assert len(contents) > 3 and np.array_equal(np.concatenate(contents), everything)
