"""Shared by the tests of `auto`: a folder of images, a tiny network, and made-up trainings."""

import keras
import numpy as np
import pytest

from mpl_tf import data
from mpl_tf.auto import forecast, material, starts, trial
from mpl_tf.auto.starts import Start
from mpl_tf.data.options import DataConfig


@pytest.fixture(scope="session")
def colored_folder(tmp_path_factory, write_colored_images):
    """A folder of images whose class is their colour, with `labeled`, `unlabeled` and `test`."""
    path = tmp_path_factory.mktemp("auto") / "my_images"
    return write_colored_images(path, 200, 55, labeled=3, unlabeled=16, test=4)


@pytest.fixture(scope="session")
def tiny_network(tmp_path_factory):
    """The name of a network with learned weights: a file, with dropout, and a head of 3 classes."""
    path = tmp_path_factory.mktemp("network") / "tiny.keras"
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    initial = keras.initializers.GlorotUniform(0)
    x = keras.layers.Conv2D(6, 3, activation="relu", kernel_initializer=initial)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.1, seed=1)(x))
    keras.Model(inputs, keras.layers.Dense(3, name="colours")(x)).save(path)
    return f"file:{path}"


@pytest.fixture(scope="session")
def common(colored_folder, tiny_network, tmp_path_factory):
    """Options that all candidates share."""
    return {
        "dataset": f"folder:{colored_folder}",
        "network": tiny_network,
        "image_size": 12,
        "head_init": "new",
        "strong": "none",  # others take seconds to trace
        "cache_dir": str(tmp_path_factory.mktemp("features")),
        "seed": 0,
    }


@pytest.fixture(scope="session")
def images(common):
    """The images of the folder, as candidates take them."""
    source = data.find(common["dataset"]).load(DataConfig(image_size=12))
    start = Start(common["network"], "", 12)
    backbone, _ = starts.backbone(start, 3, (12, 12, 3), 0)
    return material.prepare(source, backbone, common["cache_dir"], 0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(forecast, "seconds_per_image", lambda network: 0.001)
    return Clock()


@pytest.fixture
def trained(images, clock, monkeypatch):
    """The names of candidates that are trained; each network takes as many seconds as in `cost`.

    Answers are right in so many images as `right` says, the first ones.
    """
    calls = []
    calls_about = {"cost": {}, "right": {}}
    labels = images.held_out().labels

    def answer(settings, material, stem, pace):
        name = f"{settings.run.method}, {settings.network.train}"
        calls.append(name)
        cost = calls_about["cost"].get(name, 1.0)
        if isinstance(cost, Exception) or cost is KeyboardInterrupt:
            clock.now += 2.0
            raise cost
        for fold in range(material.trainings):
            pace(cost * (material.trainings - fold))
            clock.now += cost
        right = np.arange(len(labels)) < calls_about["right"].get(name, 5)
        classes = np.where(right, labels, (labels + 1) % 3)
        return trial.Trial(np.eye(3)[classes], cost)

    monkeypatch.setattr(trial, "answer", answer)
    calls_about["calls"] = calls
    return calls_about
