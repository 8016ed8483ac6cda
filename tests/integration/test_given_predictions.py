"""`--predictions`: a stored table in place of a teacher, from its making to the end of a run."""

import json
import shutil

import numpy as np
import pytest

from mpl_tf import cli, predict
from mpl_tf.pools import predictions, writing
from mpl_tf.runs import callbacks, stored_predictions
from mpl_tf.runs.folder import PREDICTIONS
from mpl_tf.serving import saved_model

pytestmark = pytest.mark.usefixtures("no_pictures")
METHOD = "reduced_mpl"
FLAGS = ("--dropout=0.3", "--feedback_weight=10", "--student_learning_rate=5")
DIGITS = [str(number) for number in range(10)]


@pytest.fixture(scope="module")
def own(tmp_path_factory, smoke):
    """(folder of a run with its own teacher, that teacher's table); tests must not change them."""
    path = tmp_path_factory.mktemp("own")
    prepare = stored_predictions.prepare

    def exported(experiment, method):
        (training,) = method.pretraining_phases().values()
        saved_model.export(training.network, path / "teacher", experiment.split.class_names)
        prepare(experiment, method)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_predictions, "prepare", exported)
        run = path / "run"
        assert smoke.run(run, *FLAGS, "--teacher_learning_rate=20", method=METHOD) == cli.DONE
    to = [f"--model={path / 'teacher'}", "--dataset=digits", f"--to={path / 'table'}"]
    assert predict.main(to) == cli.DONE
    return run, path / "table"


@pytest.fixture(scope="module")
def given(own, tmp_path_factory, smoke):
    """The folder of a run that was given that table; tests must not change it."""
    path = tmp_path_factory.mktemp("given") / "run"
    assert smoke.run(path, *FLAGS, f"--predictions={own[1]}", method=METHOD) == cli.DONE
    return path


def test_a_teachers_exported_predictions_give_the_training_that_it_gives(own, given, smoke):
    """Although the table is of all images, and the run holds 200 of them back.

    In the same batches all bits were seen to be equal; in others float16 may round another way.
    """
    run, _ = own
    assert np.load(run / PREDICTIONS).astype(np.float32).std(0).max() > 0.1  # rows differ
    wanted = [row for row in smoke.rows(run) if row["phase"] != "teacher"]
    rows = smoke.rows(given)
    assert len(rows) == len(wanted) > 4
    for row, expected in zip(rows, wanted, strict=True):
        assert row["phase"] == expected["phase"]
        assert {k for k, v in row.items() if v} == {k for k, v in expected.items() if v}
        numbers = {k: float(v) for k, v in row.items() if v and k != "phase"}
        assert numbers == pytest.approx({k: float(expected[k]) for k in numbers}, 1e-3, 1e-5)
    measured, expected = (smoke.results(path)["test_accuracy"] for path in (given, run))
    assert measured == pytest.approx(expected, abs=0.005)


def test_no_teacher_is_trained_and_nothing_is_stored(own, given):
    assert (own[0] / "checkpoints" / "teacher").exists()
    assert not (given / "checkpoints" / "teacher").exists()
    assert not (given / PREDICTIONS).exists()


def test_a_run_goes_on_with_the_same_predictions_alone(
    own, given, tmp_path, monkeypatch, capsys, smoke
):
    """Those of another model, and other probabilities, are refused; the same may lie elsewhere."""
    table, path = tmp_path / "table", tmp_path / "run"
    shutil.copytree(own[1], table)
    command = (*FLAGS, "--checkpoint_every=1", f"--predictions={table}")
    went_on = callbacks.StopOnNonFinite.on_train_batch_end

    def stop(self, batch, logs=None):
        if self.phase == "train" and self.step == 3:
            raise KeyboardInterrupt
        went_on(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", stop)
        assert smoke.run(path, *command, method=METHOD) == cli.INTERRUPTED
    about = json.loads((table / "about.json").read_text())
    (table / "about.json").write_text(json.dumps(about | {"model": "another"}))
    assert smoke.run(path, *command, method=METHOD) == cli.MISUSED
    assert "predictions: 1 replaced (about.json)" in capsys.readouterr().err
    (table / "about.json").write_text(json.dumps(about | {"model_path": "elsewhere"}))
    probs = np.load(table / "probs-00000.npy")
    np.save(table / "probs-00000.npy", np.ascontiguousarray(probs[:, ::-1]))
    assert smoke.run(path, *command, method=METHOD) == cli.MISUSED
    assert "predictions: 1 replaced (probs-00000.npy)" in capsys.readouterr().err
    np.save(table / "probs-00000.npy", probs)
    table = table.rename(tmp_path / "moved")
    assert smoke.run(path, *command, f"--predictions={table}", method=METHOD) == cli.DONE
    assert smoke.results(path)["weights_digest"] == smoke.results(given)["weights_digest"]


def write(path, images=1297, classes=DIGITS, shards=1, **about):
    """A table of so many images of which so many of two shards are there."""
    values = {
        "format": predictions.FORMAT,
        "model": "model",
        "model_path": "model",
        "images": "0" * 64,
        "number_of_images": images,
        "image_shape": [8, 8, 1],
        "dataset": "other",
        "class_names": list(classes),
        "rows_per_shard": -(-images // 2),
    }
    with writing.begun(str(path), predictions.About(**(values | about))) as there:
        for number in range(shards):
            with writing.shard(str(path), there, number) as (probs, _):
                probs[:] = 1 / len(classes)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "predictions: TABLE has no stored predictions: there is no about.json"),
        ({}, "predictions: TABLE lacks 1 of 2 shards of predictions"),
        (
            {"shards": 2},
            "predictions must be of the 1,297 images of digits as they are now; received TABLE, of "
            "1,297 images of other.",
        ),
        (
            {"shards": 2, "images": 1300},
            "predictions must be of the 1,297 images of digits as they are now; received TABLE, of "
            "1,300 images of other.",
        ),
        (
            {"shards": 2, "classes": DIGITS[:9]},
            "predictions must be of the 10 classes of digits; received TABLE, of 9 classes.",
        ),
        (
            {"shards": 2, "classes": [*DIGITS[:8], "9", "8"]},
            "predictions must have the classes of digits in their order, with '8' as class 8; "
            "received TABLE, which has '9' there.",
        ),
    ],
    ids=["absent", "incomplete", "images", "number", "classes", "order"],
)
def test_a_table_that_does_not_fit_is_refused(table, message, tmp_path, capsys, smoke):
    path = tmp_path / "table"
    if table is not None:
        write(path, **table)
    flags = [f"--predictions={path}"]
    assert smoke.run(tmp_path / "run", *flags, method=METHOD) == cli.MISUSED
    assert message.replace("TABLE", str(path)) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "method", "message"),
    [
        ([], "mpl", "method=mpl has no use for predictions."),
        (["--teacher_network=mlp"], METHOD, "teacher_network has no effect beside predictions="),
        (["--student_init=teacher"], METHOD, "student_init has no effect beside predictions="),
        (["--teacher_learning_rate=3"], METHOD, "teacher_learning_rate has no effect beside pred"),
        (["--workdir={table}/.."], METHOD, "predictions is in the run folder"),
    ],
)
def test_what_a_table_is_not_for_is_refused(own, flags, method, message, tmp_path, capsys, smoke):
    flags = [f"--predictions={own[1]}", *(flag.format(table=own[1]) for flag in flags)]
    assert smoke.run(tmp_path / "run", *flags, method=method) == cli.MISUSED
    assert message in capsys.readouterr().err
