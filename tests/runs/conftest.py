"""Shared by the tests of runs: runs on a pretrained network."""

import pytest

from mpl_tf import config
from mpl_tf.runs import training

SETTINGS = {
    "train": "head",
    "method": "fixmatch",
    "image_size": 12,
    "steps": 6,
    "eval_every": 3,
    "labeled_batch": 4,
    "unlabeled_ratio": 2,
    "finetune_steps": 2,
    "finetune_batch": 4,
    "log_every": 1,
    "student_learning_rate": 10.0,
    "student_warmup_steps": 0,
}


@pytest.fixture
def weights(tmp_path, save_tiny_network):
    """weights(seed): writes a pretrained network, the same file each time; its path."""

    def write(seed=0):
        return save_tiny_network(tmp_path / "pretrained.keras", seed)

    write()
    return write


@pytest.fixture(scope="module")
def my_images(tmp_path_factory, write_colored_images):
    """A folder of images whose class is their colour, with all parts."""
    path = tmp_path_factory.mktemp("data") / "my_images"
    return write_colored_images(path, 60, 150, labeled=6, unlabeled=40, validation=4, test=6)


@pytest.fixture
def settings(my_images, weights, tmp_path):
    """The options of a run on such images, with that network."""
    assert weights
    network = f"file:{tmp_path / 'pretrained.keras'}"
    return {"dataset": f"folder:{my_images}", "network": network, **SETTINGS}


@pytest.fixture
def run(settings, tmp_path):
    """run(name, **settings): results of a run in the folder `name` of the test."""

    def train(name="run", **more):
        made = config.make({**settings, **more})
        return training.train_and_evaluate(made, str(tmp_path / name))

    return train
