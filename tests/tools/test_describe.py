"""tools/describe.py: what it prints, and that it counts the largest networks."""

import json

import PIL.Image
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


def test_stages_are_those_of_all_networks(describe, capsys):
    flags = [*SMALL, "--method=mpl", "--precision=float32", "--stages=2", "--accumulate_steps=2"]
    assert describe.main([*flags, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    (step,) = described["steps"]
    parameters = sum(stage["trainable_parameters"] for stage in step["stages"])
    assert parameters == 2 * described["trainable_parameters"]
    assert described["networks"] == {"student": "mlp", "teacher": "mlp"}
    assert step["caveats"] == ["what devices need for stages was measured on none."]
    assert describe.main(flags) == 0
    output = capsys.readouterr().out
    assert "each with its stage of student and teacher, which are counted together:" in output


def test_activations_are_those_that_one_counts_by_hand(describe, capsys):
    """Of the mlp, with 192 values of an image, 128 units and 10 classes; the head is float32."""
    assert describe.main([*SMALL, "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)["activation_bytes"]
    # Scaled images beside the first units. A gradient needs scaled images, what the hidden layers
    # and dropout give, and its mask, a byte each; logits are there, too.
    kept = 192 + 128 + 128 + 128
    assert counted["float32"] == {"inference": 4 * (192 + 128), "kept": 4 * (kept + 10) + 128}
    # The last units beside what the head is given of them, in float32; no weights that are cast.
    half = 2 * (kept - 128) + 4 * (128 + 10) + 128
    assert counted["bfloat16"] == {"inference": (2 + 4) * 128, "kept": half}


def described_of(describe, capsys, *flags):
    ways = ["--precision=float32", "--recompute"]
    assert describe.main(["mlp", "--method=supervised", *ways, *flags, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert describe.main(["mlp", "--method=supervised", *ways, *flags]) == 0
    shape, classes = described["image_shape"], described["num_classes"]
    return (*shape, classes), described, capsys.readouterr().out


def test_images_are_those_of_the_dataset_that_is_named(describe, capsys, tmp_path):
    form, described, output = described_of(describe, capsys, "--dataset=digits")
    assert form == (8, 8, 1, 10) and described["assumed"] == [] and "assumed" not in output
    assert described["defaults"] == {"labeled_batch": 32}
    assert "  by default, as for --dataset=digits: --labeled_batch=32\n" in output

    flags = ["--image_size=6", "--num_classes=4", "--channels=3", "--labeled_batch=2"]
    form, described, output = described_of(describe, capsys, "--dataset=digits", *flags)
    assert form == (6, 6, 3, 4) and described["defaults"] == {} and "default" not in output

    for name in "abc":
        for part in ("labeled", "unlabeled"):
            (tmp_path / part / name).mkdir(parents=True)
            image = PIL.Image.new("L", (12, 12))
            image.save(tmp_path / part / name / "1.png")
    form, described, output = described_of(describe, capsys, f"--dataset=folder:{tmp_path}")
    assert form == (12, 12, 1, 3) and described["assumed"] == []
    assert described["defaults"] == {"labeled_batch": 3}  # there are no more

    file = tmp_path / "run.flags"
    file.write_text("--dataset=fashion_mnist\n")
    form, *_ = described_of(describe, capsys, f"--flagfile={file}", "--image_size=28")
    assert form == (28, 28, 1, 10)


def test_what_nobody_says_of_the_images_is_assumed_aloud(describe, capsys):
    form, described, output = described_of(describe, capsys, "--channels=1")
    assert form == (224, 224, 1, 1000) and described["assumed"] == ["image_size", "num_classes"]
    line = "assumed: 224x224 pixels, 1,000 classes; --dataset says it, or --image_size, --num_cla"
    assert line in output
    assert described["dataset"] == "cifar10" and described["defaults"] == {"labeled_batch": 128}
    assert "  by default, as for --dataset=cifar10: --labeled_batch=128\n" in output

    # A set of TensorFlow Datasets that is not on this machine.
    form, described, _ = described_of(describe, capsys, "--dataset=cars196", "--image_size=16")
    assert form == (16, 16, 3, 1000) and described["assumed"] == ["channels", "num_classes"]


def test_the_output_says_where_memory_is_known_to_be_farther_off(describe, capsys):
    flags = [*SMALL, "--precision=float32", "--accumulate_steps=2"]
    assert describe.main(flags) == 0
    output = capsys.readouterr().out
    assert "* float32, accumulate_steps=2: microbatches overlap" in output
    assert "* float32, accumulate_steps=2: a peak of less than" in output
    assert "order of its own" not in output
    assert describe.main([*flags, "--json"]) == 0
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    said = " ".join(output.split())
    assert len(step["caveats"]) == said.count("* float32") == 2
    assert all(f"* float32, accumulate_steps=2: {caveat}" in said for caveat in step["caveats"])


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
