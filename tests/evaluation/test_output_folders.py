"""What is measured or exported is not written among the images."""

import pytest

from mpl_tf import config, evaluate, export
from mpl_tf.evaluation import subject
from mpl_tf.runs import restore


@pytest.fixture
def run(image_folder, monkeypatch):
    """The name of the part, in the images of a run of which nothing but the settings is there."""
    dataset = f"folder:{image_folder / 'my_images'}"
    made = restore.Run("runs/a", config.make({"dataset": dataset}), ("ant", "bee"), (8, 8, 3), 0)
    of_run = subject.Subject("a", ("ant", "bee"), (8, 8, 3), lambda images: images, made)
    monkeypatch.setattr(restore, "find", lambda path: made)
    monkeypatch.setattr(subject, "of_run", lambda path, which: of_run)
    return image_folder / "my_images" / "unlabeled" / "x"


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        (export, ["--workdir=runs/a"]),
        (evaluate, ["--workdir=runs/a"]),
        (evaluate, ["--model=runs/a", "--dataset=folder:{images}"]),
    ],
)
def test_a_folder_among_the_images_is_refused(verb, flags, run, image_folder, capsys):
    flags = [flag.format(images=image_folder / "my_images") for flag in flags]
    assert verb.main([*flags, f"--to={run}"]) == 2
    assert f"to {run} lies in the images" in capsys.readouterr().err
    assert not run.exists()
