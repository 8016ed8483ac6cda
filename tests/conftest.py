"""Shared by all tests: quiet TensorFlow, small networks, and batches for them."""

import contextlib
import gc
import json
import logging
import os
import pathlib
import resource
import socket
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.engine import devices
from mpl_tf.runs import drawing

# Most of a test's time goes into graphs of a few steps, which are not worth optimizing. Processes
# that tests start have TensorFlow's usual optimizers, as the runs of users have, and so have tests
# with `optimized_graphs`.
_AS_THEY_ARE = {"disable_meta_optimizer": True}
tf.config.optimizer.set_experimental_options(_AS_THEY_ARE)
# Devices for the stages of networks; all else is on the first one.
devices.split_cpu(4, "tests")
# What was imported stays: looking for garbage there takes a tenth of the time of tracing. Nearly as
# much takes looking for it after each 700 new objects.
gc.freeze()
gc.set_threshold(50_000, 20, 10)
# Networks are such garbage: it is looked for when the process has grown by so much.
_GROWTH = 128 * 2**10  # of what `_peak` returns
_looked_at = [0]


def _peak():
    """The most memory that the process has had, in KiB on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def pytest_runtest_teardown():
    if _peak() > _looked_at[0] + _GROWTH:
        gc.collect()
        _looked_at[0] = _peak()


@pytest.fixture(scope="module")
def optimized_graphs():
    """TensorFlow's usual optimizers of graphs: of many steps they are worth it."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    yield
    tf.config.optimizer.set_experimental_options(_AS_THEY_ARE)


@pytest.fixture
def no_pictures(monkeypatch):
    """None is drawn: a third of the time of a short run goes into its pictures."""
    monkeypatch.setattr(drawing, "save", lambda path, make, dpi=100: False)


@pytest.fixture
def messages(caplog, monkeypatch):
    """messages(level): what the library has logged at that level since the last call, as text."""
    monkeypatch.setattr(log, "propagate", True)  # which a verb in this process turns off
    caplog.set_level(logging.INFO, logger=log.name)

    def read(level):
        lines = [record.getMessage() for record in caplog.records if record.levelno == level]
        caplog.clear()
        return "\n".join(lines)

    return read


@pytest.fixture(scope="session")
def training_program():
    """The beginning of a command line that trains in a process of its own, without pictures."""
    return [sys.executable, str(pathlib.Path(__file__).with_name("train_without_pictures.py"))]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def linear(rng):
    """linear(features, classes): a built float64 network of one dense layer with random weights."""

    def build(features, classes):
        inputs = keras.Input([features], dtype="float64")
        layer = keras.layers.Dense(classes, dtype="float64")
        model = keras.Model(inputs, layer(inputs))
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
        return model

    return build


@pytest.fixture
def convolutional(rng):
    """convolutional(seed): a small network with batch normalisation and dropout on 6x6 images."""

    def build(seed, classes=3, dtype="float64", dropout=0.3):
        layers = keras.layers
        x = inputs = keras.Input([6, 6, 1], dtype=dtype)
        x = layers.Conv2D(4, 3, use_bias=False, dtype=dtype, kernel_initializer=_init(seed))(x)
        x = layers.BatchNormalization(momentum=0.9, dtype=dtype)(x)
        x = layers.LeakyReLU(dtype=dtype)(x)
        x = layers.Flatten(dtype=dtype)(x)
        x = layers.Dropout(dropout, seed=seed, dtype=dtype)(x)
        x = layers.Dense(classes, dtype=dtype, kernel_initializer=_init(seed + 1))(x)
        return keras.Model(inputs, x)

    def _init(seed):
        return keras.initializers.GlorotUniform(seed=seed)

    return build


@pytest.fixture(scope="session")
def free_ports():
    """free_ports(count): ports of this machine that nobody listens on, a list of int."""

    def find(count):
        with contextlib.ExitStack() as opened:
            sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
            for each in sockets:
                each.bind(("localhost", 0))
            return [each.getsockname()[1] for each in sockets]

    return find


