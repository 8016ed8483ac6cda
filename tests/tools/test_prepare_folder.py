"""tools/preparing/image_folder.py: folders of images of raw files."""

import argparse
import functools
import shlex

import numpy as np
import PIL.Image
import pytest
from made_up import COUNTS, write_raw

from mpl_tf.images import class_folders
from mpl_tf.options import ConfigError
from preparing.raw_readers import CIFAR10

FASHION = ["T-shirt-top", "Trouser", "Pullover", "Dress", "Coat"]
FASHION += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


@pytest.fixture
def tool(load_tool, monkeypatch):
    from preparing import raw_readers

    made_up = functools.partial(raw_readers.read, checksums={}, counts=COUNTS)
    monkeypatch.setattr(raw_readers, "read", made_up)
    return load_tool("preparing.image_folder")


@pytest.fixture
def make(tool, tmp_path):
    """make(name, *options): runs the command on the raw files in `raw`; returns what it wrote."""

    def run(name, *options, to="out"):
        parser = argparse.ArgumentParser()
        tool.define(parser)
        arguments = [name, f"--from={tmp_path / 'raw'}", f"--to={tmp_path / to}", *options]
        assert tool.run(parser.parse_args(arguments)) == 0
        return tmp_path / to

    return run


@pytest.mark.parametrize(("name", "kind"), [("cifar10", "folder"), ("fashion_mnist", "gz")])
def test_images_lie_in_the_folders_of_their_classes(make, tmp_path, name, kind):
    data = write_raw(tmp_path / "raw", name, kind)
    out = make(name, f"--train={COUNTS['train']}", "--test=2")
    listed = class_folders.find(str(out))
    assert {part: len(images) for part, images in listed.parts.items()} == {
        "labeled": COUNTS["train"],
        "test": 2,
    }
    classes = CIFAR10 if name == "cifar10" else FASHION
    assert {*listed.class_names} == {classes[label] for label in data["train"][1]}
    for split, part in (("train", "labeled"), ("test", "test")):
        images, labels = data[split]
        for path in (out / part).rglob("*.png"):
            with PIL.Image.open(path) as image:
                pixels = np.asarray(image).reshape(images.shape[1:])
            np.testing.assert_array_equal(pixels, images[int(path.stem)])
            assert path.parent.name == classes[labels[int(path.stem)]]


def test_a_seed_draws_them_and_the_size_is_any(make, tmp_path):
    write_raw(tmp_path / "raw", "cifar10", "folder")
    every = f"--train={COUNTS['train']}"
    one, same, other = (
        make("cifar10", every, "--test=1", "--image_size=40", f"--seed={seed}", to=to)
        for seed, to in ((0, "a"), (0, "b"), (1, "c"))
    )
    names = [sorted(p.relative_to(out) for p in out.rglob("*.png")) for out in (one, same, other)]
    assert names[0] == names[1] != names[2]
    with PIL.Image.open(one / names[0][0]) as image:
        assert image.size == (40, 40)


def test_the_command_it_ends_with_is_one_for_a_shell(make, tmp_path, capsys):
    write_raw(tmp_path / "raw", "cifar10", "folder")
    out = make("cifar10", f"--train={COUNTS['train']}", "--test=1", to="my images")
    command = capsys.readouterr().out.splitlines()[-1].partition("Train on it: ")[2]
    program = ["python", "-m", "mpl_tf.train"]
    assert shlex.split(command) == [*program, f"--dataset=folder:{out}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train=16"], "--train must be at most 15, the images that there are; received 16"),
        (
            ["--train=3"],
            "none of the 3 images of --train would be of class .*: --train must be greater",
        ),
        (["--train=15", "--test=4"], "--test must be at most 3"),
    ],
)
def test_what_there_is_not_is_refused(make, tmp_path, options, message):
    write_raw(tmp_path / "raw", "cifar10", "folder")
    with pytest.raises(ConfigError, match=message):
        make("cifar10", *options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(make, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("")
    with pytest.raises(ConfigError, match="must be an empty or a new folder"):
        make("cifar10")
    with pytest.raises(ConfigError, match="NAME must be one of"):
        make("cifar11", to="other")
