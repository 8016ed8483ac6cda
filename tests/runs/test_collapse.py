"""Warnings of a collapse: given once, in words that say what to try."""

import dataclasses
import logging
import re
import types

import numpy as np
import pytest

import mpl_tf
from mpl_tf.methods import METHODS
from mpl_tf.runs import collapse


@pytest.fixture
def callback():
    callback = collapse.WarnOfCollapse(2, ["cat", "dog"], np.array([0.5, 0.5]), 100)
    shares = types.SimpleNamespace(value=[0.5, 0.5], result=lambda: shares.value)
    remedies = mpl_tf.MetaPseudoLabels.remedies
    callback.set_model(types.SimpleNamespace(pseudo_label_shares=shares, remedies=remedies))
    return callback


def steps(callback, count, **logs):
    callback.on_epoch_begin(0)
    for number in range(count):
        callback.on_train_batch_end(number, logs)


def test_one_class_that_takes_over_is_named_once(callback, messages):
    steps(callback, 2)
    assert messages(logging.WARNING) == ""
    callback.model.pseudo_label_shares.value = [0.05, 0.95]
    steps(callback, 1)
    assert messages(logging.WARNING) == ""  # looked at with the rows of the log
    steps(callback, 5)
    text = messages(logging.WARNING)
    assert text.count("Warning at step 4") == 1
    assert "95% of the pseudo labels are class 'dog', which has 50% of the labels" in text
    assert "Try a smaller uda_weight, or a longer uda_ramp_steps, or a lower learning" in text


@pytest.mark.parametrize(
    ("rate", "advice"),
    [(0.0, "a lower uda_temperature or uda_threshold, or"), (1.0, "higher uda_threshold, or")],
)
def test_a_mask_that_stays_is_named_once(callback, messages, rate, advice):
    steps(callback, 2 * collapse.STUCK_ROWS - 2, mask_rate=rate)
    assert messages(logging.WARNING) == ""
    steps(callback, 8, mask_rate=rate)
    text = messages(logging.WARNING)
    assert text.count("Warning") == 1
    assert advice in text


@pytest.mark.parametrize("total", [1, 7])
def test_a_phase_too_short_for_rows_says_at_its_end_that_nothing_has_passed(
    callback, messages, total
):
    callback.total = total
    callback.of_network = "a head_temperature below 1"
    callback.on_epoch_begin(0)
    for number in range(total):
        assert messages(logging.WARNING) == ""
        callback.on_train_batch_end(number, {"mask_rate": 0.0})
    text = messages(logging.WARNING)
    assert f"Warning at step {total}: no unlabeled image has passed the confidence" in text
    assert f"threshold in {total} steps, so they teach nothing there. Try a lower uda" in text
    assert "uda_threshold, or a head_temperature below 1, or more steps." in text


def test_a_short_phase_in_which_something_has_passed_is_fine(callback, messages):
    callback.total = 6
    for rate in (0.0, 0.1, 0.0):
        steps(callback, 2, mask_rate=rate)
    assert messages(logging.WARNING) == ""


def test_a_mask_that_moves_is_fine(callback, messages):
    for rate in (0.0, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0):
        steps(callback, 2, mask_rate=rate)
    steps(callback, 20)  # and a method without one
    assert messages(logging.WARNING) == ""


@pytest.mark.parametrize(
    ("method", "advice"),
    [
        ("UDA", "a lower threshold, or more steps."),  # it masks before it sharpens
        ("NoisyStudent", "a lower pseudo_label_threshold, or more steps."),
        ("FreeMatch", "a lower greatest_threshold or threshold_decay, or more steps."),
        ("Supervised", "more steps."),  # which has no options for it
    ],
)
def test_advice_names_the_options_of_the_method(callback, messages, method, advice):
    callback.model.remedies = getattr(mpl_tf, method).remedies
    steps(callback, 2 * collapse.STUCK_ROWS, mask_rate=0.0)
    assert f"teach nothing there. Try {advice}" in messages(logging.WARNING)


@pytest.mark.parametrize("method", METHODS.values())
def test_remedies_are_for_these_faults_and_name_options_of_the_method(method):
    assert method.remedies.keys() <= {"collapse", "none_pass", "all_pass"}
    names = {field.name for field in dataclasses.fields(method.Config)}
    for remedy in method.remedies.values():
        options = re.findall(r"\w+_\w+|threshold|temperature", remedy)
        assert options and names.issuperset(options)
