"""Nothing is written among the images."""

import os

import pytest

from mpl_tf.images import parts
from mpl_tf.options import ConfigError


@pytest.mark.parametrize("part", ["labeled", "unlabeled", "validation", "test"])
@pytest.mark.parametrize("below", ["", "run", "ant/x/run"])
def test_the_parts_of_a_folder_are_refused(part, below, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    os.symlink(tmp_path / "images", tmp_path / "link")
    for path in (f"images/{part}/{below}", f"~/images/{part}/{below}", f"link/{part}/{below}"):
        with pytest.raises(ConfigError, match=f"workdir {path} lies in the images.* {part}, or el"):
            parts.check_outside("workdir", path, "folder:images")


@pytest.mark.parametrize(
    ("path", "dataset"),
    [
        ("images/run", "folder:images"),
        ("images", "folder:images"),
        ("images/labeled_run", "folder:images"),
        ("other/labeled/run", "folder:images"),
        ("images/labeled/run", "folder:other"),
        ("images/labeled/run", "digits"),
        ("images/labeled/run", ""),
        ("", "folder:labeled"),
    ],
)
def test_all_else_is_let_pass(path, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts.check_outside("workdir", path, dataset)
