"""The run folder."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys

import pytest

from mpl_tf import files
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder as run_folder

CONFIG = {"steps": 3, "method": "mpl"}


def prepare(path, config=None, **kwargs):
    return run_folder.prepare(str(path), config or CONFIG, ["--steps=3"], **kwargs)


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


@pytest.mark.parametrize("name", ["export", "evaluation", "checkpoints", "metrics.csv"])
def test_artifacts_without_a_configuration_are_refused_and_kept(name, tmp_path):
    """Such as exports or measurements that were written to the folder before any run."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "1").write_text("kept")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=rf"has no config.json .* no run \({name}\)"):
            prepare(tmp_path, overwrite=overwrite)
    assert (tmp_path / name / "1").read_text() == "kept"


def test_a_start_that_was_killed_before_its_configuration_counts_as_none(tmp_path):
    (tmp_path / "run.flags").write_text("--steps=8")
    (tmp_path / "config.partial.json").write_text('{"ste')
    assert prepare(tmp_path) == "new"
    assert (tmp_path / "run.flags").read_text() == "--steps=3\n"
    assert prepare(tmp_path) == "interrupted"


def test_asking_for_the_state_writes_nothing(tmp_path):
    assert run_folder.state(str(tmp_path / "none"), CONFIG) == "new"
    assert os.listdir(tmp_path) == []


def test_overwriting_removes_the_run_and_nothing_else(tmp_path):
    prepare(tmp_path)
    for name in ("results.json", "metrics.csv", "notes.txt"):
        (tmp_path / name).write_text("{}")
    for name in ("checkpoints/train", "evaluation"):
        (tmp_path / name).mkdir(parents=True)
    assert prepare(tmp_path, {"steps": 9}, overwrite=True) == "new"
    assert sorted(os.listdir(tmp_path)) == ["config.json", "notes.txt", "run.flags"]


def test_a_file_in_the_way_and_a_folder_that_cannot_be_made_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="cannot be written"), run_folder.lock(str(path)):
            pytest.fail("locked")
    with pytest.raises(ConfigError, match="cannot be written"):
        run_folder.state(str(tmp_path / "file"), CONFIG)


def test_the_exports_of_a_run_and_of_any_other_folder(tmp_path):
    path = str(tmp_path / "run")
    assert run_folder.exports_of(path) == path and not run_folder.is_run(path)
    prepare(path)
    assert run_folder.is_run(path)
    assert run_folder.exports_of(path) == os.path.join(path, "export")
    (tmp_path / "auto" / "export").mkdir(parents=True)  # as python -m mpl_tf.auto leaves it
    assert run_folder.exports_of(str(tmp_path / "auto")) == str(tmp_path / "auto" / "export")


def test_what_a_run_writes_has_these_names():
    """Users and other programs read them: a renamed one breaks theirs."""
    assert set(run_folder.ARTIFACTS) == {
        *("config.json", "run.flags", "split.json", "images.npz", "views.png", "metrics.csv"),
        *("pseudo_labels.csv", "tensorboard", "checkpoints", "export", "results.json"),
        *("report.png", "features.json", "encoder.keras", "neighbours.png"),
        *("pretrain_views.png", "predictions.npy"),
    }


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("before", ["nothing", "a run", "a finished run", "a run and notes"])
def test_a_kill_at_any_moment_of_a_start_is_repaired_by_the_next(before, tmp_path, monkeypatch):
    """Each time one call further; `overwrite` where something has to go first."""
    overwrite = before != "nothing"

    def start_until(limit):
        folder, count = tmp_path / str(limit), 0
        if overwrite:
            prepare(folder, {"steps": 9})
            (folder / "checkpoints" / "train" / "step-4").mkdir(parents=True)
            (folder / "metrics.csv").write_text("old")
        if before == "a finished run":
            (folder / "results.json").write_text("{}")
        if before == "a run and notes":
            (folder / "notes.txt").write_text("mine")

        def counted(original):
            def call(*arguments, **keywords):
                nonlocal count
                count += 1
                if count == limit:
                    raise Killed
                return original(*arguments, **keywords)

            return call

        # A kill tidies nothing up: a half-written file stays under its other name.
        real = {name: getattr(os, name) for name in ("rename", "replace", "remove", "makedirs")}
        ended = False
        with monkeypatch.context() as patch:
            for name, original in real.items():
                patch.setattr(os, name, counted(original))
            patch.setattr(files.shutil, "rmtree", counted(files.shutil.rmtree))
            patch.setattr(files, "sync", counted(files.sync))
            try:
                prepare(folder, overwrite=overwrite)
                ended = True
            except Killed:
                pass
        # Neither the old results nor the old checkpoints with another configuration's name on them.
        if (folder / "config.json").exists():
            stored = json.loads((folder / "config.json").read_text())
            if stored == CONFIG:
                left = set(os.listdir(folder)) - {"config.json", "run.flags", "notes.txt"}
                assert all(".partial" in name for name in left)
        assert run_folder.state(str(folder), CONFIG, overwrite) in ("new", "interrupted")
        assert prepare(folder, overwrite=overwrite) in ("new", "interrupted")
        kept = {"config.json", "run.flags"} | ({"notes.txt"} if "notes" in before else set())
        assert set(os.listdir(folder)) == kept
        assert (folder / "run.flags").read_text() == "--steps=3\n"
        assert prepare(folder) == "interrupted"
        return ended

    limit = 1
    while not start_until(limit):
        limit += 1
    assert limit > 5


