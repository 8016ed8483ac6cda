"""tools/preparing/tfrecord.py: a folder of images becomes TFRecord files."""

import argparse
import concurrent.futures
import io
import itertools
import os
import shlex
import shutil

import numpy as np
import PIL.Image
import pytest

from mpl_tf.data.sources import tfrecord, tfrecord_format, tfrecord_info, tfrecord_store
from mpl_tf.images import decode, example, header
from mpl_tf.options import ConfigError


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("preparing.tfrecord")


@pytest.fixture
def convert(tool, tmp_path, monkeypatch):
    """convert(*options): runs the command on the folder `images`; returns the folder it wrote."""
    monkeypatch.setattr(tool.console, "start", lambda argv: None)  # TensorFlow is imported already

    def run(*options, to="out"):
        parser = argparse.ArgumentParser()
        tool.define(parser)
        arguments = [str(tmp_path / "images"), f"--to={tmp_path / to}", *options]
        assert tool.run(parser.parse_args(arguments)) == 0
        return tmp_path / to

    return run


def save(path, seed, height=12, width=10):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path):
    """Two classes, 40 unlabeled images in nested folders, validation and test."""
    root = tmp_path / "images"
    for i, ending in enumerate(["png", "jpg", "gif"]):
        save(root / "labeled" / "dog" / f"{i}.{ending}", i)
        save(root / "labeled" / "cat" / f"{i}.{ending}", 10 + i)
    for i in range(40):
        save(root / "unlabeled" / f"{i % 3}" / "deep" / f"{i:02}.png", 100 + i)
    save(root / "validation" / "dog" / "a.bmp", 20)
    save(root / "test" / "cat" / "a.JPEG", 21)
    return root


def test_the_command_it_ends_with_is_one_for_a_shell(convert, images, capsys):
    out = convert(to="my shards")
    command = capsys.readouterr().out.splitlines()[-1].partition("Train on it: ")[2]
    assert shlex.split(command) == ["python", "-m", "mpl_tf.train", f"--dataset=tfrecord:{out}"]


def contents(root, pattern):
    return [path.read_bytes() for path in sorted(root.glob(pattern))]


def pool(parts, count=40):
    """The encoded images of the first `count` draws of the pool."""
    data = parts.unlabeled.batches(1, 0, 0)
    return [image[0] for image, *_ in itertools.islice(data.as_numpy_iterator(), count)]


def stored(store):
    return [example.image(record).numpy() for record in store.read(range(len(store)))]


def test_every_image_is_stored_as_it_is_with_its_class(images, convert, capsys):
    parts = tfrecord.open_pattern(str(convert()))
    assert parts.class_names == ("cat", "dog")
    assert stored(parts.labeled) == contents(images, "labeled/*/*")
    assert list(parts.labeled.labels) == [0, 0, 0, 1, 1, 1]
    assert stored(parts.validation) == contents(images, "validation/*/*")
    assert list(parts.validation.labels) == [1]
    assert stored(parts.test) == contents(images, "test/*/*")
    assert list(parts.test.labels) == [0]
    assert sorted(pool(parts)) == sorted(contents(images, "unlabeled/**/*.png"))
    output = capsys.readouterr().out
    assert "unlabeled: 40 images, 0.0 MiB, files: 1" in output
    assert "--dataset=tfrecord:" in output


def test_info_agrees_with_the_files(images, convert, monkeypatch):
    out = convert()
    _, shards = tfrecord_info.read(str(out))
    assert sorted(shards) == sorted(map(str, out.glob("*.tfrecord")))
    for path, shard in shards.items():
        offsets, _ = tfrecord_format.scan(path)
        np.testing.assert_array_equal(shard.offsets, offsets[:: shard.records_per_chunk])
        assert shard.size == os.path.getsize(path)
        assert (shard.records_per_chunk == 1) == ("unlabeled" not in path)
    scan = tfrecord_format.scan

    def scan_chunk(path, first=0, last=None):
        return scan(path, first, last) if last else pytest.fail(f"scanned all of {path}")

    monkeypatch.setattr(tfrecord_format, "scan", scan_chunk)
    labels = list(tfrecord.open_pattern(str(out)).labeled.labels)
    (out / tfrecord_info.INFO).unlink()
    monkeypatch.undo()
    assert list(tfrecord.open_pattern(str(out)).labeled.labels) == labels


def test_unlabeled_images_are_shuffled_the_same_way_each_time(images, convert, tmp_path):
    def order(out):
        (path,) = map(str, out.glob("unlabeled-*"))
        return stored(tfrecord_store.RecordStore([path]))

    first = order(convert())
    assert first != contents(images, "unlabeled/**/*.png")
    (tmp_path / "out").rename(tmp_path / "before")
    assert order(convert()) == first


