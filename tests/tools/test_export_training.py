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
    assert all(np.array_equal(variables[n], state[n]) for n in state if "shares" not in n)
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


def test_states_of_other_trainings_and_other_images_are_refused(tools, trip, tmp_path):
    error = tools["jax_training"].TrainingError
    state = dict(np.load(trip.training / "state.npz"))
    first = sorted(state)[0]
    np.savez(tmp_path / "other.npz", **state | {first: state[first][None]})
    (tmp_path / "text.npz").write_text("no archive")
    for name, message in (
        ("other.npz", f"other.npz is the state of another training: see {first}"),
        ("text.npz", "text.npz cannot be read as a state"),
        ("none.npz", "none.npz cannot be read as a state"),
    ):
        with pytest.raises(error, match=message):
            trip.programs.read_state(tmp_path / name)
    (tmp_path / "table.csv").write_text("step\nnone\n")
    with pytest.raises(error, match=r"table\.csv is no table of a training"):
        tools["run_training"].Table(tmp_path / "table.csv", ["loss"], 1)
    images = trip.images / "images-000.npy"
    content = images.read_bytes()
    images.write_bytes(content[:-1] + b"?")
    try:
        with pytest.raises(error, match=r"images-000\.npy is damaged, or of other images"):
            trip.programs.load()
    finally:
        images.write_bytes(content)


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
