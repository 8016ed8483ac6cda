"""tools/to_litert.py: float files answer as the export does, 8-bit ones nearly."""

import pathlib

import numpy as np
import pytest

import mpl_tf
from mpl_tf import train

SMOKE = pathlib.Path(__file__).parents[2] / "flags" / "smoke" / "supervised.flags"
pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's converters


@pytest.fixture(scope="module")
def to_litert(load_tool):
    reason = "ai_edge_litert is not installed: pip install '.[convert]'"
    pytest.importorskip("ai_edge_litert", reason=reason)
    return load_tool("to_litert")


def test_the_interpreter_agrees_with_predict(to_litert, tmp_path, rng):
    network = mpl_tf.NETWORKS["small"](3, (8, 8, 3), seed=1)
    network.set_weights([w + rng.uniform(0, 0.2, w.shape) for w in network.get_weights()])
    method = mpl_tf.Supervised(network)
    path = method.export(str(tmp_path))
    images = rng.integers(0, 256, (7, 8, 8, 3)).astype(np.uint8)
    expected = method.predict(images, verbose=0)

    model = to_litert.convert(path)
    probabilities = to_litert.probabilities(model, images, batch=3)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)

    narrow = to_litert.convert(path, images)
    probabilities = to_litert.probabilities(narrow, images)
    assert 0 < np.abs(probabilities - expected).max() < 0.05
    assert len(narrow) < 0.5 * len(model)


def test_a_run_is_calibrated_and_measured(to_litert, tmp_path, capsys):
    run = tmp_path / "run"
    assert train.main([f"--flagfile={SMOKE}", f"--workdir={run}"]) == 0
    capsys.readouterr()
    flags = [str(run), f"--to={tmp_path / 'to'}", "--calibration=20"]
    assert to_litert.main(flags) == 0
    whole, exact, narrow = capsys.readouterr().out.splitlines()
    kept = float(whole.split("accuracy ")[1].split()[0])
    assert "on 500 test images" in whole
    assert f"float32.tflite  accuracy {kept:.4f}, lost 0.0000" in " ".join(exact.split("   "))
    test = mpl_tf.DATASETS["digits"].load().test
    content = (tmp_path / "to" / "int8.tflite").read_bytes()
    probabilities = to_litert.probabilities(content, test.images)
    accuracy = np.mean(probabilities.argmax(axis=1) == test.labels)
    assert f"accuracy {accuracy:.4f}, lost {kept - accuracy:.4f}" in narrow


def test_misuse_is_explained(to_litert, tmp_path, capsys):
    assert to_litert.main([str(tmp_path), "--to=x"]) == 2
    assert "must be the folder of a run" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        to_litert.main([str(tmp_path), "--to=x", "--calibration=0"])
    assert end.value.code == 2 and "at least 1; received 0" in capsys.readouterr().err
