"""metrics.csv and what TensorBoard is shown."""

import csv

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf.runs import metrics_log


def rows(tmp_path):
    with open(tmp_path / "metrics.csv", newline="") as file:
        return [(r["phase"], int(r["step"]), r["loss"]) for r in csv.DictReader(file)]


@pytest.fixture
def log(tmp_path):
    log = metrics_log.MetricsLog(str(tmp_path), ["loss", "val_accuracy"])
    log.rewind("train", 0)
    yield log
    log.close()


def test_rows_are_there_at_once(log, tmp_path):
    log.write("train", 5, {"loss": 0.5})
    assert rows(tmp_path) == [("train", 5, "0.5")]


def test_a_continued_phase_loses_its_later_rows_alone(log, tmp_path):
    for phase, step in (("train", 5), ("train", 10), ("finetune", 5), ("finetune", 10)):
        log.write(phase, step, {"loss": step})
    log.rewind("train", 10)
    log.rewind("finetune", 5)
    log.write("finetune", 10, {"loss": 7})
    expected = [("train", 5, "5"), ("train", 10, "10"), ("finetune", 5, "5"), ("finetune", 10, "7")]
    assert rows(tmp_path) == expected


@pytest.mark.parametrize("torn", ["t", "train,1", "train,12,0.5", "train,12,0.55,\r"])
def test_a_row_that_a_full_disk_has_cut_off_is_dropped(log, tmp_path, torn):
    log.write("train", 5, {"loss": 0.5})
    log.close()
    with open(tmp_path / "metrics.csv", "a", newline="") as file:
        file.write(torn)
    again = metrics_log.MetricsLog(str(tmp_path), ["loss", "val_accuracy"])
    again.rewind("train", 100)
    again.write("train", 12, {"loss": 0.25})
    again.close()
    assert rows(tmp_path) == [("train", 5, "0.5"), ("train", 12, "0.25")]


def test_classes_may_be_called_as_columns_are(tmp_path):
    names = ["step", "phase", "a, b", 'line\nbreak "quoted"']
    log = metrics_log.MetricsLog(str(tmp_path), names)
    log.rewind("train", 0)
    log.write_shares("train", 5, np.array([0.1, 0.2, 0.3, 0.4]))
    log.close()
    path = str(tmp_path / "pseudo_labels.csv")
    assert metrics_log.read_table(path)[0] == ["phase", "step", *names]
    assert metrics_log.read_table(path)[1] == [["train", "5", "0.1", "0.2", "0.3", "0.4"]]
    assert metrics_log.read_shares(path).tolist() == [0.1, 0.2, 0.3, 0.4]


def test_it_knows_which_evaluations_it_has(log):
    log.write("train", 5, {"loss": 0.5})
    assert not log.has_evaluation("train", 5)
    log.write("train", 5, {"val_accuracy": 0.0})
    assert log.has_evaluation("train", 5)
    assert not log.has_evaluation("train", 10)
    assert not log.has_evaluation("finetune", 5)


def test_float32_values_survive_the_file(log, tmp_path):
    value = float(np.float32(0.1234567))
    log.write("train", 1, {"loss": value})
    assert np.float32(rows(tmp_path)[0][2]) == np.float32(value)


def test_tensorboard_gets_configuration_and_images_once(tmp_path):
    Image.fromarray(np.full((4, 5, 3), 9, np.uint8)).save(tmp_path / "views.png")
    for steps in (3, 4):
        metrics_log.show_setup(str(tmp_path), {"steps": steps}, str(tmp_path / "views.png"))
    (events,) = (tmp_path / "tensorboard" / "setup").iterdir()
    tensors = {}
    for record in tf.data.TFRecordDataset(str(events)):
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
            tensors[value.tag] = tf.make_ndarray(value.tensor)
    assert b"| steps | 4 |" in tensors["config"].item()
    width, height, image = tensors["views"]
    assert (int(width), int(height)) == (5, 4)
    assert image.startswith(b"\x89PNG")
