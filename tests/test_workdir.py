"""The run folder."""

import json
import os
import subprocess

import pytest

from mpl_tf import workdir
from mpl_tf.options import ConfigError

CONFIG = {"steps": 3, "method": "mpl"}


def prepare(path, config=None, **kwargs):
    return workdir.prepare(str(path), config or CONFIG, ["--steps=3"], **kwargs)


def test_a_new_folder_gets_configuration_and_flags(tmp_path):
    assert prepare(tmp_path / "a" / "b") == "new"
    assert json.loads((tmp_path / "a/b/config.json").read_text()) == CONFIG
    assert (tmp_path / "a/b/run.flags").read_text() == "--steps=3\n"


def test_an_existing_empty_folder_is_new(tmp_path):
    assert prepare(tmp_path) == "new"


def test_the_states_of_a_run(tmp_path):
    prepare(tmp_path)
    assert prepare(tmp_path) == "interrupted"
    (tmp_path / "results.json").write_text("{}")
    assert prepare(tmp_path) == "finished"


def test_another_configuration_is_refused_with_the_differences(tmp_path):
    prepare(tmp_path)
    with pytest.raises(ConfigError, match="steps is 3 there and 4 here; width is none there"):
        prepare(tmp_path, {**CONFIG, "steps": 4, "width": 2})


def test_something_that_is_no_run_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"no run \(thesis.tex\)"):
            prepare(tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_start_that_was_killed_before_its_configuration_counts_as_none(tmp_path):
    (tmp_path / "run.flags").write_text("--steps=8")
    (tmp_path / "config.partial.json").write_text('{"ste')
    assert prepare(tmp_path) == "new"
    assert (tmp_path / "run.flags").read_text() == "--steps=3\n"
    assert prepare(tmp_path) == "interrupted"


def test_asking_for_the_state_writes_nothing(tmp_path):
    assert workdir.state(str(tmp_path / "none"), CONFIG) == "new"
    assert os.listdir(tmp_path) == []


def test_overwriting_removes_the_run_and_nothing_else(tmp_path):
    prepare(tmp_path)
    for name in ("results.json", "metrics.csv", "notes.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "checkpoints" / "train").mkdir(parents=True)
    assert prepare(tmp_path, {"steps": 9}, overwrite=True) == "new"
    assert sorted(os.listdir(tmp_path)) == ["config.json", "notes.txt", "run.flags"]


def test_a_file_in_the_way_and_a_folder_that_cannot_be_made_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="cannot be written"):
            prepare(path)


def test_a_damaged_configuration_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        prepare(tmp_path)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file.txt"
    workdir.write_text(str(target), "old")
    with pytest.raises(RuntimeError), workdir.whole(str(target)) as partial:
        with open(partial, "w") as file:
            file.write("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_versions_and_revision():
    assert {"python", "tensorflow", "keras", "numpy", "mpl_tf"} <= workdir.versions().keys()
    revision = workdir.git_revision()
    assert revision is None or len(revision.removesuffix("-dirty")) == 40


def test_an_outer_repository_is_not_taken_for_ours(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(workdir, "__file__", str(tmp_path / "workdir.py"))
    assert workdir.git_revision() is None
