"""Runs that are killed, asked to stop, short of disk or short of a checkpoint, and go on."""

import errno
import os
import resource
import signal
import time

import pytest
import tensorflow as tf

from mpl_tf import cli, train
from mpl_tf.runs import checkpoint, metrics_log, phases

# Rows, evaluations and checkpoints fall on different steps, so that a row is cut in two.
LONG = (
    "--steps=120",
    "--finetune_steps=60",
    "--eval_every=14",
    "--checkpoint_every=4",
    "--log_every=5",
    "--dropout=0.3",
    "--feedback=sampled",
    "--deterministic",
)


def wait_for(process, path, phase, step):
    """Waits until a run has a checkpoint of that step or a later one."""
    limit = time.time() + 300
    while newest(path, phase) < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.time() < limit
        time.sleep(0.002)


def end(process, number):
    """Sends a signal; returns the exit status and what was printed."""
    process.send_signal(number)
    printed = process.communicate()[0]
    return process.returncode, printed


def newest(path, phase):
    folder = path / "checkpoints" / phase
    names = os.listdir(folder) if folder.exists() else []
    return max((int(n.removeprefix("step-")) for n in names if "partial" not in n), default=0)


def test_a_run_stopped_once_and_killed_twice_ends_like_one_that_was_not(tmp_path, capsys, smoke):
    """Ctrl-C in training, kill -9 there, kill -9 in finetuning; and all bits are the same."""
    assert train.main(["--help"]) == cli.DONE  # imports are done
    straight, path = tmp_path / "straight", tmp_path / "run"
    uninterrupted = smoke.start(*smoke.command(straight, *LONG))

    first = smoke.start(*smoke.command(path, *LONG))
    wait_for(first, path, "train", 4)
    assert smoke.run(path, *LONG) == cli.MISUSED
    assert f"in use by another process (process {first.pid} on" in capsys.readouterr().err
    status, printed = end(first, signal.SIGINT)
    assert status == cli.INTERRUPTED == 130, printed
    assert "Stopping after this step; Ctrl-C again stops at once." in printed
    stopped = newest(path, "train")
    assert f"train: asked to stop, saved after step {stopped}\n" in printed
    assert "The same command continues" in printed
    assert "Traceback" not in printed

    second = smoke.start(*smoke.command(path, *LONG))
    wait_for(second, path, "train", stopped + 9)
    status, printed = end(second, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert f"train: continuing after step {stopped} of 120" in printed
    killed = newest(path, "train")
    assert killed < 120

    third = smoke.start(*smoke.command(path, *LONG))
    wait_for(third, path, "finetune", 9)
    status, printed = end(third, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert f"train: continuing after step {killed} of 120" in printed
    assert newest(path, "finetune") < 60
    assert len(os.listdir(path / "checkpoints" / "train")) == 2

    last = smoke.start(*smoke.command(path, *LONG))
    printed = last.communicate()[0]
    assert last.returncode == cli.DONE, printed
    assert "finetune: continuing after step" in printed
    output = uninterrupted.communicate()[0]
    assert uninterrupted.returncode == cli.DONE, output
    assert smoke.results(path)["weights_digest"] == smoke.results(straight)["weights_digest"]
    assert smoke.results(path)["test_accuracy"] == smoke.results(straight)["test_accuracy"]
    for name in ("metrics.csv", "pseudo_labels.csv"):
        assert smoke.rows(path, name) == smoke.rows(straight, name)


@pytest.mark.usefixtures("no_pictures")
def test_a_full_disk_and_a_damaged_checkpoint(finished, tmp_path, monkeypatch, capsys, smoke):
    """The third checkpoint finds no room; the second is damaged; the run goes on from the first."""
    path, saves = tmp_path / "run", []
    flags = ("--checkpoint_every=1", "--keep_checkpoints=3")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    original = checkpoint.Checkpoints.save

    def save(self, step):
        saves.append(step)
        if step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            original(self, step)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save)
        assert smoke.run(path, *flags) == cli.FAILED
    output = capsys.readouterr()
    assert "Stopped: the checkpoint after step 3 could not be written to" in output.err
    assert "Traceback" not in output.err
    assert saves == [1, 2, 3]
    folder = path / "checkpoints" / "train"
    assert sorted(os.listdir(folder)) == ["step-1", "step-2"]

    os.truncate(folder / "step-2" / "state.data-00000-of-00001", 5000)
    assert smoke.run(path, *flags) == cli.DONE
    output = capsys.readouterr()
    assert f"{folder / 'step-2'}: state.data-00000-of-00001 is damaged" in output.err
    assert "train: continuing after step 1 of 6" in output.out
    assert smoke.results(path)["weights_digest"] == smoke.results(finished)["weights_digest"]
    assert smoke.rows(path, "metrics.csv") == smoke.rows(finished, "metrics.csv")


@pytest.mark.usefixtures("no_pictures")
def test_a_stop_before_an_evaluation_makes_up_for_it(
    finished, tmp_path, monkeypatch, capsys, smoke
):
    """SIGTERM comes in the last step before an evaluation, which is done when the run goes on."""
    path, original = tmp_path / "run", metrics_log.MetricsLog.write

    def write(self, phase, step, values):
        original(self, phase, step, values)
        if (phase, step) == ("train", 4):  # the row of training; evaluation comes after it
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(metrics_log.MetricsLog, "write", write)
        assert smoke.run(path) == cli.TERMINATED
    assert signal.getsignal(signal.SIGTERM) is handler
    assert "asked to stop, saved after step 4" in capsys.readouterr().out
    assert not any(row.get("val_ema_accuracy") for row in smoke.rows(path, "metrics.csv"))
    assert smoke.run(path) == cli.DONE
    assert smoke.rows(path, "metrics.csv") == smoke.rows(finished, "metrics.csv")


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("views_grid.draw", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        ("results.finish", OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/some/file")),
        (
            "results.finish",
            tf.errors.ResourceExhaustedError(None, None, "/some/file; No space left on device"),
        ),
    ],
    ids=["disk", "quota", "TensorFlow"],
)
def test_a_full_disk_outside_checkpoints_is_named_too(
    stage, error, tmp_path, monkeypatch, capsys, smoke
):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(phases, "fit", lambda experiment: (None, None))
    monkeypatch.setattr(f"mpl_tf.runs.{stage}", fail)
    assert smoke.run(tmp_path / "run") == cli.FAILED
    output = capsys.readouterr()
    assert f"Stopped: {tmp_path / 'run'} cannot be written: " in output.err
    assert "Make room" in output.err


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "PATH/metrics.csv"),
        OSError(errno.EIO, os.strerror(errno.EIO), "PATH/metrics.csv"),
        tf.errors.PermissionDeniedError(None, None, "PATH/tensorboard; Permission denied"),
    ],
    ids=["permission", "disk", "TensorFlow"],
)
def test_a_folder_that_goes_bad_while_it_is_written_is_named(
    error, tmp_path, monkeypatch, capsys, smoke
):
    path = str(tmp_path / "run")

    def fail(*arguments):
        if isinstance(error, OSError):
            raise type(error)(error.errno, error.strerror, error.filename.replace("PATH", path))
        raise type(error)(None, None, error.message.replace("PATH", path))

    monkeypatch.setattr(phases, "fit", fail)
    assert smoke.run(path) == cli.FAILED
    assert f"Stopped: {path} cannot be read or written: " in capsys.readouterr().err


