"""A pool from its predictions to a student of the selection, by the command line."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest

from mpl_tf import config, data, predict, select, train
from mpl_tf.data import splits
from mpl_tf.options import ConfigError
from mpl_tf.runs import experiment
from mpl_tf.runs import selected as selected_images
from mpl_tf.serving import saved_model

SIDE, TEST, COPIES = 12, 4, 2
CLASSES = ("red", "green", "blue")  # a folder has them in another order


@pytest.fixture(scope="module")
def world(tmp_path_factory, write_colored_images):
    """A folder with copies of test and validation images in the pool, and a model of colours."""
    path = tmp_path_factory.mktemp("pools")
    images = write_colored_images(
        path / "images", 60, 150, labeled=3, unlabeled=9, validation=COPIES, test=TEST
    )
    for part in ("validation", "test"):
        for name in CLASSES:
            for number in range(COPIES):
                copy = images / "unlabeled" / name / f"{part}_{number}.png"
                shutil.copy(images / part / name / f"{number}.png", copy)
    pixels = keras.Input((SIDE, SIDE, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 50)(pixels))
    network = keras.Model(pixels, keras.layers.Dense(3, name="logits")(mean))
    network.get_layer("logits").set_weights([np.eye(3), np.zeros(3)])
    saved_model.export(network, path / "model", CLASSES)
    return path


@pytest.fixture(scope="module")
def selected(world):
    """The same folder after predict and select."""
    dataset = f"--dataset=folder:{world / 'images'}"
    stored = f"--to={world / 'predictions'}"
    assert predict.main([f"--model={world / 'model'}", dataset, stored, "--batch=7"]) == 0
    flags = ["--per_class=8", "--candidates=2", f"--to={world / 'selection'}"]
    assert select.main([f"--predictions={world / 'predictions'}", *flags]) == 0
    return world


def rows(world):
    with open(world / "selection" / "selection.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_surest_of_each_class_are_listed_and_drawn(selected):
    listed = rows(selected)
    assert [row["class"] for row in listed] == [name for name in CLASSES for _ in range(8)]
    for row in listed:
        assert row["file"].split("/")[1] == row["class"]
        assert float(row["confidence"]) > 0.5
    sheets = sorted(path.name for path in (selected / "selection" / "sheets").iterdir())
    assert sheets == ["00000_red.png", "00001_green.png", "00002_blue.png"]


def test_no_image_of_validation_or_test_is_listed(selected):
    held_out = json.loads((selected / "selection" / "about.json").read_text())["left_out"]
    assert held_out == 2 * COPIES * len(CLASSES)
    listed = {row["file"].rpartition("/")[2] for row in rows(selected)}
    assert len(listed) > 8 and not [name for name in listed if name.startswith(("val", "test"))]
    source = data.folder(selected / "images", image_size=SIDE)
    digests = {f"{digest:016x}" for digest in source.test.contents().digests.tolist()}
    assert digests and not digests & {row["content"] for row in rows(selected)}


def training(world, *flags, method="supervised"):
    return [
        f"--dataset=folder:{world / 'images'}",
        f"--method={method}",
        "--network=small",
        f"--image_size={SIDE}",
        f"--select={world / 'selection'}",
        "--labeled_batch=6",
        "--finetune_batch=9",
        *flags,
    ]


def made(world, **changes):
    """The experiment of a run on the selection."""
    settings = {
        "dataset": f"folder:{world / 'images'}",
        "method": "supervised",
        "network": "small",
        "image_size": SIDE,
        "select": str(world / "selection"),
        "labeled_batch": 6,
        "finetune_batch": 9,
        "steps": 8,
        "weak": "none",
        "flip": False,
    } | changes
    found = data.find(settings["dataset"])
    chosen = config.make(settings, found)
    split = experiment.make_split(chosen, found.load(chosen.data))
    return experiment.build(chosen, split, str(world / "run"))


def test_training_learns_the_selection_and_finetuning_the_labels(selected):
    run = made(selected)
    split = run.split
    assert split.class_names == ("blue", "green", "red")
    listed = rows(selected)
    assert run.selected.labels.tolist() == [split.class_names.index(row["class"]) for row in listed]
    known = {image.tobytes(): k for k, image in enumerate(run.selected.images)}
    drawn = iter(run.batches("train", 0))
    seen = set()
    for _ in range(len(listed) // 6):
        batch = next(drawn)
        for image, label in zip(batch["labeled"].numpy(), batch["label"].numpy(), strict=True):
            assert label == run.selected.labels[known[image.tobytes()]]
            seen.add(known[image.tobytes()])
    assert len(seen) == len(listed)  # once an epoch
    labels = next(iter(run.batches("finetune", 0)))["label"].numpy()
    assert sorted(labels) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_images_that_a_run_holds_back_are_left_out_of_its_training(selected):
    names = [row["file"] for row in rows(selected)]
    source = data.folder(selected / "images", image_size=SIDE)
    split = splits.split(source, 0, 0, 0)
    assert made(selected).selected.size == len(names)
    labeled = [name for name in names if name.startswith("labeled/")]
    assert labeled
    held_back = split.labeled.take(np.flatnonzero(np.isin(split.labeled.ids, labeled)))
    settings = made(selected).config
    split = splits.Split(
        split.labeled, split.unlabeled, held_back, split.test, split.class_names, source
    )
    assert selected_images.load(settings, split).size == len(names) - len(labeled)


def test_a_run_on_a_selection_finishes_and_refuses_to_go_on_with_another(
    selected, tmp_path, capsys, no_pictures
):
    run = training(selected, "--steps=8", "--finetune_steps=2", f"--workdir={tmp_path / 'run'}")
    assert train.main(run) == 0
    assert "Selection: 24 pairs of image and class, 8 to 8 a class" in capsys.readouterr().out
    (tmp_path / "run" / "results.json").unlink()
    listed = selected / "selection" / "selection.csv"
    content = listed.read_text()
    listed.write_text("\n".join(content.splitlines()[:-1]) + "\n")
    try:
        assert train.main(run) == 2
    finally:
        listed.write_text(content)
    assert "selection: 1 replaced (selection.csv)" in capsys.readouterr().err


def test_classes_without_images_are_named(world, selected, tmp_path, capsys, caplog):
    """A student that never sees a class is no surprise afterwards."""
    chosen = selected / "selection" / "selection.csv"
    content = chosen.read_text()
    lines = [line for line in content.splitlines() if not line.startswith("green")]
    chosen.write_text("\n".join(lines) + "\n")
    try:
        made(selected)
    finally:
        chosen.write_text(content)
    assert "nothing is chosen for 1 of 3 classes: green. Only the labels" in caplog.text
    made(selected)
    assert caplog.text.count("nothing is chosen") == 1
    blind = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten()])
    blind.add(keras.layers.Dense(3, name="logits", kernel_initializer="zeros"))
    blind.get_layer("logits").bias.assign([0.0, 0.0, 9.0])
    saved_model.export(blind, tmp_path / "blind", CLASSES)
    stored = tmp_path / "predictions"
    dataset = f"--dataset=folder:{world / 'images'}"
    assert predict.main([f"--model={tmp_path / 'blind'}", dataset, f"--to={stored}"]) == 0
    capsys.readouterr()
    flags = [f"--predictions={stored}", "--per_class=4", f"--to={tmp_path / 'selection'}"]
    assert select.main([*flags, "--sheets=0"]) == 0
    assert "Nothing is chosen for 2 of 3 classes: red, green." in capsys.readouterr().out


def test_images_at_other_positions_than_the_list_names_are_refused(selected):
    """Else the column of positions, moved by a row, would train wrong labels."""
    listed = selected / "selection" / "selection.csv"
    content = listed.read_text()
    table = rows(selected)
    positions = [row["position"] for row in table]
    try:
        for moved, message in (
            (
                [*positions[1:], positions[0]],
                r"csv, line 2: the image at position .*; so",
            ),
            ([*positions[:-1], "999"], r"line 25: its position is none of the \d+ images"),
        ):
            with open(listed, "w", newline="") as file:
                writer = csv.DictWriter(file, table[0])
                writer.writeheader()
                for row, position in zip(table, moved, strict=True):
                    writer.writerow(row | {"position": position})
            with pytest.raises(ConfigError, match=message):
                made(selected)
    finally:
        listed.write_text(content)


@pytest.mark.parametrize(
    ("flags", "method", "message"),
    [
        ([], "fixmatch", "select gives training labels that a model has chosen already"),
        (["--labeled_batch=25", "--finetune_batch=9"], "supervised", "at most"),
        (["--workdir={world}"], "supervised", "select is in the run folder"),
    ],
)
def test_what_a_selection_is_not_for_is_refused(selected, tmp_path, capsys, flags, method, message):
    flags = [flag.format(world=selected) for flag in flags]
    run = training(selected, f"--workdir={tmp_path}", "--steps=8", *flags, method=method)
    assert train.main(run) == 2
    assert message in capsys.readouterr().err


def test_other_images_than_those_that_were_classified_are_refused(selected, tmp_path, capsys):
    other = tmp_path / "images"
    shutil.copytree(selected / "images", other)
    (other / "unlabeled" / "red" / "0.png").unlink()
    flags = [f"--predictions={selected / 'predictions'}", f"--dataset=folder:{other}"]
    assert select.main([*flags, f"--to={tmp_path / 'selection'}"]) == 2
    assert "holds predictions of other images" in capsys.readouterr().err
    stored = [f"--model={selected / 'model'}", f"--to={selected / 'predictions'}"]
    assert predict.main([*stored, f"--dataset=folder:{other}"]) == 2
    assert "Choose another folder" in capsys.readouterr().err
    run = training(
        selected, f"--dataset=folder:{other}", "--steps=8", f"--workdir={tmp_path / 'r'}"
    )
    assert train.main(run) == 2
    assert "was made of other images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (predict, ["--dataset=digits"], "--dataset needs --to"),
        (predict, ["--to=x", "picture.png"], "--to has an effect with --dataset alone"),
        (predict, ["--dataset=digits", "--to=x", "--top=3"], "--top has an effect with files"),
        (predict, ["--dataset=digits", "--to=x", "y.png"], "received --dataset and 'y.png'"),
        (select, ["--to=x"], "--predictions must be a folder"),
        (select, ["--predictions=nowhere", "--to=x"], "has no stored predictions"),
        (select, ["--predictions={predictions}", "--to={images}"], "something else than a sel"),
        (select, ["--predictions={predictions}", "--to={images}/test/x"], "lies in the images"),
        (select, ["--predictions={predictions}", "--to=x", "--candidates=9"], "at most the 3"),
    ],
)
def test_misuse_is_refused(selected, tmp_path, monkeypatch, capsys, command, flags, message):
    monkeypatch.chdir(tmp_path)
    flags = [
        flag.format(predictions=selected / "predictions", images=selected / "images")
        for flag in flags
    ]
    model = [f"--model={selected / 'model'}"] if command is predict else []
    assert command.main([*model, *flags]) == 2
    assert message in capsys.readouterr().err
