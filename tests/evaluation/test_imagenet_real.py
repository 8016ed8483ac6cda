"""ImageNet's reassessed labels."""

import json

import numpy as np
import pytest

from mpl_tf.data.dataset import Images
from mpl_tf.data.stores import ArrayStore
from mpl_tf.evaluation import imagenet_real
from mpl_tf.options import ConfigError

NAMES = ["val/ILSVRC2012_val_00000002.JPEG", "ILSVRC2012_val_00000001.png"]


def images(ids):
    store = ArrayStore(np.zeros([len(ids), 2, 2, 3], np.uint8))
    zeros = np.zeros(len(ids), np.int64)
    return Images(store, zeros, zeros, np.array(ids))


def test_labels_are_found_by_the_number_in_a_files_name():
    assert imagenet_real.labels_of(NAMES, [[1], [0, 2], [5]], 3) == [[0, 2], [1]]


def test_a_file_of_labels_is_read(tmp_path):
    path = tmp_path / "real.json"
    path.write_text(json.dumps([[1], [], [0, 2]]))
    assert imagenet_real.read(str(path)) == [[1], [], [0, 2]]


@pytest.mark.parametrize(
    ("names", "real_labels", "message"),
    [
        (["ILSVRC2012_val_00000003.png"], [[0]], "an entry for image 3; it has 1, from"),
        (["ILSVRC2012_val_00000000.png"], [[0]], "an entry for image 0"),
        ([*NAMES, "ILSVRC2012_val_00000000.png"], [[0], [1]], "an entry for image 0; it has 2"),
        (["cat.png"], [[0]], "the images have 'cat.png'"),
        (NAMES, [[0], [3]], "must be from 0 to 2; received 3"),
        (NAMES, [[-1], [0]], "must be from 0 to 2; received -1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(names, real_labels, message):
    with pytest.raises(ConfigError) as error:
        imagenet_real.labels_of(names, real_labels, 3)
    assert message in str(error.value)


def test_names_are_those_of_a_folders_files():
    assert imagenet_real.file_names(images(NAMES), "folder:x", "") == NAMES


def test_places_in_a_tfds_set_stand_for_the_names_of_its_files(monkeypatch):
    """Where TensorFlow Datasets has them; ids are the split and the place."""
    monkeypatch.setattr(
        imagenet_real.tfds, "file_names", lambda dataset, data_dir, split: ["a", "b", "c"]
    )
    placed = images(["validation/2", "validation/0"])
    assert imagenet_real.file_names(placed, "imagenet2012", "") == ["c", "a"]
    monkeypatch.setattr(imagenet_real.tfds, "file_names", lambda *_: None)
    assert imagenet_real.file_names(placed, "imagenet2012", "") == ["validation/2", "validation/0"]
