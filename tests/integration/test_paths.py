"""Folders under names that TensorFlow, the shell or a terminal takes for something else."""

import json
import os
import shutil

import PIL.Image
import pytest

from mpl_tf import evaluate, export, predict
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images import example

# A pattern that does not match itself, of every character that means something in one.
STRANGE = r"lr=[0.1] a*b?c\d {e,f} $g 'é"


@pytest.fixture
def home(tmp_path, monkeypatch, image_folder):
    """The home folder, with `my_images` in it under that name, and so are some of its images."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    os.rename(image_folder / "my_images", tmp_path / STRANGE)
    for number, image in enumerate((tmp_path / STRANGE / "labeled" / "ant").iterdir()):
        if number < 3:
            image.rename(image.with_name(f"{number} {STRANGE}.png"))
    return tmp_path


def test_every_verb_takes_them(home, smoke, capsys):
    path, images = f"~/runs/{STRANGE}", f"folder:~/{STRANGE}"
    flags = [f"--dataset={images}", "--image_size=8"]
    assert smoke.run(path, *flags) == 0
    run = home / "runs" / STRANGE
    first = smoke.results(run)

    (run / "results.json").unlink()  # as if it was killed before its end
    assert smoke.run(path, *flags) == 0
    again = smoke.results(run)
    assert again["weights_digest"] == first["weights_digest"]
    assert again["resumed_at"] != first["resumed_at"]

    capsys.readouterr()
    assert predict.main([f"--model={path}", str(home / STRANGE / "labeled" / "ant")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 24
    assert predict.main([f"--model=~/runs/{STRANGE}/export/1", "~/x.png"]) == 1
    PIL.Image.new("RGB", (9, 9)).save(home / "x.png")
    assert predict.main([f"--model={run / 'export'}", "~/x.png"]) == 0

    assert export.main([f"--workdir={path}", f"--to=~/{STRANGE}/out", "--which=teacher"]) == 0
    assert sorted(os.listdir(home / STRANGE / "out" / "1" / "variables"))
    shutil.copytree(home / STRANGE / "labeled", home / STRANGE / "test")
    for subject in (f"--workdir={path}", f"--model=~/{STRANGE}/out"):
        to = f"--to=~/measured {STRANGE}"
        assert evaluate.main([subject, f"--dataset={images}", to]) == 0
        measured = json.loads((home / f"measured {STRANGE}" / "evaluation.json").read_text())
        assert measured["images"] == 48
    assert not list(home.glob("**/~*"))


@pytest.mark.usefixtures("no_pictures")
def test_a_folder_of_records_takes_them(home, smoke):
    image = (home / STRANGE / "labeled" / "bee" / "5.png").read_bytes()
    folder = home / f"records {STRANGE}"
    folder.mkdir()
    for part, label in (("labeled", 0), ("unlabeled", -1)):
        labels = [label + number % 2 if part == "labeled" else -1 for number in range(20)]
        examples = [example.serialize(image, label) for label in labels]
        tfrecord_format.write(str(folder / f"{part}-00000-of-00001.tfrecord"), examples)
    flags = [f"--dataset=tfrecord:~/{folder.name}", "--image_size=8", "--num_labeled=10"]
    assert smoke.run(home / "run", *flags) == 0


ADDRESS = "must be a path on this machine; received gs://bucket/x"


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (None, ["--workdir=gs://bucket/x"], f"workdir {ADDRESS}"),
        (None, ["--split_file=gs://bucket/x"], f"split_file {ADDRESS}"),
        (None, ["--data_dir=gs://bucket/x"], f"data_dir {ADDRESS}"),
        (None, ["--dataset=folder:gs://bucket/x"], f"folder {ADDRESS}"),
        (None, ["--workdir=a\udcff"], r"workdir must be a path in UTF-8; received 'a\udcff'"),
        (predict, ["--model=gs://bucket/x", "x.png"], f"model {ADDRESS}"),
        (export, ["--workdir=gs://bucket/x"], f"workdir {ADDRESS}"),
        (export, ["--workdir=x", "--to=gs://bucket/x"], f"to {ADDRESS}"),
        (evaluate, ["--model=x", "--dataset=digits", "--to=gs://bucket/x"], f"to {ADDRESS}"),
    ],
)
def test_addresses_and_other_encodings_are_refused(
    smoke, capsys, tmp_path, monkeypatch, command, flags, message
):
    monkeypatch.chdir(tmp_path)
    assert (command.main(flags) if command else smoke.run(tmp_path / "run", *flags)) == 2
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
