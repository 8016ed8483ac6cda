"""tools/describe.py: what it prints, and that it counts the largest networks."""

import json

import pytest

# Name, side, classes -> trainable parameters.
_LARGE = {
    ("efficientnet_l2", 475, 1000): 480_309_308,
    ("vit_h14", 224, 1000): 632_045_800,
    ("bit_152x4", 480, 1000): 936_533_224,
    ("resnext_101_32x48d", 224, 1000): 828_411_176,
    ("amoebanet_b", 480, 1001): 557_286_057,
}


@pytest.fixture(scope="module")
def describe(load_tool):
    return load_tool("describe")


SMALL = ["mlp", "--image_size=8", "--num_classes=10", "--method=supervised", "--labeled_batch=4"]


def test_json_and_table_say_the_same(describe, capsys):
    assert describe.main([*SMALL, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    units = 8 * 8 * 3 * 128 + 128 * 128 + 128 * 10
    assert described["multiply_adds"] == units
    assert described["trainable_parameters"] == units + 128 + 128 + 10
    ways = [(s["precision"], s["recompute"], s["accumulate_steps"]) for s in described["steps"]]
    memory = [(False, 1), (True, 1), (False, 4)]
    assert ways == [(name, *each) for name in ("float32", "bfloat16") for each in memory]
    first = described["steps"][0]
    assert first["multiply_adds"] == 4 * (3 * units - 8 * 8 * 3 * 128)
    assert first["passes"][0] == {"network": "student", "pass": "forward", "images": 4}
    assert first["batch_bytes"] == 4 * 8 * 8 * 3 + 4 * 8
    weights = 4 * described["trainable_parameters"]
    assert 3 * weights < first["variable_bytes"] < 3 * weights + 1_000  # average and momentum
    assert described["unlabeled_batch"] == 0
    parts = ("variable_bytes", "batch_bytes", "working_bytes")
    assert first["peak_bytes"] == sum(first[part] for part in parts)

    assert describe.main([*SMALL, "--precision=float32", "--recompute"]) == 0
    output = capsys.readouterr().out
    assert f"{units:,} multiply-adds an image" in output
    assert "float32, recompute: student forward 8; student backward 4" in output
    assert "bfloat16" not in output


def test_what_each_device_of_stages_needs(describe, capsys):
    flags = [*SMALL, "--precision=float32", "--stages=2", "--accumulate_steps=2"]
    assert describe.main([*flags, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    (step,) = described["steps"]
    first, last = step["stages"]
    for name in ("trainable_parameters", "multiply_adds"):
        assert first[name] + last[name] == described[name] and first[name] > last[name] > 0
    assert step["variable_bytes"] - 8 < first["variable_bytes"] + last["variable_bytes"]
    assert first["variable_bytes"] + last["variable_bytes"] <= step["variable_bytes"]
    assert (first["batch_bytes"], last["batch_bytes"]) == (step["batch_bytes"], 0)
    # Four images of float32 have entered the first stage, four of 128 features the last one.
    assert (first["kept_bytes"], last["kept_bytes"]) == (4 * 4 * 8 * 8 * 3, 4 * 4 * 128)
    # The gradient of a microbatch, what is added to it, and what the optimizer makes of them.
    assert 4 * first["trainable_parameters"] < first["working_bytes"]
    assert first["working_bytes"] < 8 * 4 * first["trainable_parameters"]
    parts = ("variable_bytes", "batch_bytes", "kept_bytes", "working_bytes")
    assert last["peak_bytes"] == sum(last[part] for part in parts)


def test_the_output_says_where_memory_is_known_to_be_farther_off(describe, capsys):
    assert describe.main([*SMALL, "--precision=float32", "--accumulate_steps=2"]) == 0
    output = capsys.readouterr().out
    assert "* float32, accumulate_steps=2: microbatches overlap" in output
    assert "* float32, accumulate_steps=2: a peak of less than" in output
    assert "order of its own" not in output


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["magic"], "network must be one of"),
        (["mlp", "--num_classes=1"], "--num_classes: must be at least 2; received 1"),
        (["mlp", "--unlabeled=3"], "unlabeled"),
        (["mlp", "--method=magic"], "method must be one of"),
        ([*SMALL, "--stages=99"], "Take at most stages="),
        ([*SMALL, "--stages=2", "--measure"], "--measure is for one device: leave --stages out"),
    ],
)
def test_misuse_is_explained(describe, capsys, wrong, message):
    try:
        status = describe.main(wrong)
    except SystemExit as end:
        status = end.code
    said = " ".join(capsys.readouterr().err.split())
    assert status == 2 and message in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(("network", "parameters"), _LARGE.items())
def test_the_largest_networks_are_counted(describe, capsys, network, parameters):
    name, side, classes = network
    flags = [f"--image_size={side}", f"--num_classes={classes}", "--precision=float32"]
    flags += ["--method=supervised", "--labeled_batch=8", "--recompute", "--json"]
    assert describe.main([name, *flags]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["trainable_parameters"] == parameters
    assert described["steps"][0]["variable_bytes"] > 3 * 4 * parameters
