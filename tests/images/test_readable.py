"""Files that were found readable are decoded again if they have changed, and no others."""

import logging
import os

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import console
from mpl_tf.data import stores
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import folder as folder_source
from mpl_tf.images import bulk, check, class_folders, files, readable
from mpl_tf.images.digests import digests_of
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
    decoded, confirm = [], bulk.confirm

    def counted(paths, sizes):
        decoded.extend(os.path.relpath(path, my_images) for path in paths)
        return confirm(paths, sizes)

    monkeypatch.setattr(bulk, "confirm", counted)

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
        f"{my_images}: 4 of 4 files are unchanged since they were checked ({store(tmp_path)})"
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
    digest = np.array([2**64 - 3], np.uint64)
    known.add(paths, stamps, np.array([5]), digest)
    assert known.facts(paths, stamps) == ([5], digest)
    stamps[0, column] += 1
    assert known.facts(paths, stamps)[0] == [-1]


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
    confirm = bulk.confirm

    def interrupted(paths, sizes):
        if paths[0].endswith(NAMES[2]):
            raise KeyboardInterrupt
        return confirm(paths, sizes)

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "confirm", interrupted)
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


def test_digests_are_kept_and_are_those_of_the_content(my_images, tmp_path, monkeypatch):
    write(my_images / NAMES[1], tf.io.encode_png(np.ones([3, 3, 3], np.uint8)).numpy())
    gif = b"GIF89a\x01\0\x01\0\x80\0\0" + bytes(6)  # of one pixel, which is examined apart
    write(my_images / "unlabeled" / "x.gif", gif + b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;")
    monkeypatch.setattr(stores, "MEMORY_LIMIT", 0)  # else all content is read anyway
    options = DataConfig(cache_dir=str(tmp_path / "cache"))
    expected = [digests_of([tf.io.read_file(str(path))]).numpy()[0] for path in paths(my_images)]
    assert len(set(expected)) == 3
    for _ in range(2):
        source = folder_source.load(str(my_images), options)
        held = [source.contents()[part].digests for part in ("train", "test", "unlabeled")]
        np.testing.assert_array_equal(np.concatenate(held), expected)
    monkeypatch.setattr(tf.io, "read_file", None)  # nothing reads the files anew
    folder_source.load(str(my_images), options).contents()


def paths(my_images):
    return [*(my_images / name for name in NAMES), my_images / "unlabeled" / "x.gif"]


def test_what_may_never_end_and_what_is_large_is_not_confirmed(tmp_path, monkeypatch):
    names = [tmp_path / name for name in ("a.png", "pipe.png", "absent.png", "large.png")]
    write(names[0]), write(names[3], IMAGE + bytes(200))
    os.mkfifo(names[1])
    monkeypatch.setattr(bulk, "_LARGEST_FILE", 150)
    paths = list(map(str, names))
    memory, digests = bulk.confirm(paths, readable.stamps(paths)[:, 0])
    assert memory.tolist() == [4 * check.BYTES, -1, -1, -1]
    assert (digests != 0).tolist() == [True, False, False, False]


def test_a_check_that_takes_long_says_how_far_it_is(monkeypatch, messages):
    monkeypatch.setattr(console, "_SECONDS", 0.0)
    seconds = iter(range(100))
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(seconds))
    assert list(console.paced("abcd", "checking")) == list("abcd")
    assert "checking: 2 of 4, 3 seconds left" in messages(logging.INFO)
