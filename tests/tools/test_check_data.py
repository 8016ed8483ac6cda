"""What tools/check_data.py says of a dataset."""

import os
import re
import shutil

import numpy as np
import PIL.Image
import pytest

from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images import example


@pytest.fixture
def check(load_tool, capsys, tmp_path):
    """check(path): (exit status, text) of the tool."""
    tool = load_tool("check_data")

    def run(path):
        status = tool.main([str(path), f"--to={tmp_path / 'means.png'}"])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def save(path, number, size=(8, 8), grey=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if grey else (*size, 3)
    pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path):
    """A folder with nothing to be repaired."""
    folder, number = tmp_path / "images", 0
    for part, count in {"labeled/ant": 6, "labeled/bee": 2, "unlabeled": 9, "test/bee": 3}.items():
        for index in range(count):
            save(folder / part / f"{index}.png", number := number + 1)
    return folder


def value(text, name):
    """What the text says of `name`, in its line of the table."""
    return re.search(rf"^  {name} +(.*)$", text, re.MULTILINE)[1]


def test_a_good_folder_is_described_and_drawn(check, images, tmp_path):
    status, text = check(images)
    assert status == 0
    assert text.startswith("8 labeled, 9 unlabeled, 3 test images, 2 classes\n")
    assert re.search(r"class +labeled +test\n +ant +6 +0\n +bee +2 +3\n", text)
    assert value(text, "sizes") == "all 8x8"
    assert value(text, "channels") == "all in colour"
    assert value(text, "formats") == "20 png"
    assert value(text, "broken") == "0"
    assert value(text, "copies") == "none"
    assert value(text, "balance").startswith(
        "from 2 labeled images (bee) to 6 (ant); --class_weight"
    )
    assert "Nothing to be repaired" in text
    drawn = np.asarray(PIL.Image.open(tmp_path / "means.png").convert("RGB"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100


def test_copies_are_found_pixel_by_pixel(check, images):
    shutil.copy(images / "unlabeled/0.png", images / "unlabeled/copy.png")
    PIL.Image.open(images / "labeled/ant/1.png").save(images / "unlabeled/ant.bmp")
    status, text = check(images)
    assert status == 0
    assert value(text, "copies") == "1 within unlabeled, 1 labeled images are in unlabeled too"
    assert value(text, "formats") == "21 png, 1 bmp"


def test_leaks_contradictions_and_broken_images_are_to_be_repaired(check, images):
    shutil.copy(images / "labeled/ant/0.png", images / "labeled/bee/ant.png")
    PIL.Image.open(images / "test/bee/2.png").save(images / "unlabeled/test.bmp")
    (images / "unlabeled/x.jpg").write_bytes((images / "unlabeled/0.png").read_bytes()[:90])
    (images / "unlabeled/notes.txt").write_text("no image")
    status, text = check(images)
    assert status == 1
    assert value(text, "broken") == "1"
    assert value(text, "left out") == "1 ending in .txt"
    repair = text[text.index("To be repaired:") :]
    assert "  unlabeled/x.jpg is a truncated or damaged PNG" in repair
    assert (
        "  1 of 3 test images are in unlabeled too (test/bee/2.png = unlabeled/test.bmp)\n"
        in repair
    )
    assert (
        "  labeled: the same image has several labels: labeled/ant/0.png (ant), "
        "labeled/bee/ant.png (bee)\n" in repair
    )


def test_a_class_without_a_readable_image_is_named(check, images):
    for path in (images / "labeled" / "bee").iterdir():
        path.write_bytes(b"")
    status, text = check(images)
    assert status == 1
    assert "  class bee has no readable labeled image\n" in text
    assert "  labeled/bee/0.png is empty\n" in text


def test_what_never_ends_is_not_read(check, images):
    os.mkfifo(images / "unlabeled" / "pipe.png")
    os.symlink("/dev/zero", images / "unlabeled" / "zero.png")
    status, text = check(images)
    assert status == 1
    assert "  unlabeled/pipe.png cannot be read: it is a pipe" in text
    assert "  unlabeled/zero.png cannot be read: it is a device" in text


def test_sizes_and_channels_that_differ_are_described(check, images):
    save(images / "unlabeled" / "wide.png", 90, size=(10, 40))
    save(images / "unlabeled" / "grey.png", 91, grey=True)
    _, text = check(images)
    assert value(text, "sizes").startswith("2, from 8x8 to 10x40 (height x width); shorter side: ")
    assert (
        value(text, "channels")
        == "1 of 22 grey, which are read as colour with three equal channels"
    )


def test_the_same_bytes_in_another_shape_are_another_image(check, images):
    for name, size in (("a", (4, 16)), ("b", (16, 4))):
        save(images / "unlabeled" / f"{name}.png", 7, size=size)
    assert value(check(images)[1], "copies") == "none"


def test_records_are_described_like_files(check, images, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    contents = {
        part: [path.read_bytes() for path in sorted(images.glob(f"{part}/**/*.png"))]
        for part in ("labeled", "unlabeled", "test")
    }
    contents["unlabeled"] += [contents["test"][0], b"no image", contents["unlabeled"][0][:60]]
    labels = {"labeled": [0] * 6 + [1] * 2, "unlabeled": [-1] * 12, "test": [1] * 3}
    for part, of_part in contents.items():
        records = map(example.serialize, of_part, labels[part])
        tfrecord_format.write(str(folder / f"{part}-0.tfrecord"), records)
    for path in (folder, folder / "*.tfrecord", f"tfrecord:{folder}"):
        status, text = check(path)
        assert status == 1
        assert text.startswith("8 labeled, 10 unlabeled, 3 test images, 2 classes\n")
        repair = text[text.index("To be repaired:") :]
        assert "  unlabeled record 10 is no " in repair
        assert "  unlabeled record 11 is a truncated or damaged PNG" in repair
        assert "test images are in unlabeled too (test record 0 = unlabeled record 9)" in repair


def test_damaged_records_are_named(check, tmp_path):
    save(tmp_path / "x.png", 1)
    content = (tmp_path / "x.png").read_bytes()
    for part, labels in {"labeled": [0, 1], "unlabeled": [-1] * 5}.items():
        records = [example.serialize(content + bytes(i), k) for i, k in enumerate(labels)]
        tfrecord_format.write(str(tmp_path / f"{part}-0.tfrecord"), records)
    path = tmp_path / "unlabeled-0.tfrecord"
    offsets, _ = tfrecord_format.scan(str(path))
    damaged = bytearray(path.read_bytes())
    damaged[offsets[3] + 40] ^= 1
    path.write_bytes(damaged)
    status, text = check(tmp_path)
    assert status == 1
    assert "  unlabeled record 3 is damaged: corrupted record at" in text
    assert text.startswith("2 labeled, 4 unlabeled images")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "no labeled images: of the 0 files that match"),
        ("folder:nowhere", "must hold labeled/<class>"),
        (".", "has no folder labeled; it must hold labeled/<class>"),
    ],
)
def test_what_training_refuses_is_refused(check, path, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, text = check(path)
    assert status == 2
    assert message in text
    assert "Traceback" not in text
