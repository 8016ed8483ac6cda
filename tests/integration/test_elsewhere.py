"""An export where it will live: without this package, without Keras, without Python's TensorFlow.

Every way must answer as `predict` does, to 1e-5.
"""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import venv

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import mpl_tf

NAMES = ["ant", "bee", "cat"]
PLACE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with an export (`1`), images (`images.npy`), and their files (`0.png` ...)."""
    folder = tmp_path_factory.mktemp("elsewhere")
    rng = np.random.default_rng(0)
    network = mpl_tf.NETWORKS["small"](3, (8, 8, 3), seed=1)
    network.set_weights([w + rng.uniform(0, 0.2, w.shape) for w in network.get_weights()])
    method = mpl_tf.Supervised(network)
    method.export(str(folder), NAMES)
    images = rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    np.save(folder / "images.npy", images)
    for number, image in enumerate(images):
        tf.io.write_file(str(folder / f"{number}.png"), tf.io.encode_png(image))
    np.save(folder / "expected.npy", method.predict(images, verbose=0))
    return folder


@pytest.fixture(scope="module")
def expected(model):
    answers = np.load(model / "expected.npy")
    assert answers.std() > 0.01  # images differ, and so do classes
    return answers


def run(command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_without_this_package_and_without_keras(model, expected, tmp_path):
    """In a virtual environment that has neither."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(tmp_path / "env")
    base = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    there = pathlib.Path(sysconfig.get_path("purelib", "venv", vars=base))
    for entry in pathlib.Path(np.__file__).parents[1].iterdir():
        if not entry.name.startswith(("keras", "mpl_tf", "__editable__", "tf_keras")):
            (there / entry.name).symlink_to(entry)
    code = """
import importlib.util, sys
import numpy as np
import tensorflow as tf
folder = sys.argv[1]
assert not any(importlib.util.find_spec(name) for name in ("keras", "mpl_tf", "tf_keras"))
loaded = tf.saved_model.load(folder + "/1").signatures
images = np.load(folder + "/images.npy")
files = [open(f"{folder}/{i}.png", "rb").read() for i in range(4)]
answers = loaded["serving_default"](images=tf.constant(images))
np.save("array.npy", answers["probabilities"])
np.save("bytes.npy", loaded["serving_bytes"](image_bytes=tf.constant(files))["probabilities"])
print([label.decode() for label in answers["labels"].numpy()])
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    output = run(
        [str(tmp_path / "env" / "bin" / "python"), "-c", code, str(model)],
        cwd=tmp_path,
        env=environment,
    )
    for name in ("array.npy", "bytes.npy"):
        np.testing.assert_allclose(np.load(tmp_path / name), expected, atol=1e-5)
    assert output.splitlines()[-1] == str([NAMES[k] for k in expected.argmax(axis=1)])


def test_through_the_c_library_alone(model, expected, tmp_path):
    """It has the loader that TensorFlow Serving uses; the program sees no Python package."""
    content = (model / "1" / "saved_model.pb").read_bytes()
    (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    (tmp_path / "pixels").write_bytes(np.load(model / "images.npy").tobytes())
    files = [str(model / f"{number}.png") for number in range(4)]
    default, encoded = (meta.signature_def[name] for name in ("serving_default", "serving_bytes"))
    request = {
        "libraries": [
            os.path.join(tf.sysconfig.get_lib(), f"libtensorflow_{name}.so.2")
            for name in ("framework", "cc")
        ],
        "export": str(model / "1"),
        "calls": [
            {
                "strings": False,
                "files": [str(tmp_path / "pixels")],
                "shape": [4, 8, 8, 3],
                "input": default.inputs["images"].name,
                "output": default.outputs["probabilities"].name,
                "to": str(tmp_path / "array"),
            },
            {
                "strings": True,
                "files": files,
                "shape": [4],
                "input": encoded.inputs["image_bytes"].name,
                "output": encoded.outputs["probabilities"].name,
                "to": str(tmp_path / "bytes"),
            },
        ],
    }
    if not all(map(os.path.exists, request["libraries"])):
        pytest.skip("the wheel of this platform has no C library under this name")
    (tmp_path / "request.json").write_text(json.dumps(request))
    program = [sys.executable, "-I", "-S", str(PLACE / "c_api.py"), str(tmp_path / "request.json")]
    run(program)
    for name in ("array", "bytes"):
        answers = np.frombuffer((tmp_path / name).read_bytes(), np.float32).reshape(4, 3)
        np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_saved_model_cli(model, expected, tmp_path):
    tool = os.path.join(os.path.dirname(sys.executable), "saved_model_cli")
    command = [tool, "run", "--dir", str(model / "1"), "--tag_set", "serve"]
    command += ["--signature_def", "serving_default", "--outdir", str(tmp_path)]
    run([*command, "--inputs", f"images={model / 'images.npy'}"])
    answers = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    assert list(np.load(tmp_path / "class_ids.npy")) == list(expected.argmax(axis=1))
