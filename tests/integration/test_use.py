"""A trained run in use: export, predict and evaluate from the command line."""

import csv
import dataclasses
import io
import json
import os
import shutil

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import evaluate, export, predict, train
from mpl_tf.data import dataset
from mpl_tf.evaluation import subject as subjects
from mpl_tf.runs import choosing, restore
from mpl_tf.serving import saved_model


@pytest.fixture(scope="module")
def test_images():
    return mpl_tf.DATASETS["digits"].load().test


@pytest.fixture
def no_data(monkeypatch):
    """The data is gone."""

    def fail(*_):
        raise AssertionError("the data was loaded")

    monkeypatch.setattr(dataset.Dataset, "__getattribute__", fail)


def answers(path, images):
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    return serve(images=tf.constant(images))["probabilities"].numpy()


def test_export_restores_every_network_without_the_data(
    finished, test_images, no_data, tmp_path, capsys, smoke
):
    for version, which in enumerate(("finetuned", "ema", "student", "teacher"), 1):
        flags = [f"--workdir={finished}", f"--to={tmp_path}", f"--which={which}"]
        assert export.main(flags) == 0
        path = tmp_path / str(version)
        assert str(path) in capsys.readouterr().out
        assert saved_model.read_asset(str(path), saved_model.ABOUT)["network"] == which
        right = answers(path, test_images.images).argmax(axis=1) == test_images.labels
        assert np.mean(right) == pytest.approx(smoke.results(finished)["test_accuracy"][which])
    config = saved_model.read_asset(str(path), saved_model.CONFIG)
    assert config == json.loads((finished / "config.json").read_text())
    of_run, of_command = (
        answers(path, test_images.images[:5])
        for path in (finished / "export" / "1", tmp_path / "1")
    )
    np.testing.assert_array_equal(of_run, of_command)


def copy(finished, tmp_path, **changes):
    """A copy of the run with a changed config.json."""
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))
    return path


def test_an_unfinished_run_gives_all_but_its_finetuned_network(finished, tmp_path, capsys):
    for changes in ({"finetune_steps": 9}, {"steps": 9}):
        path = copy(finished, tmp_path / str(*changes), **changes)
        assert export.main([f"--workdir={path}"]) == 2
        messages = capsys.readouterr().err
        assert "is not finished" in messages and "of 9" in messages
        assert os.listdir(path / "export") == ["1"]  # the run's own
        assert export.main([f"--workdir={path}", "--which=student"]) == 0
        assert sorted(os.listdir(path / "export")) == ["1", "2"]
    shutil.rmtree(path / "checkpoints")
    assert export.main([f"--workdir={path}", "--which=student"]) == 2
    assert "no checkpoint" in capsys.readouterr().err


def test_a_run_without_finetuning_delivers_its_average(finished, tmp_path):
    path = copy(finished, tmp_path, finetune_steps=0)
    assert restore.restore(restore.find(str(path)))[0] == "ema"


def test_a_run_can_deliver_what_its_validation_images_choose(
    finished, tmp_path, smoke, capsys, monkeypatch
):
    """Of a run that is there, by its own command: nothing is trained again."""
    path = copy(finished, tmp_path, deliver="best")
    os.remove(path / "results.json")
    shutil.rmtree(path / "export")
    assert export.main([f"--workdir={path}"]) == 2
    assert "what it delivers is chosen at its end" in capsys.readouterr().err
    monkeypatch.setattr(choosing, "_CANDIDATES", ("teacher",))  # whichever is the best
    flags = [f"--flagfile={path / 'run.flags'}", "--deliver=best", f"--workdir={path}"]
    assert train.main(flags) == 0
    results = smoke.results(path)
    assert results["delivered"] == "teacher"
    said = capsys.readouterr()
    assert "Delivered: teacher, right in " in said.out + said.err
    about = saved_model.read_asset(str(path / "export" / "1"), saved_model.ABOUT)
    assert about["network"] == "teacher"
    assert restore.restore(restore.find(str(path)))[0] == "teacher"
    assert restore.restore(restore.find(str(path)), "finetuned")[0] == "finetuned"
    before = smoke.results(finished)
    assert before["delivered"] == "finetuned"
    assert before["validation_accuracy"].keys() == before["test_accuracy"].keys()
    assert before["weights_digest"] == results["weights_digest"]


