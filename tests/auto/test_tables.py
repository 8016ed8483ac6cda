"""The lists as files: read again they are what was written."""

import csv
import os

import numpy as np
import pytest

from mpl_tf.auto import tables

CLASSES = ("ant", "bee, red", "Käfer")
NAMES = np.array(["a/1.png", 'b "2",\n.png', "ü.png", "bad\udcff.png"], object)
PROBS = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [1 / 3, 1 / 3, 1 / 3]])


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_predictions_have_the_names_of_the_dataset(tmp_path):
    path = tmp_path / tables.PREDICTIONS
    tables.write_predictions(str(path), NAMES, PROBS.astype(np.float32), CLASSES)
    assert read(path) == [
        ["file", "predicted", "probability"],
        ["a/1.png", "ant", "0.500000"],
        ['b "2",\n.png', "bee, red", "0.800000"],
        ["ü.png", "Käfer", "0.500000"],
        ["bad\\udcff.png", "ant", "0.333333"],
    ]
    tables.write_predictions(str(path), np.arange(4), PROBS, CLASSES)
    assert [row[0] for row in read(path)] == ["file", "0", "1", "2", "3"]


def test_label_next_is_in_the_order_of_the_choice(tmp_path):
    path = tmp_path / tables.LABEL_NEXT
    tables.write_label_next(str(path), NAMES, PROBS, CLASSES, np.array([2, 0]))
    assert read(path) == [
        ["file", "predicted", "probability", "predicted_2", "probability_2"],
        ["ü.png", "Käfer", "0.500000", "bee, red", "0.300000"],
        ["a/1.png", "ant", "0.500000", "bee, red", "0.300000"],
    ]
    tables.write_label_next(str(path), NAMES, PROBS, CLASSES, np.zeros(0, int))
    assert len(read(path)) == 1


def test_suspicious_labels_say_both_classes(tmp_path):
    path = tmp_path / tables.SUSPICIOUS
    labels = np.array([0, 0, 1, 2])
    tables.write_suspicious(str(path), NAMES, labels, PROBS, CLASSES, np.array([1]), np.array([1]))
    assert read(path) == [
        ["file", "label", "label_probability", "predicted", "probability"],
        ['b "2",\n.png', "ant", "0.100000", "bee, red", "0.800000"],
    ]


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "t.csv"
    tables.write(str(path), ("a",), [("old",)])

    def rows():
        yield ("new",)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables.write(str(path), ("a",), rows())
    assert read(path) == [["a"], ["old"]] and os.listdir(tmp_path) == ["t.csv"]
