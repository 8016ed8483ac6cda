"""What a run leaves behind when it does not end well."""

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
        training.train_and_evaluate(config.make(SMALL), str(tmp_path / "run"), [])
    assert used[0].startswith(str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").iterdir()) == []
