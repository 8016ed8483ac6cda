"""Files that appear whole."""

import csv
import doctest
import io
import os
import re

import pytest

from mpl_tf import files
from mpl_tf.options import ConfigError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file.txt"
    files.write_text(str(target), "old")
    with pytest.raises(RuntimeError), files.whole(str(target)) as partial:
        with open(partial, "w") as file:
            file.write("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_files_and_folders_appear_on_windows(tmp_path, monkeypatch):
    """Windows opens no folder, and puts on the disk only what was opened for writing."""
    opened = []

    def open_as_on_windows(path, flags):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        descriptor = real_open(path, flags)
        opened.append((descriptor, flags))
        return descriptor

    def fsync_as_on_windows(descriptor):
        if not dict(opened)[descriptor] & os.O_RDWR:
            raise OSError(9, "Bad file descriptor")

    real_open = os.open
    monkeypatch.setattr(files, "_WINDOWS", True)
    monkeypatch.setattr(os, "open", open_as_on_windows)
    monkeypatch.setattr(os, "fsync", fsync_as_on_windows)
    with files.whole(str(tmp_path / "folder")) as partial:
        os.mkdir(partial)
        files.write_text(os.path.join(partial, "file.txt"), "text")
    assert (tmp_path / "folder" / "file.txt").read_text() == "text"
    assert len(opened) == 2  # written, and again with its folder


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder"
    for text in ("old", "new"):
        with files.whole(str(target)) as partial:
            assert not os.path.exists(partial)
            os.mkdir(partial)
            files.write_text(os.path.join(partial, "file.txt"), text)
            if text == "new":
                assert (target / "file.txt").read_text() == "old"
        assert (target / "file.txt").read_text() == text
        assert os.listdir(tmp_path) == ["folder"]


def test_what_a_killed_process_left_is_no_part_of_the_next_folder(tmp_path):
    left = tmp_path / "folder.partial"
    left.mkdir()
    (left / "half.txt").write_text("half")
    with files.whole(str(tmp_path / "folder")) as partial:
        os.mkdir(partial)
    assert os.listdir(tmp_path / "folder") == []
    assert os.listdir(tmp_path) == ["folder"]


def test_all_of_a_folder_is_forced_to_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync", synced.append)
    with files.whole(str(tmp_path / "a")) as partial:
        os.makedirs(os.path.join(partial, "below"))
        for name in ("one", "below/two"):
            files.write_text(os.path.join(partial, name), "")
        synced.clear()
    names = [os.path.relpath(path, tmp_path) for path in synced]
    assert set(names[:-1]) == {
        "a.partial/one",
        "a.partial/below/two",
        "a.partial",
        "a.partial/below",
    }
    assert names[-1] == "."  # after the renaming


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "cannot be read: Expecting property name"),
        (b"\xff\xfe{}", "cannot be read: 'utf-8' codec"),
        (b"[" * 100_000, "cannot be read: maximum recursion depth"),
        (b"[]", "is damaged, or of another program: content must be an object; received"),
        (b'{"steps": "3"}', "content.steps must be a whole number; received '3'"),
    ],
)
def test_a_json_file_that_cannot_be_used_is_refused(content, message, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{path} ") + ".*" + re.escape(message)):
        files.read_json(path, dict[str, int])


def test_a_file_replaces_no_folder(tmp_path):
    (tmp_path / "a" / "mine").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match="a folder lies where a file belongs"):
        files.write_text(str(tmp_path / "a"), "text")
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["mine"]


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "gone", tmp_path / "link")
    for name, words in (
        (tmp_path, "it is a folder, no regular file"),
        (tmp_path / "pipe", "it is a pipe, no regular file"),
        ("/dev/zero", "it is a device, no regular file"),
        (tmp_path / "link", "No such file"),
    ):
        with pytest.raises(ConfigError, match=words):
            files.read_json(name)


def test_a_text_of_gigabytes_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(ConfigError, match="more than a GiB"):
        files.read_json(tmp_path / "large.json")


def test_what_lies_at_a_path(tmp_path):
    (tmp_path / "file").touch()
    os.symlink(tmp_path / "gone", tmp_path / "link")
    names = {"file": "a file", ".": "a folder", "link": "a link to nothing", "none": "nothing"}
    assert {name: files.what_is(tmp_path / name) for name in names} == names


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    files.check_folder(tmp_path / "new" / "below")
    assert os.listdir(tmp_path) == ["file"]
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match="cannot be written: taken in it is a folder, no file"):
        files.check_folder(tmp_path, ["new", "file", "taken"])
    with pytest.raises(ConfigError, match=r"below cannot be written: .*file is a file, no folder"):
        files.check_folder(tmp_path / "file" / "below")
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path))
    with pytest.raises(ConfigError, match=f"no permission to write to {tmp_path}"):
        files.check_folder(tmp_path / "new")


def test_line_ends_of_all_systems_are_quoted_in_a_row():
    values = ["a\rb", "c\nd", 'e,"f', "g\r\n"]
    line = files.csv_line(values)
    assert next(csv.reader(io.StringIO(f"{line}\nx\n", newline=""))) == values


def test_examples():
    failed, tried = doctest.testmod(files)
    assert tried and not failed
