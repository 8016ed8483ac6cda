"""--deliver=best: the network with the most right validation images."""

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


def test_without_validation_images_nothing_can_be_chosen():
    source = data.find("digits").load()
    settings = {"dataset": "digits", "deliver": "best"}
    config.check_data(config.make(settings), source)
    with pytest.raises(ConfigError, match="deliver=best chooses on validation images"):
        config.check_data(config.make(settings | {"num_validation": 0}), source)
