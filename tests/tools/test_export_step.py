"""tools/export_step.py: the program in JAX takes the steps that TensorFlow takes."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.config import flags

FLAGS = (
    "--dataset=cifar10",
    "--network=mlp",
    "--dropout=0",
    "--labeled_batch=4",
    "--unlabeled_ratio=2",
    "--steps=30",
    "--student_wait_steps=0",
    "--student_warmup_steps=0",
    "--teacher_warmup_steps=0",
    "--uda_ramp_steps=2",
)
OWN = ("--image_shape=4,4,3", "--num_classes=5")


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("export_step")


@pytest.fixture(scope="module")
def runner(load_tool):
    return load_tool("run_step")


@pytest.fixture
def needs_jax():
    pytest.importorskip("jax", reason="JAX runs the exported step: pip install 'mpl_tf[stablehlo]'")


@pytest.mark.filterwarnings("default")  # JAX's and TensorFlow's own
@pytest.mark.parametrize("feedback", ["exact", "sampled"])
def test_three_steps_in_jax_equal_three_in_tensorflow(
    tool, runner, needs_jax, feedback, tmp_path, capsys
):
    folder = tmp_path / "step"
    options = (*FLAGS, f"--feedback={feedback}")
    assert tool.main([f"--to={folder}", *OWN, *options]) == 0
    assert "python run.py" in capsys.readouterr().out
    step, state, batch = runner.load(folder)
    start = {name: np.asarray(value) for name, value in state.items()}
    state, logs, seconds = runner.run(step, state, batch, 3)

    method, batch = tool.build(flags.parse(options).config, (4, 4, 3), 5)
    data = tf.data.Dataset.from_tensors(batch).repeat()
    history = method.fit(data, steps_per_epoch=3, verbose=0).history
    expected = {name: v.numpy() for name, v in tool.named_variables(method).items()}
    assert state.keys() <= expected.keys() and len(seconds) == 3
    for name, value in state.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=2e-6, err_msg=name)
    moved = {name for name in start if not np.array_equal(start[name], expected[name])}
    unread = expected.keys() - state.keys()  # by the step, which therefore leaves them as they are
    assert {name.split("/")[0] for name in moved} >= {"teacher", "student", "ema", "method"}
    assert not any("kernel" in name or "momentum" in name for name in unread)
    for name in history.keys() - {"feedback_std", "feedback_snr"}:  # the others are means of steps
        mean = np.mean([scalars[name] for scalars in logs])
        np.testing.assert_allclose(mean, history[name][0], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.filterwarnings("default")
def test_the_signature_says_what_the_program_takes_and_gives(tool, needs_jax, tmp_path):
    folder = tmp_path / "step"
    assert tool.main([f"--to={folder}", *OWN, *FLAGS, "--precision=bfloat16"]) == 0
    signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
    assert b"StableHLO_v1." in (folder / "step.stablehlo").read_bytes()[:40]  # not MLIR's own
    inputs, outputs = signature["inputs"], signature["outputs"]
    for part in ("state", "batch"):
        arrays = np.load(folder / f"{part}.npz")
        named = {e["name"]: (e["shape"], e["dtype"]) for e in inputs if e["part"] == part}
        assert named == {n: (list(a.shape), a.dtype.name) for n, a in arrays.items()}
    assert [e["part"] for e in inputs] == sorted((e["part"] for e in inputs), reverse=True)
    states = [[e for e in entries if e["part"] == "state"] for entries in (inputs, outputs)]
    assert states[0] == states[1]
    assert {"teacher_loss", "feedback"} <= {e["name"] for e in outputs if e["part"] == "logs"}


def test_without_jax_the_tool_says_what_to_install(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "jax", None)
    assert tool.main([f"--to={tmp_path / 'step'}", *OWN, *FLAGS]) == 2
    assert "jax is missing: pip install 'mpl_tf[stablehlo]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (["--image_shape=4,4"], "image_shape must be like 32,32,3; received '4,4'"),
        (["--image_shape=4,4,3"], "--image_shape and --num_classes go together"),
        ([*OWN, "--strategy=mirrored"], "received strategy=mirrored"),
        ([*OWN, "--labeled_batch=0"], "labeled_batch"),
        ([*OWN, "--network=none"], "network must be one of"),
    ],
)
def test_bad_input_ends_with_status_2(tool, monkeypatch, tmp_path, capsys, own, message):
    monkeypatch.setitem(sys.modules, "jax", sys)  # is not got to
    assert tool.main([f"--to={tmp_path / 'step'}", *FLAGS, *own]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "step").exists()


def test_a_method_that_reads_what_is_stored_is_refused(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "jax", sys)
    flags = ["--dataset=cifar10", "--network=mlp", "--method=reduced_mpl", *OWN]
    assert tool.main([f"--to={tmp_path / 'step'}", *flags]) == 2
    assert "method=reduced_mpl reads the stored prediction of each" in capsys.readouterr().err


def test_a_folder_that_is_there_is_left_alone(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "jax", sys)
    assert tool.main([f"--to={tmp_path}", *OWN, *FLAGS]) == 2
    assert "exists; choose a new folder" in capsys.readouterr().err
