"""tools/preparing/long_tail.py: folders of images whose labels are rare in some classes."""

import argparse
import collections
import shlex

import numpy as np
import PIL.Image
import pytest

from mpl_tf.images import class_folders
from mpl_tf.options import ConfigError


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("preparing.long_tail")


@pytest.fixture
def make(tool, tmp_path):
    """make(*options, to=...): runs the command on the folder `images`; returns what it wrote."""

    def run(*options, to="out"):
        parser = argparse.ArgumentParser()
        tool.define(parser)
        arguments = [str(tmp_path / "images"), f"--to={tmp_path / to}", *options]
        assert tool.run(parser.parse_args(arguments)) == 0
        return tmp_path / to

    return run


@pytest.fixture
def images(tmp_path):
    """Three classes of 20 labeled images, 2 test images each, and an unlabeled one."""
    number = 0
    for name in ("ant", "bee", "cow"):
        for part, count in (("labeled", 20), ("test", 2)):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                number += 1
                PIL.Image.fromarray(np.full((2, 2), number, np.uint8)).save(folder / f"{index}.png")
    folder = tmp_path / "images" / "unlabeled"
    folder.mkdir()
    PIL.Image.fromarray(np.full((2, 2), 255, np.uint8)).save(folder / "x.png")
    return tmp_path / "images"


def test_the_command_it_ends_with_is_one_for_a_shell(make, images, capsys):
    out = make("--most=8", "--ratio=4", "--unlabeled=1", to="my images")
    command = capsys.readouterr().out.splitlines()[-1].partition("Train on it: ")[2]
    program = ["python", "-m", "mpl_tf.train"]
    assert shlex.split(command) == [*program, f"--dataset=folder:{out}", "--num_labeled=0"]


def contents(root, pattern="**/*.png"):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob(pattern))}


def test_labels_fall_and_unlabeled_images_are_others_of_the_same_classes(make, images, capsys):
    out = make("--most=8", "--ratio=4", "--unlabeled=1")
    listed = class_folders.find(str(out))
    assert listed.class_names == ("ant", "bee", "cow")
    labels = collections.Counter(label for _, label in listed.parts["labeled"])
    assert labels == {0: 8, 1: 4, 2: 2} and len(listed.parts["unlabeled"]) == 14
    assert contents(out / "test") == contents(images / "test")
    classes = {
        content: file.split("/")[0] for file, content in contents(images / "labeled").items()
    }
    labeled = contents(out / "labeled")
    assert all(contents(images / "labeled")[file] == labeled[file] for file in labeled)
    unlabeled = list(contents(out / "unlabeled").values())
    assert collections.Counter(classes[each] for each in unlabeled) == {
        "ant": 8,
        "bee": 4,
        "cow": 2,
    }
    assert not set(unlabeled) & set(labeled.values())
    in_order = [classes[each] for each in unlabeled]
    assert in_order != sorted(in_order)
    assert sorted(p.name for p in (out / "unlabeled").iterdir())[0] == "00.png"
    said = capsys.readouterr().out
    assert "labeled: 14 images\nunlabeled: 14 images\ntest: 6 images\n" in said
    assert "labels: 8 ant, 4 bee, 2 cow\n" in said and f"--dataset=folder:{out} --num" in said


def test_a_seed_says_which_images(make, images):
    options = "--most=4", "--ratio=2", "--unlabeled=2"
    one, again, other = (
        contents(make(*options, f"--seed={seed}", to=f"out_{place}"))
        for place, seed in enumerate((1, 1, 2))
    )
    assert one == again and one.keys() != other.keys()


def test_the_counts_of_the_results(tool):
    assert tool.counts(10, 50, 10.0) == [50, 39, 30, 23, 18, 14, 11, 8, 6, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--most=8", "--unlabeled=2"], "class 'ant' would have 8 labels and 16 unlabeled images"),
        (["--most=4", "--ratio=10"], "class 'ant' would have 4 labels and 40 unlabeled"),
        (["--most=2", "--ratio=10", "--unlabeled=1"], "class 'cow' would have 0 labels"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(make, images, options, message):
    with pytest.raises(ConfigError, match=message):
        make(*options)
    assert sorted(p.name for p in images.parent.iterdir()) == ["images"]


def test_a_folder_with_files_and_one_among_the_images_are_refused(make, images):
    make("--most=2", "--ratio=1", "--unlabeled=1")
    with pytest.raises(ConfigError, match=r"--to must be an empty or a new folder; .*out is there"):
        make("--most=2", "--ratio=1", "--unlabeled=1")
    with pytest.raises(ConfigError, match="labeled"):
        make("--most=2", "--ratio=1", "--unlabeled=1", to="images/labeled/new")