def test_large_parts_become_several_files_of_about_one_size(images, tool, tmp_path):
    listed = tool.find(str(images), skip_broken=False)
    out = tmp_path / "out"
    out.mkdir()
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        for part, of_part in listed.parts.items():
            entries = [(listed.whole_path(file), label) for file, label in of_part]
            shards = tool.write(str(out), part, entries, 4000, None, threads)
            assert sum(shard.records for shard in shards) == len(entries)
    files = sorted(out.glob("unlabeled-*"))
    assert files[0].name == f"unlabeled-00000-of-{len(files):05}.tfrecord"
    assert 2 < len(files) < 40
    sizes = [path.stat().st_size for path in files]
    assert max(sizes) < 1.5 * min(sizes)
    opened = tfrecord.open_pattern(str(out))
    assert sorted(pool(opened)) == sorted(contents(images, "unlabeled/**/*.png"))
    assert stored(opened.labeled) == contents(images, "labeled/*/*")


def test_large_images_are_shrunk_as_in_training(images, convert):
    save(images / "labeled" / "cat" / "large.png", 50, 60, 40)
    save(images / "labeled" / "cat" / "large.jpg", 51, 40, 60)
    parts = tfrecord.open_pattern(str(convert("--image_size=20")))
    encoded = {header.sniff(i): i for i in stored(parts.labeled) if decode.native(i).shape[0] == 20}
    assert encoded.keys() == {"png", "jpeg"}
    (png,), (jpeg,) = (contents(images, f"labeled/cat/large.{name}") for name in ("png", "jpg"))
    np.testing.assert_array_equal(decode.decode(encoded["png"], 20, 3), decode.decode(png, 20, 3))
    file = io.BytesIO()
    fitted = PIL.Image.fromarray(decode.decode(jpeg, 20, 3).numpy())
    fitted.save(file, "jpeg", quality=95, subsampling=0)
    np.testing.assert_array_equal(decode.native(encoded["jpeg"]), decode.native(file.getvalue()))
    small = contents(images, "labeled/dog/*")
    assert [image for image in stored(parts.labeled) if image in small] == small  # untouched


def test_broken_images_are_named_before_anything_is_written(images, convert, tmp_path):
    path = images / "unlabeled" / "0" / "deep" / "00.png"
    path.write_bytes(path.read_bytes()[:100])
    (images / "labeled" / "cat" / "3.jpg").write_bytes(b"<html>")
    with pytest.raises(ConfigError, match=r"(?s)2 of 49 .*3\.jpg is .*no JPEG.*00\.png is a trunc"):
        convert()
    assert not (tmp_path / "out").exists()


def test_broken_images_are_left_out_on_request(images, convert, capsys):
    path = images / "unlabeled" / "0" / "deep" / "00.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    parts = tfrecord.open_pattern(str(convert("--skip_broken")))
    assert len(parts.unlabeled) == 39
    assert whole[:100] not in pool(parts, 39)
    assert "Left out 1 of 48 files" in capsys.readouterr().out


def test_other_files_are_ignored_and_counted(images, convert, capsys):
    (images / "unlabeled" / "read_me.txt").write_text("?")
    (images / "labeled" / "stray.png").write_text("?")
    (images / "labeled" / "cat" / ".hidden.png").write_text("?")
    convert()
    left_out = "Left out, as no images: 1 beside the folders of classes, 1 ending in .txt, 1 hidden"
    assert left_out in capsys.readouterr().out


def test_an_interruption_leaves_no_half_a_file(images, tool, convert, tmp_path, monkeypatch):
    def interrupt(content, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "shrink", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert("--image_size=4")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(ConfigError, match="no labeled images"):
        tfrecord.open_pattern(str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda root: (root / "labeled").rename(root / "label"),
            r"has no folder labeled; .*<class>",
        ),
        (lambda root: (root / "unlabeled").rename(root / "u"), "unlabeled holds no image"),
        (
            lambda root: [p.write_bytes(b"") for p in (root / "unlabeled").rglob("*.png")],
            "unlabeled holds no readable image",
        ),
        (lambda root: shutil.rmtree(root / "labeled" / "dog"), "at least two classes; found cat"),
        (lambda root: (root / "labeled" / "eel").mkdir(), "classes without an image: eel"),
        (lambda root: save(root / "test" / "eel" / "1.png", 1), "labeled does not have: eel"),
        (
            lambda root: (root / "test" / "cat" / "a.JPEG").unlink(),
            "test has classes without an image: cat",
        ),
        (
            lambda root: [p.write_bytes(b"") for p in (root / "labeled" / "dog").iterdir()],
            "class 'dog' of .*labeled has no readable image",
        ),
    ],
)
def test_another_layout_is_refused(images, convert, tmp_path, change, message):
    change(images)
    with pytest.raises(ConfigError, match=message):
        convert("--skip_broken")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(images, convert, tmp_path):
    convert()
    with pytest.raises(ConfigError, match=r"empty or a new folder; .*out is there already"):
        convert()


@pytest.mark.parametrize("option", ["--shard_mb=0", "--image_size=-3", "--image_size=x"])
def test_sizes_must_be_positive(convert, option):
    with pytest.raises(SystemExit):
        convert(option)
