"""The command line of `python -m mpl_tf.auto`: what it takes, refuses, and says at its end."""

import errno
import os
import subprocess
import sys

import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.auto import __main__ as auto
from mpl_tf.auto import door, early
from mpl_tf.features import cache
from mpl_tf.options import ConfigError
from mpl_tf.runs import checkpoint, folder


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--dataset must say which images, such as folder:my_images, or my_images alone"),
        (["--dataset=folder:nowhere"], "nowhere"),
        (["my_imagez"], "my_imagez, and no dataset of that name either: dataset must be one of"),
        (
            ["--dataset=folder:my_images", "--minutes=0"],
            "minutes must be at most 10,000 and greater than 0",
        ),
        (["--dataset=folder:my_images", "--network=smal"], "network must be one of"),
        (
            ["--dataset=folder:my_images", "--network=keras:MobileNetV2", "--network_weights=n.h5"],
            "network_weights must be imagenet or a file; n.h5 is no file",
        ),
        (
            ["--dataset=folder:my_images", "--network_weights=n.h5"],
            "network_weights=n.h5 is for --network=keras:NAME; received network=''",
        ),
        (
            ["--dataset=folder:my_images", "--network=small", "--network_weights=n.h5"],
            "network_weights=n.h5 is for --network=keras:NAME; received network='small'",
        ),
        (
            ["--dataset=folder:my_images", "--network_weights=", "--workdir=my_images"],
            "my_images has no journal.json and holds something else (labeled, unlabeled)",
        ),
        (
            ["my_images", "--network=small", "--workdir=my_images/unlabeled/run"],
            "workdir my_images/unlabeled/run lies in the images",
        ),
        (
            ["my_images", "--network=small", "--cache_dir=my_images/labeled"],
            "cache_dir my_images/labeled lies in the images",
        ),
        (["--dataset=folder:my_images", "--minute=5"], "Did you mean: minutes"),
        (["minutes=5"], "Did you mean --minutes=5?"),
        (["my_images", "--dataset=digits"], "received 'my_images' and --dataset=digits"),
        (["my_images", "b"], "unexpected argument 'b'"),
        (["."], ". has no folder labeled; a folder of images must hold labeled/<class>/*"),
    ],
)
def test_bad_input_is_refused_before_any_work(image_folder, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(image_folder)
    assert auto.main(flags) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in image_folder.iterdir()] == ["my_images"]


OpError = tf.errors.ResourceExhaustedError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a/candidates.csv"),
            "runs/a/candidates.csv cannot be read or written: No space left on device.",
        ),
        (
            OpError(None, None, "/x/f.data; No space left on device"),
            "runs/a cannot be written: No ",
        ),
        (OpError(None, None, "OOM when allocating tensor"), "there is not enough memory: OOM when"),
        (
            tf.errors.InvalidArgumentError(None, None, "{{function_node x}} Incompatible shapes"),
            "TensorFlow cannot go on: Incompatible shapes. The same command continues",
        ),
        (
            tf.errors.InvalidArgumentError(None, None, "Input is empty. [Op:DecodeImage]"),
            "",
        ),
        (cache.CacheError("f cannot be written: no room."), "f cannot be written: no room."),
        (
            checkpoint.CheckpointError("the checkpoint after step 3 could not be written"),
            "the checkpoint after step 3 could not be written",
        ),
    ],
)
def test_what_ends_the_work_is_a_sentence(image_folder, monkeypatch, capsys, error, message):
    def fail(chosen, start):
        raise error

    monkeypatch.setattr(door, "run", fail)
    monkeypatch.chdir(image_folder)
    assert auto.main(["my_images", "--workdir=runs/a"]) == 1
    output = capsys.readouterr().err
    assert output.startswith("\nStopped: ") and message in output


def test_a_mistake_of_the_program_has_its_traceback(image_folder, monkeypatch):
    def fail(chosen, start):
        raise KeyError("a mistake")

    monkeypatch.setattr(door, "run", fail)
    monkeypatch.chdir(image_folder)
    with pytest.raises(KeyError):
        auto.main(["my_images"])


@pytest.mark.parametrize(
    ("flags", "dataset", "workdir"),
    [
        (["my_images"], "folder:my_images", "auto-my_images"),
        (["--minutes=3", "my_images/"], "folder:my_images/", "auto-my_images"),
        (["--dataset=my_images"], "folder:my_images", "auto-my_images"),
        (["./my_images"], "folder:./my_images", "auto-my_images"),
        (["folder:my_images"], "folder:my_images", "auto-my_images"),
        (["digits"], "digits", "auto-digits"),
        (["--dataset=cifar10"], "cifar10", "auto-cifar10"),
    ],
)
def test_a_folder_needs_no_flag(image_folder, monkeypatch, flags, dataset, workdir):
    chosen = []

    def keep(options, start):
        chosen.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(door, "run", keep)
    monkeypatch.chdir(image_folder)
    (image_folder / "digits").mkdir()
    assert auto.main(flags) == 130
    assert early.dataset(chosen[0].dataset) == dataset
    assert early.workdir(chosen[0]) == os.path.join("runs", workdir)


def test_what_comes_before_a_folder_of_its_name_is_all_that_has_a_name():
    assert {*mpl_tf.DATASETS} == early.NAMED


def test_bad_input_is_refused_before_tensorflow_is_imported(image_folder):
    """All of them in one process, which does not have it at its end."""
    lines = [["nowhere/x"], ["."], ["my_images", "--minutes=0"], ["my_images", "--network=file:x"]]
    lines += [["my_images", "--workdir=my_images"], ["my_images", "--workdir=my_images/a.png/x"]]
    (image_folder / "my_images" / "a.png").write_bytes(b"")
    code = f"""
import sys
from mpl_tf.auto import __main__ as auto
print([auto.main(line) for line in {lines}], [*{{"tensorflow", "keras"}} & {{*sys.modules}}])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=image_folder)
    assert done.stdout == "[2, 2, 2, 2, 2, 2] []\n", done.stderr


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], ""),
        (["run.lock"], ""),
        (["journal.json", "export/1/saved_model.pb", "mine.txt"], ""),
        (["journal.json", "run/config.json", "run/mine.txt"], ""),
        (["run.lock", "mine.txt"], "has no journal.json and holds something else (mine.txt); cho"),
        (["journal.json", "run/mine.txt"], "run has no config.json and holds something that is no"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / "auto" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "auto" / name).write_text("")
    if not message:
        early.check_workdir(str(tmp_path / "auto"))
        return
    with pytest.raises(ConfigError) as refusal:
        early.check_workdir(str(tmp_path / "auto"))
    assert message in str(refusal.value)


def test_a_folder_that_cannot_be_written_or_is_busy_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file, no folder"):
        early.check_workdir(str(tmp_path / "file" / "auto"))
    busy = str(tmp_path / "auto")
    with folder.lock(busy), pytest.raises(ConfigError, match="is in use by another process"):
        early.check_workdir(busy)
