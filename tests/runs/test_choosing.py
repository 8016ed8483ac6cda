"""The network with the most right validation images is delivered, or named."""

import types

import numpy as np
import pytest

from mpl_tf import config, data
from mpl_tf.data.dataset import Images
from mpl_tf.data.stores import ArrayStore
from mpl_tf.options import ConfigError
from mpl_tf.runs import choosing


class Method:
    def deliver(self, which):
        self.delivered = which


@pytest.mark.parametrize(
    ("right", "delivered"),
    [
        ({"teacher": 3, "student": 4, "ema": 1, "finetuned": 2}, "teacher"),
        ({"teacher": 2, "student": 4, "ema": 3, "finetuned": 2}, "ema"),
        ({"teacher": 3, "student": 4, "ema": 3, "finetuned": 3}, "finetuned"),
        ({"teacher": 3, "student": 4, "ema": 3}, "ema"),
        ({"student": 4, "ema": 1}, "ema"),
    ],
)
def test_most_right_validation_images_and_of_equals_the_last_trained(
    right, delivered, messages, caplog
):
    labels = np.array([0, 1, 0, 1])
    images = Images(
        ArrayStore(np.zeros([4, 2, 2, 3], np.uint8)), np.arange(4), labels, np.arange(4)
    )
    logits = {
        role: np.eye(2)[np.where(np.arange(4) < n, labels, 1 - labels)] for role, n in right.items()
    }
    for test in (images, None):
        split, method = types.SimpleNamespace(validation=images, test=test), Method()
        choosing.deliver_best(method, logits, split)
        assert method.delivered == delivered
        share = f"{right[delivered] / 4:.1%} of 4 validation images"
        assert f"Delivered: {delivered}, right in {share}" in caplog.text
        assert ("too high" in caplog.text) == (test is None)
        caplog.clear()


def test_what_is_no_number_is_right_in_nothing():
    store = ArrayStore(np.zeros([4, 2, 2, 3], np.uint8))
    images = Images(store, np.arange(4), np.zeros(4, np.int64), np.arange(4))
    logits = {"teacher": np.full([4, 2], np.nan), "ema": np.eye(2)[[0, 1, 1, 1]]}
    split, method = types.SimpleNamespace(validation=images, test=images), Method()
    choosing.deliver_best(method, logits, split)
    assert method.delivered == "ema"


@pytest.mark.parametrize(
    ("right", "told"),
    [
        ({"teacher": 60, "student": 50, "ema": 50, "finetuned": 50}, "teacher"),
        ({"teacher": 59, "student": 50, "ema": 50, "finetuned": 50}, ""),  # 9 = 3 sqrt(9)
        ({"student": 100, "ema": 50, "finetuned": 50}, ""),  # its average is there
        ({"teacher": 50, "student": 50, "ema": 60, "finetuned": 50}, "ema"),
        ({"teacher": 40, "student": 40, "ema": 40, "finetuned": 50}, ""),
    ],
)
def test_a_network_that_is_better_than_what_is_delivered_is_named(right, told, messages, caplog):
    labels = np.zeros(100, np.int64)
    images = Images(
        ArrayStore(np.zeros([100, 2, 2, 3], np.uint8)), np.arange(100), labels, np.arange(100)
    )
    logits = {role: np.eye(2)[(np.arange(100) >= n).astype(int)] for role, n in right.items()}
    split = types.SimpleNamespace(validation=images, test=images)
    method = Method()
    method.delivered = "finetuned" if "finetuned" in right else "ema"
    choosing.tell_of_better(method, logits, split, "runs/a b")
    if told:
        assert f"validation images {told} gets 60.0% right" in caplog.text
        assert "is exported, finetuned, 50.0%" in caplog.text
        assert f"--workdir='runs/a b' --which={told}" in caplog.text
    else:
        assert not caplog.text
    split.validation = None
    choosing.tell_of_better(method, {role: logits[role][:0] for role in logits}, split, "runs")
    logits["teacher"] = np.full([100, 2], np.nan)
    split.validation = images
    caplog.clear()
    choosing.tell_of_better(method, logits, split, "runs")
    assert "teacher" not in caplog.text


def test_without_validation_images_nothing_can_be_chosen():
    source = data.find("digits").load()
    settings = {"dataset": "digits", "deliver": "best"}
    config.check_data(config.make(settings), source)
    with pytest.raises(ConfigError, match="deliver=best chooses on validation images"):
        config.check_data(config.make(settings | {"num_validation": 0}), source)
