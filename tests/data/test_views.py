"""Views by name, and the picture of them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment import policies
from mpl_tf.augment.autoaugment import AutoAugment
from mpl_tf.augment.draws import Draws
from mpl_tf.data import views
from mpl_tf.data.options import STRONG, WEAK, DataConfig


def show(policy, images, seed=0):
    return policy(images, Draws(tf.constant([seed, 1], tf.int64), len(images))).numpy()


@pytest.fixture(scope="module")
def images():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.float32)
    return tf.cast(tf.image.resize(coarse, [16, 16]), tf.uint8)


CHOICES = [("crop", strong) for strong in STRONG]  # keras_cv is slow: once is enough
CHOICES += [(w, s) for w in WEAK[1:4] for s in STRONG if s != "keras_cv"]
CHOICES += [(weak, "none") for weak in WEAK[4:]]


@pytest.mark.parametrize(("weak", "strong"), CHOICES)
def test_every_choice_gives_views(images, weak, strong):
    made = views.make(DataConfig(weak=weak, strong=strong), 16)
    batches = {name: show(getattr(made, name), images) for name in ("weak", "strong")}
    for batch in batches.values():
        assert batch.dtype == np.uint8
        assert batch.shape == images.shape
    assert np.array_equal(batches["weak"], images) == (weak == "none")
    assert np.array_equal(batches["strong"], batches["weak"]) == (strong == "none")


@pytest.mark.parametrize(
    ("palette", "crop"),
    [("imagenet", policies.ResizedCrop(False)), ("svhn", policies.Crop(False))],
)
def test_a_weak_view_may_be_a_crop_and_then_autoaugment(images, palette, crop):
    weak = views.make(DataConfig(weak=f"autoaugment_{palette}", flip=False), 16).weak
    draws = Draws(tf.constant([0, 1], tf.int64), len(images))
    expected = AutoAugment(palette)(crop(images, draws.child(0)), draws.child(1))
    np.testing.assert_array_equal(weak(images, draws), expected)
    assert not np.array_equal(expected, crop(images, draws.child(0)))


def test_the_operations_of_keras_cv_take_grey_images(images):
    made = views.make(DataConfig(weak="none", strong="keras_cv", cutout=0.0), 16)
    grey = images[..., :1]
    view = show(made.strong, grey)
    assert (view.shape, view.dtype) == (grey.shape, np.uint8)
    assert not np.array_equal(view, grey)


def test_options_reach_the_views(images):
    def change(**options):
        made = views.make(dataclasses.replace(DataConfig(weak="none"), **options), 16)
        return np.abs(show(made.strong, images).astype(int) - images.numpy()).mean()

    assert change(cutout=0.0) < change(cutout=0.5)
    still = {"cutout": 0.0, "randaugment_layers": 1}
    assert change(**still, randaugment_magnitude=1.0) != change(**still)
    assert change(strong="autoaugment") != change(strong="autoaugment", autoaugment_policy="svhn")


def test_large_images_move_by_the_papers_imagenet_pixels():
    def reach(size):
        distort = views.make(DataConfig(), size).strong.distort
        return distort.translate, distort.cutout

    assert reach(224) == (100, 40)
    assert reach(32) == (None, None)  # an eighth of the side


@pytest.mark.parametrize(
    ("weak", "eval_image_size", "finetune_weak", "expected"),
    [
        ("resized_crop", 0, "auto", policies.ResizedCrop()),
        ("resized_crop", 20, "auto", policies.Shift(flip=True)),
        ("autoaugment_imagenet", 20, "auto", policies.Shift(flip=True)),
        ("crop", 20, "auto", policies.Crop()),
        ("crop", 0, "resized_crop", policies.ResizedCrop()),
        ("crop", 20, "none", policies.unchanged),
    ],
)
def test_finetuning_sees_whole_images_at_another_size(
    weak, eval_image_size, finetune_weak, expected
):
    options = DataConfig(
        weak=weak, eval_image_size=eval_image_size, finetune_weak=finetune_weak, flip=True
    )
    assert views.finetuning(options) == expected
