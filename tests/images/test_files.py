"""Which files under a folder are images, and which of them can be decoded."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.images import check, class_folders, files
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


def test_links_are_followed_and_no_folder_is_read_twice(tmp_path):
    put(tmp_path, "root/b/1.png", "root/b/deep/2.png", "out/3.png", "out/er/4.png", "labeled/5.png")
    root = tmp_path / "root"
    links = {
        "a": root / "b",  # read anyway
        "b/deep/back": root,
        "b/up": tmp_path,  # holds the root, and with it labeled/
        "file.png": tmp_path / "out" / "3.png",
        "w": tmp_path / "out" / "er",
        "x": tmp_path / "out",  # holds what w holds
        "y": tmp_path / "out" / "er",
        "gone": tmp_path / "nothing",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    (tmp_path / "out" / "round").symlink_to(root / "x")
    listing = files.list_images(str(root))
    assert relative(root, listing.images) == [
        "file.png",
        "b/1.png",
        "b/deep/2.png",
        "w/4.png",
        "x/3.png",
    ]
    back = "that link back to folders"
    assert listing.ignored == {back: 5, "without an ending": 1}
    (tmp_path / "link").symlink_to(root)
    assert len(files.list_images(str(tmp_path / "link")).images) == 5


def test_kinds_of_files_are_named_the_most_frequent_first():
    kinds = {f"ending in .{i}": 1 for i in range(12)} | {"hidden": 1200}
    text = files.in_words(kinds)
    assert text.startswith("1,200 hidden, 1 ending in .0, 1 ending in .1, ")
    assert text.endswith(", 3 others")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none of them")
def test_what_never_ends_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("zero", "random"):
        (tmp_path / f"{name}.png").symlink_to(f"/dev/{name}")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    reasons = {
        "pipe.png": "cannot be read: it is a pipe, no regular file",
        "zero.png": "cannot be read: it is a device, no regular file",
        "random.png": "cannot be read: it is a device, no regular file",
        "folder.png": "cannot be read: it is a folder, no regular file",
        "gone.png": "cannot be read: No such file or directory",
    }
    for name, reason in reasons.items():
        assert check.verify(str(tmp_path / name)) == reason
    names = [name for name in reasons if name != "folder.png"]
    paths = [str(tmp_path / name) for name in names]
    assert files.list_images(str(tmp_path)).images == sorted(paths)
    with pytest.raises(ConfigError, match=r"4 of 4 files .*it is a pipe"):
        files.check_files(paths, skip_broken=False)


def test_of_large_files_that_are_no_image_the_beginning_is_read(tmp_path, monkeypatch):
    put(tmp_path, "movie.png", content=b"x" * 200_000)
    put(tmp_path, "image.png", content=IMAGE + bytes(200_000))
    assert len(check.read(str(tmp_path / "movie.png"))) == 1 << 16
    assert len(check.read(str(tmp_path / "image.png"))) == len(IMAGE) + 200_000
    monkeypatch.setattr(check, "_LARGEST_FILE", 200_000)
    reason = f"cannot be read: it has {len(IMAGE) + 200_000:,} bytes, more than any image here"
    assert check.verify(str(tmp_path / "image.png")) == reason


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


def test_files_beside_images_of_a_folder_are_named(tmp_path, caplog):
    put(tmp_path, "a.png", "b.tiff", "c.tiff", ".hidden.png")
    assert len(files.list_files([str(tmp_path)])[0]) == 1
    (record,) = caplog.records
    assert record.message == f"{tmp_path}: left out, as no images: 2 ending in .tiff"


def test_broken_files_are_named_or_left_out(tmp_path):
    names = [f"{i:02}.png" for i in range(15)]
    put(tmp_path, *names)
    paths = [str(tmp_path / name) for name in names]
    assert files.check_files(paths, skip_broken=False)[2] == ""
    put(tmp_path, *names[2:], content=b"text")
    with pytest.raises(ConfigError, match=r"13 of 15 .*02\.png is no JPEG.*; \.\.\.\).*skip_bro"):
        files.check_files(paths, skip_broken=False)
    readable, digests, left_out = files.check_files(paths, skip_broken=True)
    assert list(readable) == [0, 1]
    assert digests[0] == digests[1] != 0
    assert left_out.startswith(f"13 of 15 files: {paths[2]} is no JPEG")


def test_graphs_are_traced_before_threads_use_them(tmp_path, monkeypatch):
    put(tmp_path, "image.png", content=b"text")
    signature = [tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)]
    graph = tf.function(lambda encoded, limit: (encoded, limit), input_signature=signature)
    monkeypatch.setattr(check, "_look", graph)
    counts = []

    def examine(path):
        counts.append(graph.experimental_get_tracing_count())
        return None, 0

    monkeypatch.setattr(check, "examine", examine)
    files.check_files([str(tmp_path / "image.png")], skip_broken=False)
    assert counts == [1]


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


def test_folders_that_begin_with_a_dot_are_no_classes_and_named(tmp_path):
    put(tmp_path, "labeled/ant/1.png", "labeled/bee/1.png", "labeled/.net/1.png", "labeled/.x")
    put(tmp_path, "test/ant/1.png", "test/.net/1.png", "unlabeled/1.png")
    listed = class_folders.find(str(tmp_path))
    assert listed.class_names == ("ant", "bee")
    assert listed.ignored == {
        "folders of labeled that begin with a dot (.net)": 1,
        "folders of test that begin with a dot (.net)": 1,
    }


def test_classes_are_the_same_in_every_form_of_unicode(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    put(tmp_path, f"labeled/{composed}/1.png", "labeled/tea/1.png", f"test/{apart}/1.png")
    listed = class_folders.find(str(tmp_path))
    assert listed.class_names == (composed, "tea")
    assert listed.parts["test"] == [(f"test/{apart}/1.png", 0)]
    put(tmp_path, f"labeled/{apart}/1.png")
    with pytest.raises(ConfigError, match=f"labeled has two folders for class {composed}, in two"):
        class_folders.find(str(tmp_path))


def test_classes_must_be_utf_8_and_images_need_not(tmp_path):
    put(tmp_path, "labeled/ant/1.png", "labeled/bee/1.png")
    odd = os.fsdecode(b"\xff.png")
    put(tmp_path, f"labeled/ant/{odd}")
    listed = class_folders.find(str(tmp_path))
    assert listed.parts["labeled"][1] == (f"labeled/ant/{odd}", 0)
    assert listed.readable(skip_broken=False)[1] == ""
    put(tmp_path, os.fsdecode(b"labeled/\xff/1.png"))
    with pytest.raises(ConfigError, match=r"must have names in UTF-8.*received '\\udcff'"):
        class_folders.find(str(tmp_path))


def test_a_class_without_an_image_says_what_it_holds(tmp_path):
    put(tmp_path, "labeled/ant/1.png", "labeled/bee/1.tif", "labeled/bee/2.TIF")
    with pytest.raises(ConfigError, match=r"without an image: bee \(2 ending in \.tif\)\."):
        class_folders.find(str(tmp_path))


def test_a_part_without_a_readable_image_is_none(tmp_path):
    put(tmp_path, "labeled/ant/1.png", "labeled/bee/1.png", "labeled/bee/2.png")
    put(tmp_path, "test/ant/1.png", "labeled/bee/1.png", content=b"")
    (tmp_path / "validation").mkdir()
    readable, left_out = class_folders.find(str(tmp_path)).readable(skip_broken=True)
    assert readable.parts == {"labeled": [("labeled/ant/1.png", 0), ("labeled/bee/2.png", 1)]}
    assert left_out.startswith("2 of 4 files: ")


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_those_of_files_that_are_images(tmp_path, channels):
    put(tmp_path, "a.png", content=b"no image")
    (tmp_path / "b.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(tmp_path / "c.png")
    put(tmp_path, "d.png", content=tf.io.encode_png(np.zeros([2, 2, channels], np.uint8)).numpy())
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png", "d.png")]
    assert files.channels_of(paths) == channels
