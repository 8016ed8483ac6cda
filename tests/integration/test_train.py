"""`python -m mpl_tf.train` from flags to files, repeated and misused."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import cli, train
from mpl_tf.engine import batch_statistics
from mpl_tf.runs import checkpoint, collapse, folder

# Those of the run `finished` are looked at; further runs are asked for something else.
pytestmark = pytest.mark.usefixtures("no_pictures")


def test_everything_is_there(finished, smoke):
    of_others = {folder.ENCODER, folder.NEIGHBOURS, folder.PRETRAIN_VIEWS}
    of_others |= {folder.FEATURES, folder.PREDICTIONS}
    written = {*folder.ARTIFACTS, folder.LOCK} - of_others  # no more, no less
    assert set(os.listdir(finished)) == written
    results = smoke.results(finished)
    assert {k: results[k] for k in ("dataset", "method", "feedback", "seed", "steps")} == {
        "dataset": "digits",
        "method": "mpl",
        "feedback": "exact",
        "seed": 0,
        "steps": 6,
    }
    assert results["num_labeled"] == 20
    assert results["test_accuracy"].keys() == {"teacher", "student", "ema", "finetuned"}
    assert all(0 <= v <= 1 for v in results["test_accuracy"].values())
    assert len(results["weights_digest"]) == 64
    assert 0 < results["seconds_per_step"] < results["seconds"]
    assert {"versions", "git_revision", "resumed_at"} <= results.keys()
    assert (finished / "report.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in (finished / "tensorboard").iterdir()} == {
        "setup",
        "train",
        "finetune",
    }


def test_metrics_have_a_row_for_every_log_and_evaluation(finished, smoke):
    rows = smoke.rows(finished)
    places = [(r["phase"], r["step"], "loss" if r["student_loss"] else "val") for r in rows]
    assert places == [
        ("train", "2", "loss"),
        ("train", "4", "loss"),
        ("train", "4", "val"),
        ("train", "6", "loss"),
        ("train", "6", "val"),
        ("finetune", "2", "val"),  # finetuning logs another loss
        ("finetune", "3", "val"),
    ]
    assert rows[5]["finetuned_loss"]
    assert rows[6]["val_finetuned_accuracy"]
    for name in ("teacher_loss", "uda_loss", "mask_rate", "pseudo_label_accuracy"):
        assert rows[0][name]
    for name in ("feedback", "feedback_std", "feedback_snr", "baseline", "positive_credit"):
        assert rows[0][name]


def test_the_export_answers_like_the_finetuned_student(finished, smoke):
    """Restored from the checkpoint by hand, so that nothing of the run itself is trusted."""
    student = mpl_tf.NETWORKS["mlp"](10, (8, 8, 1), seed=5)
    model = mpl_tf.Supervised(student)
    tuning = model.finetuning_phase(tf.keras.optimizers.SGD(0.001))
    checkpoint.Checkpoints(tuning, str(finished / "checkpoints" / "finetune")).restore()
    test = mpl_tf.DATASETS["digits"].load().test
    probs = model.predict(test.images.astype(np.float32), verbose=0)
    temperature = smoke.results(finished)["calibration"]["temperatures"]["finetuned"]
    expected = tf.nn.softmax(np.log(probs) / temperature).numpy()

    served = tf.saved_model.load(str(finished / "export" / "1")).signatures["serving_default"]
    out = served(images=tf.constant(test.images))
    np.testing.assert_allclose(out["probabilities"], expected, atol=1e-5)
    accuracy = np.mean(out["class_ids"].numpy() == test.labels)
    assert accuracy == pytest.approx(smoke.results(finished)["test_accuracy"]["finetuned"])
    assert out["labels"].numpy()[0] == str(out["class_ids"].numpy()[0]).encode()


def test_the_same_seed_gives_the_same_weights_and_another_another(finished, tmp_path, smoke):
    flags_of_the_run = finished / "run.flags"
    assert train.main([f"--flagfile={flags_of_the_run}", f"--workdir={tmp_path / 'same'}"]) == 0
    assert (
        smoke.results(tmp_path / "same")["weights_digest"]
        == smoke.results(finished)["weights_digest"]
    )
    assert (tmp_path / "same/metrics.csv").read_text() == (finished / "metrics.csv").read_text()
    assert smoke.run(tmp_path / "other", "--seed=1") == 0
    assert (
        smoke.results(tmp_path / "other")["weights_digest"]
        != smoke.results(finished)["weights_digest"]
    )


def test_pseudo_labels_have_a_row_for_every_log(finished, smoke):
    rows = smoke.rows(finished, "pseudo_labels.csv")
    assert [r["step"] for r in rows] == ["2", "4", "6"]
    assert list(rows[0]) == ["phase", "step", *"0123456789"]
    for row in rows:
        assert sum(float(row[k]) for k in "0123456789") == pytest.approx(1, abs=1e-5)


def test_hidden_labels_reach_the_log_and_nothing_else(finished, tmp_path, monkeypatch, smoke):
    """With other labels on the unlabeled images, the weights are the same to the bit."""
    from mpl_tf.data import splits

    original = splits.split

    def with_wrong_hidden_labels(*arguments, **keywords):
        split = original(*arguments, **keywords)
        split.unlabeled.labels[:] = 3
        return split

    monkeypatch.setattr(splits, "split", with_wrong_hidden_labels)
    assert smoke.run(tmp_path / "run") == 0
    assert (
        smoke.results(tmp_path / "run")["weights_digest"]
        == smoke.results(finished)["weights_digest"]
    )
    accuracies = [
        next(r["pseudo_label_accuracy"] for r in smoke.rows(p))
        for p in (tmp_path / "run", finished)
    ]
    assert accuracies[0] != accuracies[1]


def test_a_phase_of_several_calls_of_fit_warns_of_a_collapse_once(
    tmp_path, monkeypatch, capsys, smoke
):
    """Evaluations after steps 4 and 6: two calls, and three rows that would warn."""
    monkeypatch.setattr(collapse, "MOST_OF_ONE_CLASS", 0.0)
    assert smoke.run(tmp_path / "run", "--finetune_steps=0") == 0
    output = capsys.readouterr()
    text = output.out + output.err
    assert text.count("Warning at step") == 1
    assert "Warning at step 2: " in text


def test_the_supervised_method_runs_the_same_pipeline(tmp_path, smoke):
    assert smoke.run(tmp_path / "run", method="supervised") == 0
    results = smoke.results(tmp_path / "run")
    assert results["test_accuracy"]["teacher"] is None
    assert results["test_accuracy"]["finetuned"] is not None
    assert "feedback" not in results


def test_pseudo_labels_train_their_teacher_first(tmp_path, smoke):
    assert smoke.run(tmp_path / "run", method="pseudo_label") == 0
    rows = smoke.rows(tmp_path / "run")
    assert list(dict.fromkeys(r["phase"] for r in rows)) == ["teacher", "train", "finetune"]
    assert not any(r.get("mask_rate") for r in rows)  # a threshold of 0 masks nothing
    teacher = [r["val_teacher_cross_entropy"] for r in rows if r["val_teacher_cross_entropy"]]
    assert teacher[0] != teacher[1]  # it learned
    assert len(set(teacher[1:])) == 1  # and then stayed as it was


@pytest.mark.parametrize("feedback", ["sampled", "dot", "none"])
def test_every_feedback_runs(feedback, tmp_path, smoke):
    assert smoke.run(tmp_path / "run", f"--feedback={feedback}", "--finetune_steps=0") == 0
    results = smoke.results(tmp_path / "run")
    assert results["test_accuracy"]["finetuned"] is None  # left out on request
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").exists()


def test_a_finished_run_is_reported_and_kept(finished, capsys, smoke):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    assert smoke.run(finished) == cli.DONE
    assert "has finished already" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}


def test_overwriting_starts_again(finished, tmp_path, smoke):
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    assert smoke.run(path, "--steps=4", "--overwrite") == 0
    assert smoke.results(path)["steps"] == 4
    assert max(int(r["step"]) for r in smoke.rows(path)) == 4


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, capsys, smoke):
    """The student waits two steps, then leaps: steps 1 and 2 are good, step 3 is not."""
    path = tmp_path / "run"
    flags = ("--student_learning_rate=1e8", "--weight_decay=1e8", "--teacher_learning_rate=0")
    flags += ("--student_wait_steps=2", "--eval_every=1")
    assert smoke.run(path, *flags) == cli.FAILED
    output = capsys.readouterr()
    assert "Stopped: train step 3: " in output.err
    assert "student_labeled_loss = " in output.err
    assert sorted(os.listdir(path / "checkpoints" / "train")) == ["step-1", "step-2"]
    reader = tf.train.load_checkpoint(str(path / "checkpoints" / "train" / "step-2" / "state"))
    for name, dtype in reader.get_variable_to_dtype_map().items():
        if dtype.is_floating:
            assert np.isfinite(reader.get_tensor(name)).all(), name


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--dataset=moon", "one of digits"),
        ("--method=magic", "one of adamatch, byol, "),
        ("--network=vgg", "network must be one of: mlp, small, small_WIDTH, wide_resnet, "),
        ("--feedback=up", "one of dot, exact, none, sampled"),
        ("--num_labeled=5", "multiple of the 10 classes"),
        ("--num_labeled=25", "multiple of the 10 classes"),
        ("--num_labeled=5000", "from 10 to 1040"),
        ("--labeled_batch=30", "at most num_labeled=20"),
        ("--unlabeled_ratio=900", "unlabeled images"),
        ("--steps=-1", "at least 1"),
        ("--steps=0", "at least 1"),
        ("--stepz=1", "Did you mean"),
        ("--workdir=/proc/no/such", "cannot be written"),
    ],
)
def test_bad_input_ends_with_status_2_before_anything_is_written(
    flag, message, tmp_path, capsys, smoke
):
    path = tmp_path / "run"
    assert smoke.run(path, flag) == cli.MISUSED
    output = capsys.readouterr()
    assert message in output.err
    assert "Traceback" not in output.err + output.out
    assert not path.exists()


def test_a_folder_with_something_else_is_refused(tmp_path, capsys, smoke):
    (tmp_path / "notes").write_text("mine")
    assert smoke.run(tmp_path) == cli.MISUSED
    assert "holds something that is no run" in capsys.readouterr().err


def test_a_run_of_another_configuration_is_refused(finished, capsys, smoke):
    assert smoke.run(finished, "--feedback=none") == cli.MISUSED
    assert "feedback is exact there and none here" in capsys.readouterr().err


def test_deterministic_operations_are_asked_for_before_any_runs(tmp_path, monkeypatch, smoke):
    def asked():
        raise RuntimeError("asked")

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", asked)
    monkeypatch.setattr("mpl_tf.engine.devices.make_strategy", None)  # would be too late
    with pytest.raises(RuntimeError, match="asked"):
        smoke.run(tmp_path / "run", "--deterministic")


def test_help_ends_well(capsys):
    assert train.main(["--help"]) == 0
    assert "--feedback=dot|exact|none|sampled" in capsys.readouterr().out


def test_the_terminal_shows_our_lines_only(tmp_path, smoke):
    """In a process of its own: TensorFlow writes past Python's standard error."""
    flags = smoke.command(tmp_path / "run", method="supervised")
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "mpl_tf.train", *flags],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert time.time() - began < 300
    assert done.stderr == ""
    starts = ("Supervised on digits", "Network ", "Run folder", "train: ", "finetune: ", "Testing")
    starts += ("Test accuracy", "  ", "Expected calibration error", "The temperature of")
    for line in done.stdout.splitlines():
        assert not line or line.startswith(starts) or "step - " in line or "seconds. In" in line


def test_main_can_be_called_from_python(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train", "--help"])
    assert train.main() == 0
    assert capsys.readouterr().out.startswith("Train a method")


def test_statistics_are_computed_anew_before_the_last_checkpoint(tmp_path, smoke, monkeypatch):
    path, calls = tmp_path / "run", []

    def renew(method, data, steps):
        written = (path / "checkpoints" / "train" / f"step-{int(method.step)}").exists()
        calls.append((int(method.step), steps, written))

    monkeypatch.setattr(batch_statistics, "renew", renew)
    assert smoke.run(path, "--network=small_8") == cli.DONE  # with batch normalisation
    assert calls == [(6, 6, False)]
