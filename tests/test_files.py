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
