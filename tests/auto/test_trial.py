"""Candidates answer held-out images without having seen them, as runs would."""

import dataclasses
import os

import keras
import numpy as np
import pytest

from mpl_tf.auto import recipes, trial
from mpl_tf.auto.answers import Answers
from mpl_tf.auto.recipes import Recipe
from mpl_tf.data.dataset import Source
from mpl_tf.features import fingerprint
from mpl_tf.runs import head_start, phases, repeating
from mpl_tf.runs.experiment import build

STEPS = {
    "steps": 5,
    "labeled_batch": 4,
    "unlabeled_ratio": 2,
    "student_learning_rate": 5.0,
    "finetune_steps": 0,
}
TWO_NETWORKS = {
    "teacher_learning_rate": 5.0,
    "finetune_steps": 2,
    "finetune_batch": 4,
    "finetune_learning_rate": 0.1,
}


def settings_of(material, common, method="fixmatch", train="head", **more):
    recipe = Recipe(method, method, train, {**STEPS, **more})
    pool = material.source.unlabeled.size
    return recipes.settings_of(recipe, common, material.least_labels, pool)


def answers(material, settings, tmp_path, **arguments):
    result = trial.answer(settings, material, str(tmp_path / "a"), **arguments)
    Answers(str(tmp_path), material).drop_folds("a")
    return result


@pytest.mark.parametrize(
    ("method", "train", "more"),
    [
        ("flexmatch", "head", {"threshold": 0.4}),
        ("mpl", "head", {**TWO_NETWORKS, "head_init": "probe"}),
        ("pseudo_label", "head", {"teacher_learning_rate": 5.0}),
        ("supervised", "last_1", {"head_init": "probe"}),
    ],
)
def test_each_fold_is_answered_as_by_a_run_without_it(
    images, common, tmp_path, method, train, more
):
    """One trainer serves all folds: nothing of one is left in the next."""
    settings = settings_of(images, common, method, train, **more)
    result = answers(images, settings, tmp_path)
    (last, held_out) = trial.splits_of(settings, images)[-1]
    (tmp_path / "run").mkdir()
    run = build(settings, last, str(tmp_path / "run"))
    run.prepare()
    head_start.start(run)
    phases.fit(run)
    logits = run.method.network()(run.seen(held_out).images.astype(np.float32))
    of_fold = images.folds_of_held_out() == images.trainings - 1
    np.testing.assert_array_equal(result.logits[of_fold].argmax(-1), np.argmax(logits, -1))
    np.testing.assert_allclose(result.logits[of_fold], logits, rtol=1e-5, atol=1e-5)


def test_candidates_have_the_backbone_of_the_features_and_a_head_that_knows_no_label(
    images, common, tmp_path
):
    """The network of the file has dropout, and a head that may have seen all labels."""
    layers = images.backbone.layers
    assert [x.rate for x in layers if isinstance(x, keras.layers.Dropout)] == [0.0]
    ((split, _), *_) = trial.splits_of(settings_of(images, common), images)
    run = build(settings_of(images, common), split, str(tmp_path / "run"))
    assert run.features.digest == fingerprint.of_backbone(images.backbone)
    assert not run.features.missing([("plain", images.source.train)])
    of_file = keras.models.load_model(common["network"].partition(":")[2]).layers[-1].kernel
    (kernel,) = [w for w in run.method.student.get_weights() if w.shape == of_file.shape]
    assert not np.allclose(np.corrcoef(kernel.ravel(), np.ravel(of_file))[0, 1], 1)
    features = np.linalg.norm(images.features["train"], axis=-1)
    np.testing.assert_allclose(features, 1, atol=1e-3)  # as the recipe of heads takes them


def test_what_is_answered_is_requested(images, common, tmp_path):
    """Where nothing else has cached the features of held-out images."""
    common = {**common, "cache_dir": str(tmp_path / "features")}
    settings = settings_of(images, common, "supervised")
    assert answers(images, settings, tmp_path).logits.shape == (9, 3)


def test_labels_that_are_held_out_change_nothing(images, common, tmp_path):
    settings = settings_of(images, common)
    first = answers(images, settings, tmp_path).logits
    labels, of_fold = images.source.train.labels.copy(), images.folds == 0
    labels[of_fold] = (labels[of_fold] + 1) % 3
    source = dataclasses.replace(images.source, train=images.source.train.relabel(labels))
    second = answers(dataclasses.replace(images, source=source), settings, tmp_path).logits
    np.testing.assert_array_equal(first[of_fold], second[of_fold])
    assert not np.allclose(first[~of_fold], second[~of_fold])


def test_held_out_images_are_in_no_pool(images, common):
    settings = settings_of(images, common)
    for split, held_out in trial.splits_of(settings, images):
        seen = np.concatenate([split.labeled.ids, split.unlabeled.ids])
        assert not np.intersect1d(seen, held_out.ids).size
        assert split.unlabeled.size == images.source.unlabeled.size


def test_validation_images_are_answered_by_one_network_of_all_labels(images, common, tmp_path):
    source = images.source
    with_validation = Source(
        source.train, source.class_names, source.unlabeled, validation=source.test
    )
    features = {**images.features, "validation": images.features["test"]}
    material = dataclasses.replace(images, source=with_validation, features=features)
    settings = settings_of(material, common)
    ((split, held_out),) = trial.splits_of(settings, material)
    assert split.labeled.size == source.train.size and held_out is source.test
    assert answers(material, settings, tmp_path).logits.shape == (12, 3)


def test_an_interrupted_candidate_goes_on_with_the_folds_that_are_left(
    images, common, tmp_path, monkeypatch
):
    settings = settings_of(images, common, steps=20)
    whole = trial.answer(settings, images, str(tmp_path / "a")).logits
    names = [f"a-fold-{number}.npy" for number in range(images.trainings)]
    assert sorted(os.listdir(tmp_path)) == names  # until the whole is on the disk, too
    for name in names:
        (tmp_path / name).unlink()

    told = []

    def stop(seconds):
        told.append(seconds)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers(images, settings, tmp_path, pace=stop)
    assert sorted(os.listdir(tmp_path)) == ["a-fold-0.npy", "a-fold-1.npy"]
    trained = []
    fit = repeating.fit
    monkeypatch.setattr(repeating, "fit", lambda *args: trained.append(1) or fit(*args))
    np.testing.assert_array_equal(answers(images, settings, tmp_path).logits, whole)
    assert len(trained) == images.trainings - 2
