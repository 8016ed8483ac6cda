"""What KERAS_BACKEND and keras.json say for other programs."""

import json
import os
import subprocess
import sys

import keras
import pytest

import mpl_tf
from mpl_tf.options import ConfigError


@pytest.mark.parametrize("verbosity", [[], ["--verbosity=0"]])
def test_a_command_runs_on_tensorflow_whatever_other_programs_want(tmp_path, verbosity):
    settings = {
        "backend": "torch",
        "floatx": "float16",
        "image_data_format": "channels_first",
        "epsilon": 0.1,
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "from mpl_tf import cli\n"
        "def show():\n"
        "    from keras import config as c\n"
        "    print(c.backend(), c.floatx(), c.image_data_format(), c.epsilon())\n"
        f"cli.run(cli.Command('x', 'y'), {verbosity}, lambda argv: (), show)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.stdout == "tensorflow float32 channels_last 1e-07\n", result.stderr


def test_keras_on_another_backend_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match=r"on jax\. Import mpl_tf before keras"):
        mpl_tf._put_keras_on_tensorflow()


@pytest.mark.parametrize("name", ["mlp", "small_16", "keras:MobileNetV2"])
def test_channels_first_is_refused_in_words(name):
    build = mpl_tf.NETWORKS[name]
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ConfigError, match="image_data_format is channels_first"):
            build(3, (32, 32, 3))
    finally:
        keras.config.set_image_data_format("channels_last")
