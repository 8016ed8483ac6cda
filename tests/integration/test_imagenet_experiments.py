"""The experiments under flags/imagenet2012, two steps each: small members on made-up images."""

import json
import pathlib
import re

import pytest

from mpl_tf import NETWORKS, cli, predict, select, train
from mpl_tf.serving import saved_model

ROOT = pathlib.Path(__file__).parents[2]
FLAG_FILES = sorted((ROOT / "flags" / "imagenet2012").glob("*.flags"))
# Of each network that an experiment names, a small member of its family: the same code.
SMALL = {
    "resnet": "resnet_14x0.125",
    "resnext": "resnext_14_4x4d",
    "efficientnet": "efficientnet_0.25_0.3",
    "bit": "bit_14x0.5",
    "vit": "vit_2_32_8",
    "keras:": "resnet_14x0.125",  # the recipe's
}
# What makes it small. Flags of the experiment that are not here stay as they are.
REDUCED = ["--image_size=32", "--labeled_batch=4", "--steps=2", "--eval_every=2", "--log_every=1"]
REDUCED += ["--num_validation=3"]
UNLABELED = ["--unlabeled_ratio=2"]


def small(network):
    return next(member for family, member in SMALL.items() if network.startswith(family))


def selection_of(images, path):
    """The folder of a selection by a network that has learned nothing."""
    classes = sorted(folder.name for folder in (images / "labeled").iterdir())
    saved_model.export(NETWORKS["small"](len(classes), (32, 32, 3)), path / "model", classes)
    stored, to = f"{path / 'predictions'}", path / "selection"
    model = [f"--model={path / 'model'}", f"--dataset=folder:{images}", f"--to={stored}"]
    assert predict.main(model) == cli.DONE
    flags = [f"--predictions={stored}", f"--to={to}", "--per_class=5", "--candidates=2"]
    assert select.main(flags) == cli.DONE
    return to


@pytest.mark.slow
@pytest.mark.parametrize("path", FLAG_FILES, ids=lambda path: path.stem)
def test_it_runs_two_steps(path, tmp_path, write_colored_images, no_pictures, capsys):
    images = write_colored_images(tmp_path / "images", 60, 120, labeled=8, unlabeled=8, test=2)
    text = path.read_text(encoding="utf-8")
    flags = [line for line in text.splitlines() if line.startswith("--")]
    networks = dict(re.findall(r"--(network|teacher_network)=(\S+)", text))
    flags = [flag for flag in flags if not flag.startswith("--num_labeled")]
    flags = [re.sub(r"(--finetune_steps)=[1-9]\d*", r"\1=1", flag) for flag in flags]
    flags = [re.sub(r"(--eval_image_size)=\d+", r"\1=40", flag) for flag in flags]
    flags += [f"--{flag}={small(name)}" for flag, name in networks.items()] or [
        f"--network={small('keras:')}"
    ]
    flags += [f"--dataset=folder:{images}", f"--workdir={tmp_path / 'run'}", *REDUCED]
    if "--select=selection" in flags:
        flags.append(f"--select={selection_of(images, tmp_path)}")
    flags += UNLABELED if "--method=supervised" not in flags else []
    assert train.main(flags) == cli.DONE, capsys.readouterr().err
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    accuracy = results["test_accuracy"]  # None of a network that no phase made
    assert 0 <= accuracy[results["delivered"]] <= 1
