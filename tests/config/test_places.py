"""Paths in a configuration are absolute, and one place has one name."""

import os

import pytest

from mpl_tf.config import places


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"dataset": "folder:x"}, {"dataset": "folder:{here}/x"}),
        ({"dataset": "folder:x//./y/"}, {"dataset": "folder:{here}/x/y"}),
        ({"dataset": "folder:~/x"}, {"dataset": "folder:{here}/home/x"}),
        ({"dataset": "folder:link/../x"}, {"dataset": "folder:{here}/link/../x"}),
        ({"dataset": "folder:."}, {"dataset": "folder:{here}"}),
        ({"dataset": "tfrecord:x/*"}, {"dataset": "tfrecord:{here}/x/*"}),
        ({"dataset": "digits"}, {"dataset": "digits"}),
        ({"dataset": "folder:"}, {"dataset": "folder:"}),
        ({"network": "file:m.keras"}, {"network": "file:{here}/m.keras"}),
        ({"teacher_network": "File:~/m.keras"}, {"teacher_network": "File:{here}/home/m.keras"}),
        ({"network": "hub:home/x"}, {"network": "hub:{here}/home/x"}),
        ({"network": "hub:vit_base"}, {"network": "hub:vit_base"}),
        ({"network": "hub:hf://x/y"}, {"network": "hub:hf://x/y"}),
        ({"network": "keras:ResNet50"}, {"network": "keras:ResNet50"}),
        ({"network_weights": "imagenet"}, {"network_weights": "imagenet"}),
        ({"network_weights": "w.h5"}, {"network_weights": "{here}/w.h5"}),
        (
            {"cache_dir": "c/", "data_dir": "~", "split_file": "", "steps": 3},
            {"cache_dir": "{here}/c", "data_dir": "{here}/home", "split_file": "", "steps": 3},
        ),
    ],
)
def test_a_configuration_says_where_things_lie(settings, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in ("home/x", "elsewhere/below", "x"):
        (tmp_path / folder).mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere" / "below", tmp_path / "link")
    expected = {
        name: value.format(here=tmp_path) if isinstance(value, str) else value
        for name, value in expected.items()
    }
    assert places.located(settings) == expected
    assert places.located(expected) == expected
