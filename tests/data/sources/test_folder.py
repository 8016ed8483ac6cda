"""A folder of image files as a dataset."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import config, data
from mpl_tf.data import stores
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import folder
from mpl_tf.options import ConfigError


def pixels(number, size=(12, 10), channels=3):
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def save(path, number, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number, **kwargs)).save(path)


@pytest.fixture
def root(tmp_path):
    for number in range(6):
        for k, name in enumerate(("ant", "bee")):
            save(tmp_path / "labeled" / name / f"{number}.png", 10 * k + number)
    for number, extension in enumerate(("png", "jpg", "bmp", "gif", "JPEG")):
        save(tmp_path / "unlabeled" / "deep" / f"x{number}" / f"u.{extension}", 50 + number)
    save(tmp_path / "test" / "bee" / "t.png", 90)
    save(tmp_path / "validation" / "ant" / "v.png", 91)
    (tmp_path / "unlabeled" / "notes.txt").write_text("no image")
    (tmp_path / "unlabeled" / ".hidden.png").write_text("no image")
    return tmp_path


def test_a_folder_is_read(root):
    source = data.folder(str(root), image_size=10)
    assert source.class_names == ("ant", "bee")
    assert len(source.train) == 12
    assert len(source.unlabeled) == 5
    assert source.train.shape == (10, 10, 3)
    assert list(np.bincount(source.train.labels)) == [6, 6]
    assert set(source.unlabeled.labels) == {-1}
    assert list(source.test.ids) == ["test/bee/t.png"]
    assert list(source.test.labels) == [1]
    assert list(source.validation.labels) == [0]
    # 12 x 10 pixels: the middle 10 x 10 remain, unchanged
    at = list(source.train.ids).index("labeled/bee/3.png")
    np.testing.assert_array_equal(source.train.images[at], pixels(13)[:, 1:11])


def test_images_that_do_not_fit_into_memory_are_read_when_wanted(root, monkeypatch):
    held = data.folder(str(root), image_size=8)
    monkeypatch.setattr(stores, "MEMORY_LIMIT", 0)
    read = data.folder(str(root), image_size=8)
    assert isinstance(held.train.store, stores.ArrayStore)
    assert isinstance(read.train.store, stores.EncodedStore)
    np.testing.assert_array_equal(held.train.images, read.train.images)
    batches = [
        next(iter(data.pair(s.train, s.unlabeled, labeled_batch=5, unlabeled_ratio=1)))
        for s in (held, read)
    ]
    for name in batches[0]:
        np.testing.assert_array_equal(batches[0][name], batches[1][name])


def test_images_that_are_gone_while_they_are_read_are_named(root, monkeypatch):
    monkeypatch.setattr(stores, "MEMORY_LIMIT", 0)
    source = data.folder(str(root), image_size=8)
    batches = source.train.store.batches(tf.data.Dataset.from_tensors([0, 1]), 2)
    gone = root / source.train.ids[1]
    gone.unlink()
    with pytest.raises(tf.errors.NotFoundError) as refusal:
        list(batches)
    assert stores.fault(refusal.value) == f"{gone}; No such file or directory"


def test_names_of_images_need_not_be_utf_8(root):
    odd = os.fsdecode(b"\xff.png")
    save(root / "labeled" / "ant" / odd, 7)
    source = data.folder(str(root), image_size=10)
    at = list(source.train.ids).index(f"labeled/ant/{odd}")
    np.testing.assert_array_equal(source.train.images[at], pixels(7)[:, 1:11])


def test_files_left_out_are_counted_by_kind(root, monkeypatch):
    lines = []
    monkeypatch.setattr(folder.log, "info", lines.append)
    (root / "labeled" / "ant" / "scan.TIFF").write_bytes(b"II*\0")
    (root / "test" / "bee" / "cut.png").write_bytes(b"")
    for name in ("val", "unlabelled", ".cache"):
        (root / name).mkdir()
    data.folder(str(root), skip_broken=True)
    assert lines[0].endswith(
        "left out, as no images: 2 folders that are no part of a dataset (unlabelled, val), "
        "1 ending in .tiff, 1 ending in .txt, 1 hidden"
    )
    assert lines[1].endswith(
        f"left out, as broken: 1 of 20 files: {root}/test/bee/cut.png is empty"
    )


@pytest.mark.parametrize(("side", "channels"), [(12, 1), (12, 3), (200, 3)])
def test_the_form_of_images_is_known_before_they_are_read(tmp_path, side, channels):
    for name in ("a", "b"):
        save(tmp_path / "labeled" / name / "1.png", 1, size=(side, side), channels=channels)
    for part in ("validation/a", "test/b", "unlabeled/any"):
        save(tmp_path / part / "2.png", 2, size=(side, side), channels=channels)
    dataset = folder.dataset(str(tmp_path))
    for image_size in (0, 9):
        options = DataConfig(image_size=image_size)
        source = dataset.load(options)
        height, _, depth = source.train.shape
        expected = height, depth, 2, 5
        assert dataset.form(options) == folder.counted(source).form(options) == expected


def test_grey_folders_stay_grey(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / "labeled" / name / "1.png", 1, channels=1)
    assert data.folder(str(tmp_path)).train.shape == (32, 32, 1)
    save(tmp_path / "labeled" / "b" / "2.png", 1)
    assert data.folder(str(tmp_path)).train.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("size", "others", "side"),
    [
        ((48, 48), (48, 48), 48),
        ((48, 48), (40, 40), 32),
        ((48, 48), (48, 40), 32),
        ((48, 40), (48, 40), 32),
        ((97, 97), (97, 97), 32),
        ((3, 3), (3, 3), 32),
    ],
)
def test_small_squares_of_one_size_are_kept(tmp_path, size, others, side):
    for name in ("a", "b"):
        save(tmp_path / "labeled" / name / "1.png", 1, size=size)
    save(tmp_path / "unlabeled" / "2.jpg", 2, size=others)
    assert data.folder(str(tmp_path)).train.shape == (side, side, 3)
    assert data.folder(str(tmp_path), image_size=10).train.shape == (10, 10, 3)
    if side == 48:
        np.testing.assert_array_equal(data.folder(str(tmp_path)).train.images[0], pixels(1, size))


def test_a_mistyped_option_of_a_folder_is_refused(root):
    with pytest.raises(ConfigError, match=r"no option image_sise; .* Did you mean image_size"):
        data.folder(str(root), image_sise=10)
    with pytest.raises(ConfigError, match="image_size must be 0, or at least 4"):
        data.folder(str(root), image_size=-3)


def test_the_command_line_takes_a_folder(root):
    made = config.make({"dataset": f"folder:{root}", "method": "supervised"})
    assert made.data.num_labeled == 0  # all
    assert made.run.labeled_batch == 12
    assert made.data.num_validation == 0  # it has its own


def test_validation_images_are_carved_out_where_there_are_none(tmp_path):
    for name, count in (("a", 25), ("b", 31)):
        for number in range(count):
            save(tmp_path / "labeled" / name / f"{number}.png", number)
    assert config.make({"dataset": f"folder:{tmp_path}"}).data.num_validation == 4


def truncated(kind):
    file = io.BytesIO()
    Image.fromarray(pixels(1, size=(40, 40))).save(file, kind)
    return file.getvalue()[: len(file.getvalue()) * 2 // 3]


@pytest.mark.parametrize(
    ("name", "content"),
    [("cut.jpg", truncated("JPEG")), ("cut.png", truncated("PNG")), ("text.png", b"no image")],
)
def test_broken_files_are_named_or_left_out(root, name, content):
    (root / "unlabeled" / name).write_bytes(content)
    message = f"1 of 20 files cannot be read as images .*{name}.*--skip_broken"
    with pytest.raises(ConfigError, match=message):
        data.folder(str(root))
    source = data.folder(str(root), skip_broken=True)
    assert source.skipped == 1
    assert len(source.unlabeled) == 5


def test_a_class_must_keep_an_image(tmp_path):
    save(tmp_path / "labeled" / "a" / "1.png", 1)
    (tmp_path / "labeled" / "b").mkdir()
    (tmp_path / "labeled" / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"class 'b' .* has no readable image"):
        data.folder(str(tmp_path), skip_broken=True)


def test_missing_and_foreign_parts_are_refused(root, tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere is no folder; .*must hold labeled/<class>"):
        data.folder(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty has no folder labeled; it must hold labeled/<c"):
        data.folder(str(tmp_path / "empty"))
    (root / "labeled" / "cat").mkdir()
    with pytest.raises(ConfigError, match="classes without an image: cat"):
        data.folder(str(root))
    (root / "labeled" / "cat").rmdir()
    save(root / "test" / "dog" / "t.png", 1)
    with pytest.raises(ConfigError, match="test has classes that labeled does not have: dog"):
        data.folder(str(root))


def test_one_class_is_not_enough(tmp_path):
    save(tmp_path / "labeled" / "a" / "1.png", 1)
    with pytest.raises(ConfigError, match="at least two classes; found a"):
        folder.dataset(str(tmp_path))


def test_a_folder_without_unlabeled_images_is_for_supervised_learning_alone(tmp_path):
    for name in ("a", "b"):
        for number in range(4):
            save(tmp_path / "labeled" / name / f"{number}.png", number)
    for method, refused in (("supervised", False), ("mpl", True)):
        made = config.make({"dataset": f"folder:{tmp_path}", "method": method})
        source = data.find(made.run.dataset).load(made.data)
        if refused:
            with pytest.raises(ConfigError, match="has no unlabeled image: all 8 are labeled"):
                config.check_data(made, source)
        else:
            config.check_data(made, source)
