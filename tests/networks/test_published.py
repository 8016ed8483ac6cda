"""Weights that Keras publishes: found in its folder, and what is said where they cannot be had."""

import os
import socket
import urllib.error

import keras
import numpy as np
import pytest

from mpl_tf import config
from mpl_tf.networks import applications, parts, published
from mpl_tf.options import ConfigError

SHAPE = (32, 32, 3)
# One without a digest in Keras: a file that is made up is taken for the published one.
FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Keras's folder of published weights, empty, on a machine without a network."""

    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def build(name):
    return applications.build(5, SHAPE, seed=1, weights="imagenet", name=name)


def test_a_file_in_the_folder_is_what_the_network_starts_from(
    folder, rng, write_published, unit_length
):
    original = keras.applications.MobileNetV2(
        include_top=False, weights=None, pooling="avg", input_shape=SHAPE
    )
    for weight in original.weights:
        weight.assign(weight + 0.1 * np.abs(rng.normal(size=weight.shape)))
    write_published(folder / FILE, original)
    images = rng.integers(0, 256, (2, *SHAPE)).astype(np.float32)
    pixels = keras.applications.mobilenet_v2.preprocess_input(images.copy())
    expected = unit_length(original(pixels))
    np.testing.assert_allclose(
        parts.backbone(build("MobileNetV2"))(images), expected, rtol=1e-4, atol=1e-6
    )


def test_without_a_network_a_run_ends_before_any_work_and_leaves_no_file(folder):
    with pytest.raises(ConfigError) as error:
        config.make({"network": "keras:MobileNetV2", "network_weights": "imagenet"})
    said = str(error.value)
    assert f"not in {folder} and cannot be downloaded (" in said
    assert "Name or service not known" in said
    assert f"Put {FILE}, which is https://" in said and f"into {folder}." in said
    assert "--network_weights=FILE, --network=file:MODEL.keras, --network=hub:FOLDER" in said
    assert os.listdir(folder) == []


def test_a_damaged_file_is_named_by_its_folder(folder):
    (folder / FILE).write_bytes(b"half a file")
    with pytest.raises(ConfigError, match=f"cannot be read.*{folder}.*is to be removed"):
        build("MobileNetV2")


@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", "VGG16", pytest.param("NASNetMobile", marks=pytest.mark.slow)]
)
def test_the_file_is_called_as_keras_calls_it(name, folder, monkeypatch):
    asked = []

    def get_file(fname, origin, **_):
        asked.append(fname)
        raise Exception(f"URL fetch failure on {origin}: None -- no network")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(ConfigError) as error:
        applications.fetch(0, name=name)
    assert f"(no network). Put {asked[0]}, which is https://" in str(error.value)


def test_a_silent_host_is_waited_for_some_seconds_alone():
    before = socket.getdefaulttimeout()
    limit = published.load(socket.getdefaulttimeout, "VGG16")
    assert 0 < limit <= 10
    assert socket.getdefaulttimeout() == before

    def silent():
        raise urllib.error.URLError(TimeoutError("timed out"))

    with pytest.raises(ConfigError, match="timed out"):
        published.load(silent, "VGG16")
