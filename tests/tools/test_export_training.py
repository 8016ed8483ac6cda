"""A training that goes to JAX and back takes the steps of TensorFlow's own, views included."""

import csv
import json

import numpy as np
import pytest

from mpl_tf import train
from mpl_tf.config import flags
from mpl_tf.runs import folder as run_folder

pytestmark = pytest.mark.filterwarnings("default")  # JAX's and TensorFlow's own
FLAGS = (
    "--dataset=digits",
    "--method=mpl",
    "--network=small_4",
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
    names = ("export_training", "run_training", "import_training", "step_program")
    return {name: load_tool(name) for name in names}


@pytest.fixture(scope="module")
def trip(tools, tmp_path_factory):
    """The folder of an exported training, of which JAX has taken some steps."""
    place = tmp_path_factory.mktemp("trip")
    to = [f"--to={place / 'training'}", f"--images={place / 'images'}"]
    assert tools["export_training"].main([*to, *FLAGS, f"--workdir={place / 'run'}"]) == 0
    runner, saved = tools["run_training"], place / "training" / "saved.npz"
    training = runner.Training(place / "training")
    training.load()
    for file, steps in (("state.npz", STEPS - 3), ("saved.npz", 3)):
        runner.run(training, dict(np.load(place / "training" / file)), steps, saved)
    return place


def test_ten_steps_in_jax_equal_ten_in_tensorflow(tools, trip):
    job = flags.parse([*FLAGS, f"--workdir={trip / 'other'}"])
    experiment = tools["export_training"].start(job)
    method = experiment.method
    variables = tools["step_program"].named_variables(method)
    start = {name: v.numpy() for name, v in variables.items()}
    batches = experiment.batches(run_folder.TRAIN, 0)
    history = method.fit(batches, steps_per_epoch=5, epochs=2, renew_statistics=False, verbose=0)
    expected = {name: v.numpy() for name, v in variables.items()}
    state = np.load(trip / "training" / "saved.npz")
    sums = {f"pseudo_label_shares/{v.path}" for v in method.pseudo_label_shares.variables}
    unread = expected.keys() - state.keys()  # by the step, which therefore leaves them as they are
    assert all(np.array_equal(start[name], expected[name]) for name in unread - sums)
    for name in expected.keys() & {*state} - sums:
        np.testing.assert_allclose(state[name], expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
    moved = [name for name in start if not np.array_equal(start[name], expected[name])]
    assert {name.split("/")[0] for name in moved} >= {"teacher", "student", "ema", "method"}
    with open(trip / "training" / "saved.csv", newline="", encoding="utf-8") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    assert [*rows] == [5, 7, 10]
    for name in ("teacher_loss", "student_loss", "uda_loss", "pseudo_label_accuracy"):
        assert float(rows[5][name]) == pytest.approx(history.history[name][0], rel=1e-3)
    measured = method.evaluate(
        experiment.split.validation.images, experiment.split.validation.labels,
        return_dict=True, verbose=0,
    )
    for name, value in measured.items():
        assert float(rows[10][f"val_{name}"]) == pytest.approx(value, rel=1e-3), name
    assert float(rows[10]["seconds"]) > float(rows[7]["seconds"]) > 0


def test_the_run_goes_on_in_tensorflow(tools, trip, capsys, no_pictures):
    workdir = f"--workdir={trip / 'run'}"
    assert tools["import_training"].main([f"--from={trip / 'training'}", workdir]) == 0
    assert "stands at step 10 of 12" in capsys.readouterr().out
    assert train.main([*FLAGS, workdir]) == 0
    results = json.loads((trip / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["resumed_at"] == "train step 10"
    lines = (trip / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    starts = [line.split(",")[:2] for line in lines[1:]]
    assert [step for phase, step in starts if phase == "train"][:4] == ["5", "5", "7", "7"]
    capsys.readouterr()
    assert tools["import_training"].main([f"--from={trip / 'training'}", workdir]) == 2
    assert "holds a finished run" in capsys.readouterr().err
