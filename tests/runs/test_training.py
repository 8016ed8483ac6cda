"""What a run leaves behind when it does not end well."""

import logging
import tempfile

import pytest

from mpl_tf import config
from mpl_tf.runs import training

SMALL = {"network": "mlp", "num_labeled": 20, "labeled_batch": 10, "unlabeled_ratio": 2, "steps": 6}


def test_a_worker_that_fails_leaves_no_temporary_folder(tmp_path, monkeypatch):
    used = []

    def fail(experiment):
        used.append(experiment.output_path)
        raise RuntimeError("lost")

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(training.devices, "is_chief", lambda strategy: False)
    monkeypatch.setattr(training.devices, "wait_for_all", lambda strategy: None)
    monkeypatch.setattr(training.phases, "fit", fail)
    with pytest.raises(RuntimeError, match="lost"):
        training.train_and_evaluate(config.make(SMALL), str(tmp_path / "run"))
    assert used[0].startswith(str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_run_too_short_for_its_method_says_so_at_start(tmp_path, monkeypatch, messages):
    def stop(experiment):
        raise RuntimeError("started")

    monkeypatch.setattr(training.phases, "fit", stop)
    # 1,077 unlabeled images, 20 a step: in the plan of the run, not of a call of `fit`.
    for steps, text in [(53, "TemporalEnsembling: its consistency loss is 0"), (54, "")]:
        settings = SMALL | {"method": "temporal_ensembling", "steps": steps, "eval_every": 10}
        with pytest.raises(RuntimeError, match="started"):
            training.train_and_evaluate(config.make(settings), str(tmp_path / str(steps)))
        warned = messages(logging.WARNING)
        assert text in warned
        assert bool(warned) == bool(text)
