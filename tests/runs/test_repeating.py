"""runs/repeating: trainings in memory, again and again from one start."""

import os
import types

import numpy as np
import pytest

from mpl_tf import config, data
from mpl_tf.runs import callbacks, experiment, folder, phases, repeating

OPTIONS = {"dataset": "digits", "network": "small_4", "num_labeled": 50, "method": "fixmatch"}
OPTIONS |= {"steps": 4, "finetune_steps": 0, "labeled_batch": 10, "unlabeled_ratio": 2}
OPTIONS |= {"eval_every": 4, "log_every": 4, "dropout": 0.2}


class Diverging:
    """A trainer whose loss is finite in its first step alone."""

    unlabeled_views, has_averaged_statistics = (), False

    def fit(self, batches, steps_per_epoch, callbacks, **_):
        self.steps = 0
        for callback in callbacks:
            callback.set_model(self)
            callback.on_epoch_begin(0)
        while self.steps < steps_per_epoch:
            self.steps += 1
            for callback in callbacks:
                callback.on_train_batch_end(
                    self.steps - 1, {"loss": 1.0 if self.steps == 1 else np.inf}
                )


def test_a_phase_stops_where_a_number_is_not_finite():
    images = types.SimpleNamespace(batches=lambda *_: None)
    with pytest.raises(callbacks.NonFiniteError, match="train step 2: loss = inf"):
        repeating.fit(images, Diverging(), "train", 9)


def test_each_training_ends_as_a_run_does(tmp_path):
    """Weights, moving batch statistics, momenta and counters are those of `phases.fit`, twice."""
    settings = config.make(OPTIONS)
    split = experiment.make_split(settings, data.find("digits").load())

    def built(name):
        os.makedirs(tmp_path / name)
        return experiment.build(settings, split, str(tmp_path / name))

    run, other = built("run"), built("other")
    method = other.method
    start = repeating.Start([*method.variables, *method.student_optimizer.variables])
    phases.fit(run)
    expected = [v.numpy() for v in (*run.method.variables, *run.method.student_optimizer.variables)]
    for _ in range(2):
        start.restore()
        logs = repeating.fit(other, method, folder.TRAIN, 4)
        trained = [v.numpy() for v in (*method.variables, *method.student_optimizer.variables)]
        for here, there in zip(trained, expected, strict=True):
            np.testing.assert_array_equal(here, there)
    assert {"student_loss", "supervised_loss"} <= logs.keys() and np.isfinite(
        list(logs.values())
    ).all()
    assert os.listdir(tmp_path / "other") == []
