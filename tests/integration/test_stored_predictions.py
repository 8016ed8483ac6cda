"""Stored predictions of a run: where they lie, and runs that stop around them and go on."""

import gc
import json
import weakref

import numpy as np
import pytest

from mpl_tf import cli
from mpl_tf.engine import pool_predictions, stored_teacher
from mpl_tf.options import ConfigError
from mpl_tf.runs import checkpoint, stored_predictions
from mpl_tf.runs.folder import PREDICTIONS

pytestmark = pytest.mark.usefixtures("no_pictures")
METHOD = "reduced_mpl"
FLAGS = ("--checkpoint_every=1", "--dropout=0.3", "--feedback=sampled")


def stop(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def straight(tmp_path_factory, smoke):
    """The folder of a run that was never stopped; tests must not change it."""
    path = tmp_path_factory.mktemp("straight") / "run"
    assert smoke.run(path, *FLAGS, method=METHOD) == cli.DONE
    return path


def test_a_run_stopped_in_every_phase_ends_like_one_that_was_not(
    straight, tmp_path, monkeypatch, smoke
):
    """In the teacher's phase, while predictions are computed, while the student learns; all bits.

    The last but one has lost its file, which is computed anew.
    """
    path, save = tmp_path / "run", checkpoint.Checkpoints.save

    def until(step):
        def save_and_stop(self, number):
            save(self, number)
            if number == step:
                stop()

        return checkpoint.Checkpoints, "save", save_and_stop

    def half(network, pool, into):
        into[0] = 1
        stop()

    def in_training(experiment, method):
        prepare(experiment, method)
        patch.setattr(*until(2))

    prepare = stored_predictions.prepare
    stops = [
        until(3),
        (stored_teacher, "predict", half),
        (stored_predictions, "prepare", in_training),
    ]
    for place in stops:
        with monkeypatch.context() as patch:
            patch.setattr(*place)
            assert smoke.run(path, *FLAGS, method=METHOD) == cli.INTERRUPTED
        assert (path / PREDICTIONS).exists() == (place is stops[2])
    assert checkpoint.steps(str(path / "checkpoints" / "train")) == [1, 2]
    stored = (path / PREDICTIONS).read_bytes()
    (path / PREDICTIONS).unlink()
    assert smoke.run(path, *FLAGS, method=METHOD) == cli.DONE
    assert (path / PREDICTIONS).read_bytes() == stored
    for name in ("weights_digest", "test_accuracy"):
        assert smoke.results(path)[name] == smoke.results(straight)[name]
    assert smoke.rows(path) == smoke.rows(straight)


def test_a_run_lets_go_of_its_teacher_before_the_student_learns(tmp_path, monkeypatch, smoke):
    """Of the network and of the optimizer's momentum nothing is left when a step is saved."""
    held, alive = [], []
    prepare, save = stored_predictions.prepare, checkpoint.Checkpoints.save

    def watched(experiment, method):
        (training,) = method.pretraining_phases().values()
        optimizer = training.network_optimizer
        held.extend(map(weakref.ref, (training.network, training, *optimizer.variables)))
        del training, optimizer
        prepare(experiment, method)

    def look(self, step):
        if held:
            gc.collect()
            alive.append([ref() is not None for ref in held])
        save(self, step)

    monkeypatch.setattr(stored_predictions, "prepare", watched)
    monkeypatch.setattr(checkpoint.Checkpoints, "save", look)
    assert smoke.run(tmp_path / "run", method=METHOD) == cli.DONE
    assert len(held) > 4 and alive
    assert not any(map(any, alive))


def test_they_are_distributions_in_float16_on_the_disk(straight, smoke):
    array = np.load(straight / PREDICTIONS, mmap_mode="r")
    assert array.dtype == np.float16
    assert array.shape == (json.loads((straight / "split.json").read_text())["num_unlabeled"], 10)
    np.testing.assert_allclose(array.astype(np.float32).sum(1), 1, atol=5e-3)
    read = stored_predictions.read(str(straight / PREDICTIONS), array.shape)
    assert isinstance(read, pool_predictions.ArrayPredictions)
    assert isinstance(read.array, np.memmap)
    np.testing.assert_array_equal(read.read(np.array([5, 0])), array[[5, 0]])


def test_a_damaged_file_is_refused_in_words(straight, tmp_path):
    path, shape = tmp_path / PREDICTIONS, np.load(straight / PREDICTIONS).shape
    for content, reason in ((b"", "is damaged"), (b"\x93NUMPY", "is damaged")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"{reason}: .*Remove it: the same command computes"):
            stored_predictions.read(str(path), shape)
    path.write_bytes((straight / PREDICTIONS).read_bytes()[:-1])
    with pytest.raises(ConfigError, match="is damaged"):
        stored_predictions.read(str(path), shape)
    np.save(path, np.zeros(shape, np.float32))
    with pytest.raises(ConfigError, match="it must hold float16 of shape"):
        stored_predictions.read(str(path), shape)


def test_a_full_disk_is_said_in_words(tmp_path, monkeypatch, capsys, smoke):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored_teacher.StoredTeacherMethod, "write_predictions", full)
    assert smoke.run(tmp_path / "run", method=METHOD) == cli.FAILED
    printed = capsys.readouterr().err
    assert "predictions.npy could not be written: No space left on device" in printed
    assert "Traceback" not in printed
