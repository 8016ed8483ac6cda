"""On which images of a run its networks are evaluated."""

import dataclasses

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mpl_tf import config
from mpl_tf.data.arrays import arrays
from mpl_tf.data.dataset import Source
from mpl_tf.evaluation import subject as subjects
from mpl_tf.options import ConfigError
from mpl_tf.runs import experiment, provenance, restore


@pytest.fixture
def source(rng):
    images = arrays(rng.integers(0, 256, (40, 8, 8, 1), np.uint8), np.arange(40) % 2)
    return Source(images.take(slice(30)), ("ant", "bee"), test=images.take(slice(30, 40)))


@pytest.fixture
def split_of_run(source):
    settings = {"network": "mlp", "num_labeled": 10, "num_validation": 4, "steps": 3}
    return experiment.make_split(config.make(settings | {"labeled_batch": 4}), source)


def test_answers_that_are_no_numbers_are_not_measured(source):
    def classify(images):
        bright = tf.reduce_any(images > 200, [1, 2, 3])
        return tf.where(bright[:, None], np.float32(np.nan), tf.constant([[0.5, 0.5]]))

    def measured(pixels):
        subject = subjects.Subject("the model", source.class_names, (8, 8, 1), classify, None)
        return subjects.probabilities(subject, arrays(pixels, np.zeros(3, int)), 2)

    dark = np.zeros((3, 8, 8, 1), np.uint8)
    assert measured(dark).tolist() == [[0.5, 0.5]] * 3
    dark[2, 4, 4] = 201
    with pytest.raises(ConfigError, match=r"the model gives .* for 1 of 3 images"):
        measured(dark)


def test_validation_images_of_a_run_are_those_that_it_was_not_trained_on(
    source, split_of_run, tmp_path, monkeypatch
):
    """Also when images were added since, and the seed would choose others."""
    provenance.keep_images(str(tmp_path), source.contents(), split_of_run)
    run = restore.Run(str(tmp_path), config.make({}), source.class_names, (8, 8, 1), 0)
    subject = subjects.Subject("x", run.class_names, run.image_shape, None, run)
    used = np.union1d(split_of_run.labeled.ids, split_of_run.validation.ids)
    removed = np.setdiff1d(source.train.ids, used)[0]
    changed = dataclasses.replace(
        source, train=source.train.take(np.flatnonzero(source.train.ids != removed))
    )
    warnings = []
    monkeypatch.setattr(subjects.log, "warning", warnings.append)
    for images, warned in ((source, 0), (changed, 2)):
        monkeypatch.setattr(subjects, "_load", lambda dataset, options, images=images: images)
        validation = subjects.load_images(subject, part="validation")
        np.testing.assert_array_equal(validation.ids, split_of_run.validation.ids)
        np.testing.assert_array_equal(subjects.load_images(subject).ids, source.test.ids)
        assert len(warnings) == warned
    assert warnings[0].endswith(f"was started with: train: 1 removed ({removed})")


def test_a_folder_may_hold_the_part_that_is_evaluated_alone(tmp_path, rng):
    subject = subjects.Subject("x", ("ant", "bee", "cat"), (8, 8, 3), None)
    for name, count in {"cat": 2, "bee": 1}.items():
        (tmp_path / "test" / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (9, 12, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / "test" / name / f"{number}.png")
    images = subjects.load_images(subject, f"folder:{tmp_path}")
    assert list(images.ids) == ["test/bee/0.png", "test/cat/0.png", "test/cat/1.png"]
    assert list(images.labels) == [1, 2, 2]
    with pytest.raises(ConfigError, match="has no folder validation"):
        subjects.load_images(subject, f"folder:{tmp_path}", part="validation")
    (tmp_path / "test" / "bee" / "1.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match="1 of 4 files cannot be read as images"):
        subjects.load_images(subject, f"folder:{tmp_path}")
    assert len(subjects.load_images(subject, f"folder:{tmp_path}", skip_broken=True)) == 3
    (tmp_path / "test" / "dog").mkdir()
    (tmp_path / "test" / "cat" / "0.png").rename(tmp_path / "test" / "dog" / "0.png")
    with pytest.raises(ConfigError, match="1 classes that x does not know: dog"):
        subjects.load_images(subject, f"folder:{tmp_path}", skip_broken=True)


def test_classes_are_matched_in_every_form_of_unicode(source, monkeypatch):
    composed, apart = "caf\u00e9", "cafe\u0301"
    loaded = source.test, ("tea", apart)
    monkeypatch.setattr(subjects.data, "find_part", lambda *_: lambda options: loaded)
    subject = subjects.Subject("x", (composed, "tea"), (8, 8, 1), None)
    labels = subjects.load_images(subject, "y").labels
    np.testing.assert_array_equal(labels, 1 - source.test.labels)


@pytest.mark.parametrize("folder", ["run", "run/export", "run/export/2"])
def test_an_export_is_meant_by_the_folder_that_it_lies_in(tmp_path, monkeypatch, folder):
    """That of a run, or of what auto found."""
    (tmp_path / "run" / "export" / "2").mkdir(parents=True)
    paths = []

    def load(path):
        paths.append(path)
        raise ConfigError("enough")

    monkeypatch.setattr(subjects.loading, "load", load)
    with pytest.raises(ConfigError, match="enough"):
        subjects.of_export(str(tmp_path / folder))
    expected = "run/export" if folder == "run" else folder
    assert paths == [str(tmp_path / expected)]
