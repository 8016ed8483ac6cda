"""`python -m mpl_tf.auto` from its command line."""

import json

import pytest

from mpl_tf.auto import __main__ as auto


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--dataset must say which images, such as folder:my_images"),
        (["--dataset=folder:nowhere"], "nowhere"),
        (
            ["--dataset=folder:my_images", "--minutes=0"],
            "minutes must be at most 10,000 and greater than 0",
        ),
        (["--dataset=folder:my_images", "--network=small"], "--network must be one of a backbone"),
        (["--dataset=folder:my_images", "--network=smal"], "network must be one of"),
        (
            ["--dataset=folder:my_images", "--network_weights=none.h5"],
            "network_weights must be imagenet or a file; none.h5 is no file",
        ),
        (
            ["--dataset=folder:my_images", "--network_weights=", "--workdir=my_images"],
            "my_images has no journal.json and holds something else (labeled, unlabeled)",
        ),
        (["--dataset=folder:my_images", "--minute=5"], "Did you mean: minutes"),
    ],
)
def test_bad_input_is_refused_before_any_work(image_folder, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(image_folder)
    assert auto.main(flags) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in image_folder.iterdir()] == ["my_images"]


def test_a_folder_of_files_ends_within_its_minutes(image_folder, monkeypatch, capsys):
    monkeypatch.chdir(image_folder)
    flags = ["--dataset=folder:my_images", "--image_size=32", "--minutes=1", "--label_next=3"]
    flags += ["--network=keras:MobileNetV3Small", "--network_weights="]
    assert auto.main(flags) == 0
    output = capsys.readouterr().out
    assert "logistic regression is delivered: nothing else was tried" in output
    folder = image_folder / "runs" / "auto-my_images"
    assert json.loads((folder / "journal.json").read_text())["spent"] < 60
    assert (folder / "predictions.csv").read_text().count("\nunlabeled/2026/may/") == 24
    assert (folder / "export" / "1" / "saved_model.pb").exists()
    assert auto.main(flags) == 0
    assert "logistic regression: done before" in capsys.readouterr().out