@pytest.mark.parametrize("where", ["views_grid._grid", "pictures._report"])
def test_a_picture_that_cannot_be_drawn_stops_no_run(
    where, finished, tmp_path, monkeypatch, capsys, smoke
):
    def fail(*arguments):
        raise ValueError("Expected a formula")

    monkeypatch.setattr(f"mpl_tf.runs.{where}", fail)
    assert smoke.run(tmp_path / "run") == cli.DONE
    assert "could not be drawn, and all else goes on: Expected a formula" in capsys.readouterr().err
    digests = {smoke.results(path)["weights_digest"] for path in (finished, tmp_path / "run")}
    assert len(digests) == 1


@pytest.mark.usefixtures("no_pictures")
def test_exports_of_an_interrupted_run_stay(tmp_path, monkeypatch, capsys, smoke):
    """The run ends with the next free version, and says which; a half-written one goes."""
    path = tmp_path / "run"

    def fail(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("mpl_tf.runs.pictures.draw", fail)
        assert smoke.run(path) == cli.FAILED
    assert os.listdir(path / "export") == ["1"]
    (path / "export" / "1" / "mark").write_text("complete")
    (path / "export" / ".partial-killed").mkdir()
    capsys.readouterr()
    for _ in range(2):  # when it ends, and when it has ended
        assert smoke.run(path) == cli.DONE
        output = capsys.readouterr().out
        assert "export/2 " in output and "export/1 " not in output
    assert sorted(os.listdir(path / "export")) == ["1", "2"]
    assert (path / "export" / "1" / "mark").read_text() == "complete"
    assert (path / "export" / "2" / "saved_model.pb").exists()


def test_a_lack_of_memory_is_not_taken_for_one_of_disk(tmp_path, monkeypatch, capsys, smoke):
    def fail(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(phases, "fit", fail)
    assert smoke.run(tmp_path / "run") == cli.FAILED
    stopped = capsys.readouterr().err
    assert "Stopped: there is not enough memory: OOM when allocating tensor." in stopped
    assert "cannot be written" not in stopped
