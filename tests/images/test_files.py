"""Which files under a folder are images, and which of them can be decoded."""

import io

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.images import class_folders, files
from mpl_tf.options import ConfigError

IMAGE = tf.io.encode_png(np.zeros([2, 2, 3], np.uint8)).numpy()


def put(root, *names, content=IMAGE):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def relative(root, images):
    return [image.removeprefix(f"{root}/") for image in images]


def test_hidden_files_and_other_endings_are_ignored_and_counted(tmp_path):
    put(tmp_path, "b.PNG", "a.jpeg", "deep/er/c.gif", "z.bmp", "deep/d.jpg")
    put(tmp_path, "notes.txt", ".hidden.png", "deep/x.webp", "png")
    put(tmp_path, ".git/inside.png")  # not entered, not counted
    listing = files.list_images(str(tmp_path))
    assert relative(tmp_path, listing.images) == [
        "a.jpeg",
        "b.PNG",
        "z.bmp",
        "deep/d.jpg",
        "deep/x.webp",
        "deep/er/c.gif",
    ]
    assert listing.ignored == {"ending in .txt": 1, "hidden": 1, "without an ending": 1}
    assert files.in_words(listing.ignored) == "1 ending in .txt, 1 hidden, 1 without an ending"


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert files.list_images(str(tmp_path / "none")) == files.Listing([], {})


def test_arguments_stand_for_files_folders_and_a_list(tmp_path, monkeypatch):
    put(tmp_path, "one/b.png", "one/a.png", "one/more/c.png", "two/notes.txt", "x.txt")
    names = [str(tmp_path / name) for name in ("x.txt", "two", "one")]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{names[2]}\n\n-\nmissing.png\n"))
    paths, failed = files.list_files([*names[:2], "-"])
    assert relative(tmp_path, paths) == [
        "x.txt",
        "one/a.png",
        "one/b.png",
        "one/more/c.png",
        "missing.png",
    ]
    ((folder, reason),) = failed
    assert folder == names[1] and reason.startswith("holds no file that ends in .jpg, ")


def test_broken_files_are_named_or_left_out(tmp_path):
    names = [f"{i:02}.png" for i in range(15)]
    put(tmp_path, *names)
    paths = [str(tmp_path / name) for name in names]
    assert files.check_files(paths, skip_broken=False)[1] == ""
    put(tmp_path, *names[2:], content=b"text")
    with pytest.raises(ConfigError, match=r"13 of 15 .*02\.png is no JPEG.*; \.\.\.\).*skip_bro"):
        files.check_files(paths, skip_broken=False)
    readable, left_out = files.check_files(paths, skip_broken=True)
    assert list(readable) == [0, 1]
    assert left_out.startswith(f"13 of 15 files: {paths[2]} is no JPEG")


def test_every_path_passes_the_progress(tmp_path):
    put(tmp_path, "a.png", "b.png")
    paths, seen = [str(tmp_path / name) for name in ("a.png", "b.png")], []

    def progress(paths):
        for path in paths:
            seen.append(path)
            yield path

    assert list(files.check_files(paths, False, progress)[0]) == [0, 1]
    assert seen == paths


def test_parts_have_their_files_with_the_ids_of_labeled_classes(tmp_path):
    put(tmp_path, "labeled/ant/2.png", "labeled/ant/1.png", "labeled/bee/x/1.png")
    put(tmp_path, "test/bee/1.png", "unlabeled/b/1.png", "unlabeled/2.png")
    put(tmp_path, "labeled/stray.png", "labeled/.hidden", "test/bee/notes.txt")
    listed = class_folders.find(str(tmp_path))
    assert listed.class_names == ("ant", "bee")
    assert listed.parts == {
        "labeled": [("labeled/ant/1.png", 0), ("labeled/ant/2.png", 0), ("labeled/bee/x/1.png", 1)],
        "test": [("test/bee/1.png", 1)],
        "unlabeled": [("unlabeled/2.png", -1), ("unlabeled/b/1.png", -1)],
    }
    assert listed.ignored == {"beside the folders of classes": 1, "ending in .txt": 1}


def test_a_part_without_a_readable_image_is_none(tmp_path):
    put(tmp_path, "labeled/ant/1.png", "labeled/bee/1.png", "labeled/bee/2.png")
    put(tmp_path, "test/ant/1.png", "labeled/bee/1.png", content=b"")
    (tmp_path / "validation").mkdir()
    readable, left_out = class_folders.find(str(tmp_path)).readable(skip_broken=True)
    assert readable.parts == {"labeled": [("labeled/ant/1.png", 0), ("labeled/bee/2.png", 1)]}
    assert left_out.startswith("2 of 4 files: ")