@pytest.fixture
def random_batch(rng):
    """random_batch(shape): a batch of 4 labeled and 6 unlabeled images of a shape, 3 classes."""

    def draw(shape, generator=rng, labeled=4, unlabeled=6):
        return {
            "labeled": generator.normal(size=(labeled, *shape)),
            "label": generator.integers(3, size=labeled),
            "weak": generator.normal(size=(unlabeled, *shape)),
            "strong": generator.normal(size=(unlabeled, *shape)),
        }

    return draw


@pytest.fixture
def endless():
    """endless(batch): the same batch, or the batches of a list in turn, without end."""

    def repeat(batch):
        batches = batch if isinstance(batch, list) else [batch]
        stacked = {k: np.stack([b[k] for b in batches]) for k in batches[0]}
        return tf.data.Dataset.from_tensor_slices(stacked).repeat()

    return repeat


@pytest.fixture
def image_folder(tmp_path):
    """A folder with `my_images`, as `folder:my_images` takes it: two classes, 24 x 20 pixels."""
    for part in ("labeled/ant", "labeled/bee", "unlabeled/2026/may"):
        folder = tmp_path / "my_images" / part
        folder.mkdir(parents=True)
        for number in range(24):
            image = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
            PIL.Image.fromarray(image).save(folder / f"{number}.png")
    return tmp_path


@pytest.fixture(scope="session")
def write_colored_images():
    """write_colored_images(path, noise, brightness, **counts): parts of a dataset in a folder.

    Of each of three classes so many images of 12 x 12 pixels, whose class is their colour.
    """

    def write(path, noise, brightness, **counts):
        rng = np.random.default_rng(0)
        for part, count in counts.items():
            for label, name in enumerate(("red", "green", "blue")):
                folder = path / part / name
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = rng.integers(0, noise, (12, 12, 3))
                    pixels[..., label] += brightness
                    PIL.Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        return path

    return write


@pytest.fixture(scope="session")
def save_tiny_network():
    """save_tiny_network(path, seed): a network with learned weights of 6 features in a file."""

    def save(path, seed=0):
        x = inputs = keras.Input((None, None, 3))
        x = keras.layers.Rescaling(1 / 255)(x)
        initial = keras.initializers.GlorotUniform(seed)
        x = keras.layers.Conv2D(6, 3, activation="relu", kernel_initializer=initial)(x)
        x = keras.layers.Dropout(0.2)(x)  # which freezing turns off
        keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(path)
        return path

    return save


@pytest.fixture(scope="session")
def on_replicas(tmp_path_factory):
    """on_replicas(jobs, *strategies): dict of job's name -> its arrays by `weights/0`, `logs/...`.

    `optimized_graphs` says whether TensorFlow's usual optimizers of graphs run there.

    Each strategy, a dict of arguments of devices.make_strategy, has a process of its own, because a
    process can have one MirroredStrategy; tests/on_replicas.py says what a job is.
    """
    program = pathlib.Path(__file__).with_name("on_replicas.py")

    def run(jobs, *strategies, optimized_graphs=True):
        folder = tmp_path_factory.mktemp("replicas")
        processes = []
        for number, strategy in enumerate(strategies):
            request = {"strategy": strategy, "jobs": jobs, "to": str(folder / "arrays.npz")}
            request["optimized_graphs"] = optimized_graphs
            path = folder / f"{number}.json"
            path.write_text(json.dumps(request))
            command = [sys.executable, str(program), str(path)]
            environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
            processes.append(
                subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
            )
        errors = [process.communicate(timeout=900)[1] for process in processes]
        for process, text in zip(processes, errors, strict=True):
            assert process.returncode == 0, text[-2000:]
        arrays = {name: {} for name in jobs}
        for key, value in np.load(folder / "arrays.npz").items():
            name, _, array = key.partition("/")
            arrays[name][array] = value
        return arrays

    return run
