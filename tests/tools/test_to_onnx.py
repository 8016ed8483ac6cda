"""tools/to_onnx.py: the file answers in ONNX Runtime as the export does."""

import json

import numpy as np
import pytest

import mpl_tf

pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's converters


@pytest.fixture(scope="module")
def to_onnx(load_tool):
    for name in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[convert]'")
    return load_tool("to_onnx")


@pytest.mark.parametrize("bfloat16", [False, True])
def test_onnx_runtime_agrees_with_predict(to_onnx, tmp_path, rng, capsys, bfloat16):
    import onnx
    import onnxruntime

    network = mpl_tf.NETWORKS["small"](3, (8, 8, 3), seed=1)
    network.set_weights([w + rng.uniform(0, 0.2, w.shape) for w in network.get_weights()])
    method = mpl_tf.Supervised(network)
    method.export(str(tmp_path / "model"), ["a", "b", "c"], bfloat16=bfloat16)
    file = tmp_path / "new" / "model.onnx"
    assert to_onnx.main([str(tmp_path / "model"), f"--to={file}"]) == 0
    assert "differs from" in capsys.readouterr().out

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    images = rng.integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    expected = method.predict(images, verbose=0)
    for count in (1, 5):
        (probabilities,) = session.run(["probabilities"], {"images": images[:count]})
        np.testing.assert_allclose(probabilities, expected[:count], atol=0.01 if bfloat16 else 1e-5)
    (entry,) = onnx.load(str(file)).metadata_props
    assert (entry.key, json.loads(entry.value)) == ("class_names", ["a", "b", "c"])


def test_a_file_that_answers_otherwise_is_reported(to_onnx, tmp_path, monkeypatch):
    mpl_tf.Supervised(mpl_tf.NETWORKS["mlp"](2, (4, 4, 1))).export(str(tmp_path / "model"))
    monkeypatch.setattr(to_onnx, "difference", lambda *_: 1e-3)
    assert to_onnx.main([str(tmp_path / "model"), f"--to={tmp_path / 'model.onnx'}"]) == 1


def test_what_is_no_export_is_refused(to_onnx, tmp_path, capsys):
    assert to_onnx.main([str(tmp_path), f"--to={tmp_path / 'model.onnx'}"]) == 2
    assert "must be an export" in capsys.readouterr().err
