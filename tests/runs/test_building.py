"""Optimizers of a run."""

import keras
import pytest

from mpl_tf import config
from mpl_tf.engine.lars import LARS
from mpl_tf.options import ConfigError
from mpl_tf.runs.building import build_method

RATES = {"student_learning_rate": 0.3, "teacher_learning_rate": 0.2}
SETTINGS = {"dataset": "digits", "network": "mlp", "steps": 10, "weight_decay": 0.25}


@pytest.mark.parametrize("method", ["simclr", "pseudo_label"])
def test_lars_has_the_decay_and_the_schedule_of_the_run(method):
    rates = {name: rate for name, rate in RATES.items() if config.applies(name, method)}
    settings = {**SETTINGS, **rates, "method": method}
    lars = config.make({**settings, "optimizer": "lars", "momentum": 0.5})
    made, _ = build_method(lars, 10, (8, 8, 1), 100)
    plain, _ = build_method(config.make(settings), 10, (8, 8, 1), 100)
    assert made.weight_decay == 0  # of biases, too
    assert plain.weight_decay == 0.25
    for name in made.optimizers:
        optimizer, sgd = getattr(made, name), getattr(plain, name)
        assert type(optimizer) is LARS
        assert type(sgd) is keras.optimizers.SGD
        assert (optimizer.l2, optimizer.momentum, optimizer.nesterov) == (0.25, 0.5, True)
        schedules = (each.get_config()["learning_rate"] for each in (optimizer, sgd))
        assert len({str(schedule) for schedule in schedules}) == 1


def test_feedback_that_differentiates_the_step_needs_sgd():
    settings = config.make({**SETTINGS, "method": "mpl", "optimizer": "lars"})
    with pytest.raises(ConfigError, match=r"feedback=exact differentiates .* received LARS"):
        build_method(settings, 10, (8, 8, 1), 100)
