"""Files that appear whole."""

import os

import pytest

from mpl_tf import files


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file.txt"
    files.write_text(str(target), "old")
    with pytest.raises(RuntimeError), files.whole(str(target)) as partial:
        with open(partial, "w") as file:
            file.write("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


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
