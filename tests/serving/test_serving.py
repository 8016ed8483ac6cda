"""An export behind TensorFlow Serving's protocols, asked by the project's client and by curl.

Every test runs against a stand-in, and against a tensorflow_model_server where one is on the PATH.
"""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import types
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

import mpl_tf

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
NAMES = ["ant", "bee", "cat"]
SERVER = "tensorflow_model_server"


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


client = module(ROOT / "tools" / "serving_client.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two versions of my_model, picture.jpg and three PNG files of 8x8 pixels."""
    folder = tmp_path_factory.mktemp("serving")
    rng = np.random.default_rng(0)
    network = mpl_tf.NETWORKS["mlp"](3, (8, 8, 3), seed=1)
    network.set_weights([w + rng.uniform(-0.3, 0.3, w.shape) for w in network.get_weights()])
    method = mpl_tf.Supervised(network)
    method.export(str(folder / "my_model"), ["old", "older", "oldest"])
    method.export(str(folder / "my_model"), NAMES)
    images = rng.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    for number, image in enumerate(images):
        tf.io.write_file(str(folder / f"{number}.png"), tf.io.encode_png(image))
    large = tf.cast(tf.image.resize(images[0], [60, 90]), tf.uint8)
    tf.io.write_file(str(folder / "picture.jpg"), tf.io.encode_jpeg(large))
    np.save(folder / "expected.npy", method.predict(images, verbose=0))
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return [(folder / f"{number}.png").read_bytes() for number in range(3)]


@pytest.fixture(scope="module")
def expected(folder):
    return np.load(folder / "expected.npy")


@pytest.fixture(scope="module", params=["stand-in", SERVER])
def server(request, folder, tmp_path_factory):
    """An object with `rest` and `grpc`, host:port of a server that has my_model."""
    if request.param == "stand-in":
        stand_in = module(pathlib.Path(__file__).with_name("stand_in.py"))
        running = stand_in.StandIn("my_model", str(folder / "my_model"))
        assert running.model.warmed == 3
        yield running
        running.stop()
        return
    if not shutil.which(SERVER):
        pytest.skip(f"no {SERVER} on the PATH")
    ports = [free_port(), free_port()]
    log = tmp_path_factory.mktemp("server") / "log"
    with open(log, "wb") as opened:
        process = subprocess.Popen(
            [
                SERVER,
                f"--port={ports[0]}",
                f"--rest_api_port={ports[1]}",
                "--model_name=my_model",
                f"--model_base_path={folder / 'my_model'}",
            ],
            stdout=opened,
            stderr=opened,
        )
    running = types.SimpleNamespace(grpc=f"localhost:{ports[0]}", rest=f"localhost:{ports[1]}")
    try:
        for _ in range(120):
            try:
                if "AVAILABLE" in urllib.request.urlopen(status_url(running)).read().decode():
                    break
            except OSError:
                assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
        yield running
    finally:
        process.terminate()
        process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def status_url(server):
    return f"http://{server.rest}/v1/models/my_model"


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_predict(server, files, expected, way):
    ask = getattr(client, f"{way}_predict")
    answers = ask(getattr(server, way), "my_model", files)
    np.testing.assert_allclose([probs for _, probs in answers], expected, atol=1e-5)
    assert [label for label, _ in answers] == [NAMES[k] for k in expected.argmax(axis=1)]


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_classify(server, files, expected, way):
    rows = getattr(client, f"{way}_classify")(getattr(server, way), "my_model", files)
    assert [[name for name, _ in row] for row in rows] == [NAMES] * 3
    np.testing.assert_allclose([[s for _, s in row] for row in rows], expected, atol=1e-5)


def test_arrays_over_rest(server, files, expected):
    images = [tf.io.decode_png(file).numpy().tolist() for file in files]
    answer = client.rest(server.rest, "my_model/versions/2", "predict", {"instances": images})
    probabilities = [row["probabilities"] for row in answer["predictions"]]
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert [row["class_ids"] for row in answer["predictions"]] == list(expected.argmax(axis=1))


@pytest.mark.parametrize("way", ["rest", "grpc"])
@pytest.mark.parametrize("ask", ["predict", "classify"])
def test_what_is_no_image_is_an_error_that_says_so(server, files, way, ask):
    ask = getattr(client, f"{way}_{ask}")
    with pytest.raises(client.ServingError, match="no JPEG, PNG, BMP, GIF or WebP image"):
        ask(getattr(server, way), "my_model", [files[0], b"no image"])
    assert len(ask(getattr(server, way), "my_model", files[:1])) == 1  # it lives


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_an_unknown_model_is_an_error(server, files, way):
    with pytest.raises(client.ServingError, match=r"404|NOT_FOUND"):
        getattr(client, f"{way}_predict")(getattr(server, way), "other", files)


def test_nobody_there_is_an_error(files, capsys, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "0.png").write_bytes(files[0])
    for flags in ([], ["--grpc"]):
        command = ["--model=my_model", f"--server={address}", str(tmp_path / "0.png"), *flags]
        assert client.main(command) == 1
        assert address in capsys.readouterr().err


def page_commands(word):
    """Shell commands of docs/serving.md that begin with a word; lines may be continued."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(word) or f"| {word}" in line]


def test_the_page_asks_with_curl(server, folder):
    if not shutil.which("curl"):
        pytest.skip("no curl on the PATH")
    commands = page_commands("curl")
    assert len(commands) == 3  # status, predict, classify
    answers = [
        subprocess.run(
            ["bash", "-c", command.replace("localhost:8501", server.rest)],
            cwd=folder,
            capture_output=True,
            check=True,
        ).stdout
        for command in commands
    ]
    status, predicted, classified = map(json.loads, answers)
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    (row,) = predicted["predictions"]
    assert row.keys() == {"labels", "class_ids", "probabilities"}
    scores = dict(classified["result"][0])
    assert max(scores, key=scores.get) == row["labels"]
    np.testing.assert_allclose([scores[k] for k in NAMES], row["probabilities"], atol=1e-6)


def test_the_page_asks_with_the_client(server, folder, monkeypatch, capsys):
    commands = page_commands("python tools/serving_client.py")
    assert len(commands) == 2  # REST, gRPC
    monkeypatch.chdir(folder)
    for command in commands:
        address = server.grpc if "--grpc" in command else server.rest
        assert client.main([*command.split()[2:], f"--server={address}"]) == 0
        assert capsys.readouterr().out.startswith(tuple(NAMES))


def test_the_page_starts_the_official_container_with_the_exported_folder():
    (command,) = page_commands("docker")
    words = command.split()
    assert words[:2] == ["docker", "run"] and words[-1] == "tensorflow/serving"
    assert {"8500:8500", "8501:8501", "MODEL_NAME=my_model"} <= set(words)
    assert '"$PWD/my_model:/models/my_model"' in words


def test_the_client_needs_the_standard_library_alone():
    code = f"""
import runpy, sys
sys.argv = ["client", "--model=m", "--server=127.0.0.1:{free_port()}", {__file__!r}]
try:
    runpy.run_path({str(ROOT / "tools" / "serving_client.py")!r}, run_name="__main__")
except SystemExit as end:
    assert end.code == 1
assert "tensorflow" not in sys.modules and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True)


def test_files_that_are_not_there_are_named(capsys):
    with pytest.raises(SystemExit) as end:
        client.main(["--model=m", os.path.join("no", "where.png")])
    assert end.value.code == 2 and "where.png cannot be read" in capsys.readouterr().err
