"""Files that were found readable are decoded again if they have changed, and no others."""

import logging
import os

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import folder as folder_source
from mpl_tf.images import check, class_folders, files, readable
from mpl_tf.options import ConfigError

IMAGE = tf.io.encode_png(np.zeros([2, 2, 3], np.uint8)).numpy()
NAMES = ("labeled/ant/1.png", "labeled/bee/1.png", "labeled/bee/2.png", "test/ant/1.png")


@pytest.fixture
def my_images(tmp_path, monkeypatch):
    """A folder of images that were written long ago."""
    monkeypatch.setattr(readable, "_SETTLED", 0)
    for name in NAMES:
        write(tmp_path / "my_images" / name)
    return tmp_path / "my_images"


def write(path, content=IMAGE, as_before=False):
    """Writes a file; `as_before`: with the time of change that it has had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = path.stat() if as_before else None
    path.write_bytes(content)
    if times:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def checked(my_images, tmp_path, monkeypatch):
    """checked(skip_broken): what is decoded of the folder, by its names."""
    decoded, examine = [], check.examine

    def counted(path):
        decoded.append(os.path.relpath(path, my_images))
        return examine(path)

    monkeypatch.setattr(check, "examine", counted)

    def names(skip_broken=False, part=""):
        decoded.clear()
        listed = class_folders.find_part(str(my_images), part) if part else None
        listed = listed or class_folders.find(str(my_images))
        listed.readable(skip_broken, cache_dir=str(tmp_path / "cache"))
        return sorted(decoded)

    return names


def store(tmp_path):
    (path,) = (tmp_path / "cache").iterdir()
    return path


def test_unchanged_files_are_decoded_once(checked, my_images, tmp_path, messages):
    before = sorted(os.listdir(my_images))
    assert checked() == sorted(NAMES)
    messages(logging.INFO)
    assert checked() == []
    assert messages(logging.INFO) == (
        f"{my_images}: 4 of 4 files are as they were when they were found readable, which "
        f"{store(tmp_path)} says"
    )
    assert sorted(os.listdir(my_images)) == before  # nothing is written there


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write(path, IMAGE + b"\0"),
        lambda path: os.utime(path, ns=(0, 10**18)),
        lambda path: write(path, bytes(len(IMAGE)), as_before=True),
        lambda path: (path.rename(path.with_suffix(".old")), write(path)),
    ],
    ids=["size", "time", "content, by a program that sets the time back", "replaced"],
)
def test_a_changed_file_is_decoded_again(checked, my_images, change):
    checked()
    change(my_images / NAMES[2])
    assert checked(skip_broken=True) == [NAMES[2]]


@pytest.mark.parametrize("column", range(3))
def test_size_and_both_times_count(my_images, tmp_path, column):
    known, paths = readable.Readable(str(tmp_path), str(my_images)), [str(my_images / NAMES[0])]
    stamps = readable.stamps(paths)
    known.add(paths, stamps, np.array([5]))
    assert known.memory(paths, stamps) == [5]
    stamps[0, column] += 1
    assert known.memory(paths, stamps) == [-1]


def test_new_and_removed_files(checked, my_images, tmp_path):
    checked()
    write(my_images / "unlabeled" / "3.png")
    (my_images / NAMES[2]).unlink()
    assert checked() == ["unlabeled/3.png"]
    assert checked() == []
    with np.load(store(tmp_path)) as arrays:  # the removed one is forgotten
        assert len(arrays["rows"]) == len(NAMES)
    assert checked(part="test") == []
    write(my_images / NAMES[2])
    assert checked(part="test") == []
    assert checked() == [NAMES[2]]


def test_broken_files_are_decoded_each_time_and_the_others_are_kept(checked, my_images):
    write(my_images / NAMES[0], b"text")
    for decoded in (sorted(NAMES), [NAMES[0]]):
        with pytest.raises(ConfigError, match=r"1 of 4 files cannot be read .*ant/1\.png is no"):
            assert checked() == decoded
    write(my_images / NAMES[0])
    assert checked() == [NAMES[0]]


def test_what_changed_a_moment_ago_is_not_kept(checked, monkeypatch):
    monkeypatch.setattr(readable, "_SETTLED", 3600 * 10**9)
    assert checked() == checked() == sorted(NAMES)


def test_images_that_fit_no_more_are_decoded_again(checked, monkeypatch):
    checked()
    monkeypatch.setattr(check, "largest", lambda: 3)
    with pytest.raises(ConfigError, match=r"4 of 4 .* more than fit into memory here"):
        checked()


@pytest.mark.parametrize("damage", [b"", b"text", "half", "flipped", "folder"])
def test_a_damaged_store_has_all_files_decoded_again(checked, tmp_path, messages, damage):
    checked()
    path = store(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "half":
        damage = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 3] ^= 1
        damage = content
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damage)
    assert checked() == sorted(NAMES)
    assert f"{path} is damaged: " in messages(logging.WARNING)
    assert checked() == (sorted(NAMES) if damage == "folder" else [])  # which is not ours


@pytest.mark.parametrize("name", ["FORMAT", "root", "TensorFlow"])
def test_another_check_and_another_folder_have_another_store(checked, my_images, monkeypatch, name):
    checked()
    if name == "FORMAT":
        monkeypatch.setattr(readable, "FORMAT", readable.FORMAT + 1)
    elif name == "TensorFlow":
        monkeypatch.setattr(tf, "__version__", "0")
    else:
        there = my_images.parent / "others"
        my_images.rename(there)
        for file in NAMES:
            write(my_images / file)
    assert checked() == sorted(NAMES)


def test_where_nothing_can_be_written_all_goes_on(checked, tmp_path, messages):
    (tmp_path / "cache").write_text("a file")
    assert checked() == checked() == sorted(NAMES)
    assert "cannot be written: " in messages(logging.INFO)


def test_an_interrupted_check_keeps_what_it_has_done(checked, my_images, monkeypatch):
    monkeypatch.setattr(files, "_CHECKED_AT_ONCE", 1)
    examine = check.examine

    def interrupted(path):
        if path.endswith(NAMES[2]):
            raise KeyboardInterrupt
        return examine(path)

    with monkeypatch.context() as patched:
        patched.setattr(check, "examine", interrupted)
        with pytest.raises(KeyboardInterrupt):
            checked()
    assert checked() == sorted(NAMES[2:])


def test_names_that_are_no_text_are_kept(checked, my_images):
    odd = os.fsdecode(b"labeled/ant/\xff.png")
    write(my_images / odd)
    assert odd in checked()
    assert checked() == []


def test_a_dataset_from_python_keeps_its_check_where_it_is_told(my_images, tmp_path):
    folder_source.load(str(my_images), DataConfig())
    assert not (tmp_path / "cache").exists()
    folder_source.load(str(my_images), DataConfig(cache_dir=str(tmp_path / "cache")))
    assert store(tmp_path).name.startswith("readable-")