def test_predict_tells_what_the_export_says(finished, test_images, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "some pictures" / "deep"
    folder.mkdir(parents=True)
    for number, image in enumerate(test_images.images[:5]):
        PIL.Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no image, and not looked at")
    expected = answers(finished / "export" / "1", test_images.images[:5])
    command = [f"--model={finished}", "--batch=2"]

    assert predict.main([*command, "--top=3", str(folder.parent)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [os.path.basename(row["file"]) for row in rows] == [f"{i}.png" for i in range(5)]
    for row, probs in zip(rows, expected, strict=True):
        order = np.argsort(-probs)[:3]
        assert [entry["predicted"] for entry in row["top"]] == [str(k) for k in order]
        np.testing.assert_allclose([e["probability"] for e in row["top"]], probs[order], atol=1e-6)
        assert {k: row[k] for k in ("predicted", "probability")} == row["top"][0]

    files = [str(folder / f"{i}.png") for i in range(5)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(files[:2]) + "\n"))
    assert predict.main([*command, "--format=csv", "--top=2", "-"]) == 0
    header, *lines = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["file", "predicted", "probability", "predicted_2", "probability_2"]
    assert [line[0] for line in lines] == files[:2]
    assert float(lines[0][2]) == pytest.approx(expected[0].max(), abs=1e-6)

    assert predict.main([f"--model={finished / 'export'}", "--format=table", *files[:1]]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(files[0]) and line.startswith(str(expected[0].argmax()))


def test_predict_goes_on_past_broken_files(finished, test_images, tmp_path, capsys):
    good = tmp_path / "good.png"
    PIL.Image.fromarray(test_images.images[0][..., 0]).save(good)
    content = good.read_bytes()
    broken = {
        "cut.png": content[:60],
        "text.jpg": b"no image",
        "empty.gif": b"",
        "none.png": None,
    }
    for name, data in broken.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    (tmp_path / "hollow").mkdir()
    names = [str(tmp_path / name) for name in ("hollow", *broken)]
    assert predict.main([f"--model={finished}", *names, str(good)]) == 1
    output = capsys.readouterr()
    assert [json.loads(line)["file"] for line in output.out.splitlines()] == [str(good)]
    reasons = ("holds no file", "truncated or damaged", "is no JPEG", "is empty", "cannot be read")
    for name, reason in zip(names, reasons, strict=True):
        (line,) = [line for line in output.err.splitlines() if line.startswith(name)]
        assert reason in line
    assert "5 of 6 could not be classified" in output.err


def test_evaluate_measures_what_training_measured(finished, tmp_path, capsys, smoke):
    run = shutil.copytree(finished, tmp_path / "run")
    assert evaluate.main([f"--workdir={run}", "--which=teacher"]) == 0
    evaluation = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert evaluation["accuracy"] == pytest.approx(smoke.results(run)["test_accuracy"]["teacher"])
    assert evaluation["images"] == 500 and evaluation["network"].startswith("teacher of ")
    assert np.sum(evaluation["confusion_matrix"]) == 500
    assert (run / "evaluation" / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert f"{evaluation['calibration_error']:.4f}" in capsys.readouterr().out


@pytest.mark.usefixtures("no_pictures")
def test_run_export_and_evaluation_have_one_temperature(finished, test_images, tmp_path, smoke):
    calibration = smoke.results(finished)["calibration"]
    assert calibration["held_out"] and calibration["images"] > 0
    temperature = calibration["temperatures"]["finetuned"]
    assert temperature != 1
    about = saved_model.read_asset(str(finished / "export" / "1"), saved_model.ABOUT)
    assert about["calibration_temperature"] == temperature

    run = shutil.copytree(finished, tmp_path / "run")
    assert evaluate.main([f"--workdir={run}"]) == 0
    measured = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert (measured["calibration_temperature"], measured["held_out"]) == (temperature, True)
    for name, ours in (("", "error_after"), ("_before", "error_before")):
        expected = pytest.approx(calibration[ours]["finetuned"], abs=1e-3)
        assert measured[f"calibration_error{name}"] == expected
    subject = subjects.of_run(str(run), "finetuned")
    np.testing.assert_allclose(
        subject.classify(tf.constant(test_images.images)),
        answers(finished / "export" / "1", test_images.images),
        atol=1e-6,
    )


@pytest.mark.usefixtures("no_pictures")
def test_what_is_measured_on_the_images_of_the_fit_is_not_held_out(finished, tmp_path, capsys):
    flags = [f"--workdir={finished}", "--part=validation", f"--to={tmp_path}"]
    assert evaluate.main(flags) == 0
    assert not json.loads((tmp_path / "evaluation.json").read_text())["held_out"]
    assert "fitted on these images: its error is not held out" in capsys.readouterr().out


@pytest.fixture(scope="module")
def real_images(finished, test_images, tmp_path_factory):
    """(folder, real.json): twelve digits as a folder of classes 3 and 5, called as ImageNet's are.

    Files are in colour and twice as large; the labels allow what the export answers for the first
    four, something else for the next four, nothing for the rest.
    """
    folder = tmp_path_factory.mktemp("real")
    guesses = answers(finished / "export" / "1", test_images.images).argmax(axis=1)
    chosen = np.flatnonzero(np.isin(test_images.labels, (3, 5)))[:12]
    real = [[] for _ in range(12)]
    for number, at in enumerate(chosen):
        for part in ("test", "labeled"):
            class_folder = folder / part / str(test_images.labels[at])
            class_folder.mkdir(parents=True, exist_ok=True)
            image = PIL.Image.fromarray(test_images.images[at][..., 0]).convert("RGB")
            image.save(class_folder / f"ILSVRC2012_val_{number + 1:08d}.png")
        if number < 8:
            wrong = (guesses[at] + 1) % 10
            real[number] = [int(guesses[at]), int(wrong)] if number < 4 else [int(wrong)]
    path = folder / "real.json"
    path.write_text(json.dumps([*real, [0]]))  # of an image that is not there
    return folder, path


@pytest.mark.usefixtures("no_pictures")
def test_evaluate_an_export_on_a_folder_with_real_labels(finished, real_images, tmp_path, capsys):
    folder, real = real_images
    flags = [
        f"--model={finished / 'export'}",
        f"--dataset=folder:{folder}",
        f"--to={tmp_path}",
        f"--real_labels={real}",
    ]
    assert evaluate.main(flags) == 0
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    assert (evaluation["real_accuracy"], evaluation["real_images"]) == (0.5, 8)
    # Classes are matched by name: 3 and 5 are the folder's 0 and 1.
    assert {k for k, v in evaluation["class_accuracy"].items() if v is not None} == {"3", "5"}
    counts = np.array(evaluation["confusion_matrix"])
    assert counts[[3, 5]].sum() == counts.sum() == 12
    assert "accuracy on real labels" in capsys.readouterr().out


@pytest.mark.usefixtures("no_pictures")
def test_evaluate_without_any_real_label_writes_json(finished, real_images, tmp_path, capsys):
    (tmp_path / "real.json").write_text(json.dumps([[]] * 12))
    flags = [f"--model={finished / 'export'}", f"--dataset=folder:{real_images[0]}"]
    flags += [f"--to={tmp_path}", f"--real_labels={tmp_path / 'real.json'}"]
    assert evaluate.main(flags) == 0
    assert "NaN" not in (tmp_path / "evaluation.json").read_text()
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    assert (evaluation["real_accuracy"], evaluation["real_images"]) == (None, 0)
    assert "None of the images has a real label\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "must hold a list of lists"),
        ("[[0], 1]", "must hold a list of lists"),
        ("[[", "cannot be read"),
        ("[[0]]", "must have an entry for image 12; it has 1"),
        (json.dumps([[10]] * 12), "must be from 0 to 9; received 10"),
    ],
)
def test_wrong_real_labels_are_refused(finished, real_images, tmp_path, capsys, content, message):
    (tmp_path / "real.json").write_text(content)
    flags = [f"--model={finished / 'export'}", f"--dataset=folder:{real_images[0]}"]
    assert evaluate.main([*flags, f"--real_labels={tmp_path / 'real.json'}"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (export, ["--to=x"], "--workdir must be the folder of a run; received none"),
        (export, ["--workdir=nowhere"], "workdir nowhere must be the folder of a run"),
        (
            export,
            ["--workdir=RUN", "--which=best"],
            "which must be one of delivered, ema, finetuned, student, teacher",
        ),
        (export, ["--workdr=RUN"], "Unknown command line flag 'workdr'. Did you mean: workdir"),
        (export, ["--workdir=RUN", "--to=FILE/m"], "cannot be written"),
        (
            predict,
            ["--model=nowhere", "x.png"],
            "--model must be an export or a run; there is nothing at nowhere",
        ),
        (predict, ["x.png"], "--model must be an export"),
        (predict, ["--model=RUN", "--top=0", "x.png"], "top must be at least 1; received 0"),
        (evaluate, [], "either --workdir or --model"),
        (evaluate, ["--workdir=RUN", "--model=RUN"], "either --workdir or --model"),
        (evaluate, ["--model=RUN/export"], "--model needs --dataset"),
        (evaluate, ["--workdir=RUN", "--to=FILE/m"], "m cannot be written: "),
        (evaluate, ["--workdir=RUN", "--dataset=digit"], "dataset must be one of"),
        (evaluate, ["--workdir=RUN", "--real_labels=REAL"], "the images have '"),
    ],
)
def test_misuse_is_explained(finished, tmp_path, capsys, monkeypatch, command, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("[[0]]")
    paths = {"RUN": str(finished), "FILE": "file", "REAL": "file"}
    for name, path in paths.items():
        flags = [flag.replace(name, path) for flag in flags]
    assert command.main(flags) == 2
    messages = capsys.readouterr().err
    assert message in messages and "Traceback" not in messages
    assert os.listdir(tmp_path) == ["file"]


def test_images_of_another_size_or_class_are_refused(finished, tmp_path):
    subject = subjects.of_export(str(finished / "export"))
    with pytest.raises(mpl_tf.ConfigError, match="digits has no validation images"):
        subjects.load_images(subject, "digits", part="validation")
    larger = dataclasses.replace(subject, image_shape=(9, 9, 1))
    assert subjects.load_images(larger, "digits").shape == (9, 9, 1)
    oblong = dataclasses.replace(subject, image_shape=(8, 9, 1))
    with pytest.raises(mpl_tf.ConfigError, match="images of 8x9 pixels; those of digits have 8x8"):
        subjects.load_images(oblong, "digits")
    fewer = dataclasses.replace(subject, class_names=tuple("01234567"))
    with pytest.raises(mpl_tf.ConfigError, match=r"2 classes .* does not know: 8, 9"):
        subjects.load_images(fewer, "digits")
