"""A run goes on with the images that it was started with, wherever they lie, and with no others."""

import json
import logging
import os
import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest

from mpl_tf import config
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images import example
from mpl_tf.options import ConfigError
from mpl_tf.runs import training

SMALL = {
    "method": "uda",
    "network": "mlp",
    "image_size": 8,
    "labeled_batch": 4,
    "unlabeled_ratio": 2,
    "num_validation": 4,
    "steps": 6,
}


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """In place of training."""


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def stop(experiment):
        raise Stopped

    monkeypatch.setattr(training.phases, "fit", stop)
    monkeypatch.setattr(training.views_grid, "draw", lambda path, experiment: None)
    monkeypatch.setattr(training.metrics_log, "show_setup", lambda *arguments: None)


def save(path, number):
    """A BMP image, whose files are all of one size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path):
    folder, number = tmp_path / "images", 0
    for part, count in {"labeled/ant": 6, "labeled/bee": 6, "unlabeled": 9, "test/bee": 3}.items():
        for index in range(count):
            save(folder / part / f"{index}.bmp", number := number + 1)
    return folder


def start(images, run, overwrite=False, **settings):
    dataset = str(images) if ":" in str(images) else f"folder:{images}"
    made = config.make(SMALL | {"dataset": dataset} | settings)
    with pytest.raises(Stopped):
        training.train_and_evaluate(made, str(run), overwrite)


def config_of(run):
    return json.loads((run / "config.json").read_text())


def test_what_is_not_set_follows_from_the_images_that_are_readable(images, tmp_path):
    (images / "labeled" / "ant" / "broken.bmp").write_bytes(b"")
    explicit = {**SMALL, "dataset": f"folder:{images}", "skip_broken": True}
    explicit |= {"num_validation": 0, "unlabeled_ratio": 1}
    del explicit["labeled_batch"]
    run = tmp_path / "run"

    def begin():
        made = config.make(explicit)
        assert made.run.labeled_batch == made.optimizer.finetune_batch == 13
        with pytest.raises(Stopped):
            training.train_and_evaluate(made, str(run), explicit=explicit)

    for _ in range(2):  # the second one continues
        begin()
        sizes = config_of(run)
        assert sizes["labeled_batch"] == sizes["finetune_batch"] == 12
    (run / "results.json").write_text("{}")
    explicit["labeled_batch"] = 13
    with pytest.raises(ConfigError, match="labeled_batch is 12 there and 13 here"):
        begin()
    with pytest.raises(ConfigError, match="labeled_batch must be at most num_labeled=12"):
        training.train_and_evaluate(
            config.make(explicit), str(tmp_path / "other"), explicit=explicit
        )


def contents(folder):
    return {path: path.read_bytes() for path in pathlib.Path(folder).rglob("*") if path.is_file()}


def assert_refused(images, run, message, **settings):
    before = contents(run)
    with pytest.raises(ConfigError, match=message) as refusal:
        start(images, run, **settings)
    assert contents(run) == before
    return str(refusal.value)


def test_nothing_is_written_among_the_images(images, tmp_path):
    before = contents(images)
    for path, name in [("unlabeled/run", "workdir"), ("test/run", "workdir")]:
        with pytest.raises(ConfigError, match=f"{name} .*{path} lies in the images"):
            start(images, images / path)
    with pytest.raises(ConfigError, match=r"cache_dir .*labeled lies in the images"):
        start(images, tmp_path / "run", cache_dir=str(images / "labeled"))
    assert contents(images) == before and not (tmp_path / "run").exists()


CHANGES = {
    "added": (
        lambda images: save(images / "unlabeled" / "new.bmp", 99),
        r"unlabeled: 1 added \(unlabeled/new.bmp\)\. Restore them, and the same",
    ),
    "removed": (
        lambda images: [os.remove(images / "unlabeled" / f"{i}.bmp") for i in range(4)],
        r"unlabeled: 4 removed \(unlabeled/0.bmp, unlabeled/1.bmp, unlabeled/2.bmp, \.\.\.\)",
    ),
    "replaced": (
        lambda images: save(images / "labeled" / "ant" / "3.bmp", 99),
        r"train: 1 replaced \(labeled/ant/3.bmp\)\.",
    ),
    "renamed": (
        lambda images: os.rename(images / "test/bee/1.bmp", images / "test/bee/9.bmp"),
        r"test: 1 removed \(test/bee/1.bmp\), 1 added \(test/bee/9.bmp\)",
    ),
    "exchanged": (
        lambda images: (save(images / "test/bee/0.bmp", 23), save(images / "test/bee/1.bmp", 22)),
        r"test: 2 replaced \(test/bee/0.bmp, test/bee/1.bmp\)",
    ),
    "class renamed": (
        lambda images: [
            os.rename(images / part / "bee", images / part / "wasp") for part in ("labeled", "test")
        ],
        r"train: 6 removed .*, 6 added \(labeled/wasp/0.bmp, .*; test: 3 removed",
    ),
    "part removed": (lambda images: shutil.rmtree(images / "test"), "test: 3 removed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_whose_images_changed_is_refused_and_kept(change, images, tmp_path):
    alter, message = CHANGES[change]
    start(images, tmp_path / "run")
    alter(images)
    assert_refused(images, tmp_path / "run", message)
    start(images, tmp_path / "run", overwrite=True)
    start(images, tmp_path / "run")


def test_images_that_moved_are_accepted_and_the_run_says_where_they_are(images, tmp_path):
    start(images, tmp_path / "run")
    split_path = tmp_path / "run" / "split.json"
    split_path.write_text(json.dumps(json.loads(split_path.read_text())))  # on one line
    split = split_path.read_bytes()
    moved = tmp_path / "elsewhere" / "pictures"
    shutil.move(images, moved)
    start(moved, tmp_path / "run")
    assert split_path.read_bytes() == split
    assert json.loads((tmp_path / "run/config.json").read_text())["dataset"] == f"folder:{moved}"
    assert f"--dataset=folder:{moved}" in (tmp_path / "run/run.flags").read_text().splitlines()


def test_another_folder_is_not_the_same_folder_moved(images, tmp_path):
    start(images, tmp_path / "run")
    other = tmp_path / "other"
    shutil.copytree(images, other)
    save(other / "unlabeled" / "0.bmp", 99)
    assert_refused(other, tmp_path / "run", r"unlabeled: 1 replaced \(unlabeled/0.bmp\)")


def test_a_finished_run_says_that_its_images_changed(images, tmp_path, monkeypatch, messages):
    start(images, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_text("{}")
    monkeypatch.setattr(training, "report_finished", lambda path: path)
    made = config.make(SMALL | {"dataset": f"folder:{images}"})

    def report():
        assert training.train_and_evaluate(made, str(tmp_path / "run")) == str(tmp_path / "run")
        return messages(logging.WARNING)

    messages(logging.WARNING)
    assert not report()
    save(images / "unlabeled" / "0.bmp", 99)
    assert "not those that this run was trained on: unlabeled: 1 replaced (unl" in report()
    (images / "test" / "bee" / "0.bmp").write_text("no image")
    assert "is not known: " in report()
    (tmp_path / "run" / "images.npz").unlink()
    assert not report()


def test_a_finished_run_knows_its_images_elsewhere_and_refuses_others(
    images, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    start(images, run, cache_dir=str(tmp_path / "here"))
    (run / "results.json").write_text("{}")
    monkeypatch.setattr(training, "report_finished", lambda path: path)
    moved = tmp_path / "moved"
    shutil.copytree(images, moved)
    made = config.make(SMALL | {"dataset": f"folder:{moved}", "cache_dir": str(tmp_path)})
    assert training.train_and_evaluate(made, str(run)) == str(run)
    save(moved / "unlabeled" / "0.bmp", 99)
    assert_refused(moved, run, "dataset is folder:.*images there and folder:.*moved here")
    (run / "images.npz").unlink()  # as of a run whose images nobody has written down
    assert_refused(moved, run, "dataset is folder:.*images there and folder:.*moved here")


@pytest.mark.parametrize("spelling", ["images/", "./images", "x/..//images", "~/images"])
def test_a_folder_has_many_spellings(images, tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x").mkdir()
    start("folder:images", tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_bytes()
    start(f"folder:{spelling}", tmp_path / "run")
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_what_follows_from_the_number_of_images_is_explained(images, tmp_path):
    settings = {"labeled_batch": 4}
    start(images, tmp_path / "run", **settings)
    assert_refused(
        images,
        tmp_path / "run",
        "labeled_batch is 4 there and 2 here. Where they were not set, they follow from the number",
        labeled_batch=2,
    )


def test_the_split_of_a_run_stays_as_it_is(images, tmp_path):
    start(images, tmp_path / "run")
    path = tmp_path / "run" / "split.json"
    split = json.loads(path.read_text())
    split["validation"][0], split["labeled"][0] = split["labeled"][0], split["validation"][0]
    path.write_text(json.dumps(split))
    assert_refused(
        images,
        tmp_path / "run",
        r"other labeled images than split\.json names; other validation images than split\.json",
    )


def test_a_run_that_does_not_know_its_images_is_compared_by_its_split(images, tmp_path, messages):
    start(images, tmp_path / "run")
    (tmp_path / "run" / "images.npz").unlink()
    (tmp_path / "run" / "checkpoints").mkdir()
    save(images / "unlabeled" / "new.bmp", 99)
    assert_refused(images, tmp_path / "run", r"num_unlabeled of split\.json 17 there and 18 here")
    assert "has no images.npz: whether the images are those" in messages(logging.WARNING)


def test_a_damaged_record_of_images_is_named(images, tmp_path):
    start(images, tmp_path / "run")
    path = tmp_path / "run" / "images.npz"
    whole = path.read_bytes()
    for damaged in (
        b"",
        b"no archive",
        whole[: len(whole) // 2],
        whole[:200] + whole[300:],
        whole.replace(b"\0", b"\1"),
    ):
        path.write_bytes(damaged)
        assert_refused(images, tmp_path / "run", r"images\.npz is damaged: .* or remove it")


def test_files_of_a_stream_are_compared(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()

    def write(part, numbers, labels):
        records = []
        for number, label in zip(numbers, labels, strict=True):
            save(tmp_path / "image.bmp", number)
            records.append(example.serialize((tmp_path / "image.bmp").read_bytes(), label))
        tfrecord_format.write(str(folder / f"{part}-00000-of-00001.tfrecord"), records)

    write("labeled", range(12), [0, 1] * 6)
    write("unlabeled", range(50, 60), [-1] * 10)
    start(f"tfrecord:{folder}", tmp_path / "run")
    start(f"tfrecord:{folder.rename(tmp_path / 'moved')}", tmp_path / "run")
    folder = tmp_path / "moved"
    write("unlabeled", [*range(50, 59), 99], [-1] * 10)
    write("labeled", range(12), [1, 0] * 6)
    assert_refused(
        f"tfrecord:{folder}",
        tmp_path / "run",
        r"train: 12 labeled differently \(0, 1, 2, \.\.\.\); "
        r"unlabeled: 1 replaced \(unlabeled-00000-of-00001.tfrecord\)",
    )


def test_training_warns_of_test_images_that_it_sees(images, tmp_path, messages):
    start(images, tmp_path / "run")
    assert "test images" not in messages(logging.WARNING)
    shutil.copy(images / "unlabeled/4.bmp", images / "test/bee/copy.bmp")
    start(images, tmp_path / "other")
    text = "1 of 4 test images are in unlabeled too (test/bee/copy.bmp = unlabeled/4.bmp): what is "
    assert text + "measured on them says too much" in messages(logging.WARNING)