def test_half_removed_results_are_none(tmp_path, monkeypatch):
    """A kill amid the removal of a finished run: the same command without overwriting goes on."""
    prepare(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    for name in ("checkpoints", "export"):
        (tmp_path / name / "1").mkdir(parents=True)

    def killed(path):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "rmtree", killed)
        with pytest.raises(Killed):
            prepare(tmp_path, overwrite=True)
    assert not (tmp_path / "checkpoints").exists() or not (tmp_path / "export").exists()
    assert run_folder.state(str(tmp_path), CONFIG) == "interrupted"


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path):
    prepare(tmp_path)
    with run_folder.lock(str(tmp_path)):
        for overwrite in (False, True):
            with pytest.raises(
                ConfigError, match=f"in use by another process .process {os.getpid()}"
            ):
                run_folder.state(str(tmp_path), CONFIG, overwrite)
        with pytest.raises(ConfigError, match="in use"), run_folder.lock(str(tmp_path)):
            pytest.fail("locked twice")
        (tmp_path / "results.json").write_text("{}")
        assert run_folder.state(str(tmp_path), CONFIG) == "finished"  # which needs no lock
    (tmp_path / "results.json").unlink()
    assert run_folder.state(str(tmp_path), CONFIG) == "interrupted"
    with run_folder.lock(str(tmp_path)):
        pass


def test_a_kill_releases_the_lock(tmp_path):
    code = f"""
import sys
from mpl_tf.runs import folder
with folder.lock({str(tmp_path)!r}):
    print("locked", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(ConfigError, match=f"process {holder.pid} on"):
        run_folder.state(str(tmp_path), CONFIG)
    holder.kill()
    holder.communicate()
    assert run_folder.state(str(tmp_path), CONFIG) == "new"


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, messages):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_folder.lock(str(tmp_path)):
        assert "knows no locks (No locks available)" in messages(logging.WARNING)


def test_a_damaged_configuration_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        prepare(tmp_path)


@pytest.mark.parametrize(
    ("there", "here", "interrupted", "finished"),
    [
        ({"dataset": "folder:/a"}, {"dataset": "folder:/b"}, True, True),
        ({"dataset": "folder:/a"}, {"dataset": "tfrecord:/a"}, False, False),
        ({"cache_dir": "/a"}, {"cache_dir": ""}, True, True),
        ({"split_file": "/a"}, {"split_file": "/b"}, True, False),
        ({"split_file": "/a"}, {"split_file": ""}, False, False),
        ({"network": "file:/a/m.keras"}, {"network": "file:/b/m.keras"}, True, False),
        ({"network": "file:/a/m.keras"}, {"network": "file:/a/n.keras"}, False, False),
    ],
)
def test_a_run_goes_on_where_its_files_have_moved(there, here, interrupted, finished, tmp_path):
    def agree():
        try:
            return bool(run_folder.state(str(tmp_path), CONFIG | here))
        except ConfigError:
            return False

    prepare(tmp_path, CONFIG | there)
    assert agree() == interrupted
    (tmp_path / "results.json").write_text("{}")
    assert agree() == finished
