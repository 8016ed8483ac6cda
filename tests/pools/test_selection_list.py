"""Lists of selections: read as they were written, or refused with the line that is damaged."""

import doctest
import os

import numpy as np
import pytest

from mpl_tf import files
from mpl_tf.options import ConfigError
from mpl_tf.pools import selection_list
from mpl_tf.pools.selection import Pairs

NAMES = ["ant", "bee, wild", 'cat "tom"', "d\u00f6g", "e\rf\ng"]
HEADER = "class,confidence,position,content,file\n"
PAIRS = Pairs(
    np.arange(5),
    np.linspace(0.2, 1, 5).astype(np.float16),
    np.array([7, 0, 10**12, 7, 3]),
    np.array([1, 2**64 - 1, 3, 1, 5], np.uint64),
)
ABOUT = selection_list.About(
    model="m",
    images="i",
    dataset="digits",
    class_names=NAMES,
    predictions="p",
    per_class=1,
    candidates=2,
    number_of_pairs=5,
    left_out=0,
)


def write(path, about=ABOUT, pairs=PAIRS):
    selection_list.write(
        str(path), about, pairs, lambda found: [f"{n},\r\udcff\n.png" for n in found]
    )


def same(found, pairs):
    np.testing.assert_allclose(found.confidences, pairs.confidences, rtol=1e-3)
    return all(
        (getattr(found, name) == getattr(pairs, name)).all()
        for name in ("classes", "positions", "digests")
    )


def test_the_list_is_read_as_it_was_written(tmp_path):
    write(tmp_path)
    again, found = selection_list.read(str(tmp_path))
    assert again == ABOUT
    assert same(found, PAIRS)
    assert (tmp_path / selection_list.LIST).read_bytes().startswith(HEADER.encode())


def test_the_list_may_be_cut_and_marked_as_spreadsheets_do(tmp_path):
    few = PAIRS.take(np.arange(3))
    selection_list.write(str(tmp_path), ABOUT, few, lambda found: ["x.png"] * len(found))
    path = tmp_path / selection_list.LIST
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\xef\xbb\xbf" + lines[0] + b"".join(lines[2:]))
    assert same(selection_list.read(str(tmp_path))[1], few.take(np.arange(1, 3)))


def test_a_line_is_that_of_the_file(tmp_path):
    write(tmp_path)  # the name of each image takes three lines
    path = tmp_path / selection_list.LIST
    assert selection_list.place(str(tmp_path), ABOUT, 1) == f"{path}, line 5"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must have the columns class, confidence, .*; received none"),
        ("class,position\n", "received class, position"),
        (HEADER, "has no row"),
        (HEADER + "fly,1,2,a,b\n", r"line 2.*received .'fly'"),
        (HEADER + "ant,1,2,a\n", "line 2"),
        (HEADER + "ant,1,2.5,a,b\n", "line 2"),
        (HEADER + "ant,1,-2,a,b\n", "line 2"),
        (HEADER + f"ant,1,{'1' * 25},a,b\n", "line 2: it must have"),
        (HEADER + "ant,1,2,x,b\n", "line 2"),
        (HEADER + "ant,1,2,-f,b\n", "line 2: it must have"),
        (HEADER + f"ant,1,2,{'f' * 17},b\n", "line 2: it must have"),
        (HEADER + "ant,1,2,a,b\nant,0,3,a,b\n", "line 3: it must have .* above 0"),
        (HEADER + "ant,1.01,2,a,b\n", "line 2: it must have"),
        (HEADER + "ant,nan,2,a,b\n", "line 2: it must have"),
        (HEADER + "ant,1,2,a,b\nant,1,3,a,b\nant,1,2,a,b\n", "line 4: its class has the image"),
        (HEADER + 'ant,1,2,a,b\nant,1,4,a,"b\nant,1,3,a,b\n', "line 3: unexpected end"),
        (HEADER + 'ant,1,2,a,"b\nant,1,3,a,"b, c"\n', "line 2: ',' expected"),
    ],
)
def test_damaged_lists_are_refused(tmp_path, content, message):
    write(tmp_path)
    (tmp_path / selection_list.LIST).write_text(content)
    with pytest.raises(ConfigError, match=message):
        selection_list.read(str(tmp_path))


def test_classes_of_one_name_are_refused(tmp_path):
    write(tmp_path, ABOUT | {"class_names": [*NAMES[:4], "ant"]})
    with pytest.raises(ConfigError, match="two classes have one name"):
        selection_list.read(str(tmp_path))


def test_a_folder_without_a_selection_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="has no selection"):
        selection_list.read(str(tmp_path))


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_list_is_never_read_with_what_was_said_of_another(tmp_path, monkeypatch, moment):
    """However far the second writing came."""
    write(tmp_path)
    replace, done = os.replace, []

    def killed(source, target):
        if len(done) == moment:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", killed)
    few, about = PAIRS.take(np.arange(2)), ABOUT | {"number_of_pairs": 2}
    if moment == 2:
        write(tmp_path, about, few)
        assert selection_list.read(str(tmp_path))[0] == about
        return
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, about, few)
    with pytest.raises(ConfigError, match="or an unfinished one"):
        selection_list.read(str(tmp_path))
    assert selection_list.is_one(str(tmp_path))


def test_half_of_a_first_list_counts_as_nothing(tmp_path):
    assert selection_list.is_one(str(tmp_path / "new"))
    (tmp_path / "selection.partial.csv").touch()
    assert selection_list.is_one(str(tmp_path))
    (tmp_path / "notes.csv").touch()
    assert not selection_list.is_one(str(tmp_path))


def test_the_example():
    failed, tried = doctest.testmod(selection_list)
    assert tried and not failed
