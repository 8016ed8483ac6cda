"""MixUp and CutMix: what keras_cv's layers make of images and targets."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment.mixing import mix
from mpl_tf.options import ConfigError

COUNT = 40


@pytest.fixture
def batch(rng):
    """Images uint8 [N, 12, 10, 3], and targets that tell which images went into a mixture."""
    return rng.integers(0, 256, (COUNT, 12, 10, 3)).astype(np.uint8), np.eye(
        COUNT, dtype=np.float32
    )


def parts(targets):
    """(l, partner) of every row: it is `l` of itself and `1 - l` of its partner."""
    targets = np.asarray(targets)
    own = np.diag(targets)
    return own, np.where(own == 1, np.arange(COUNT), np.argmax(targets - np.diag(own), axis=1))


def test_mixup_mixes_images_as_it_mixes_targets(batch):
    images, targets = batch
    mixed, mixed_targets = mix("mixup", images, targets)
    assert mixed.dtype == mixed_targets.dtype == tf.float32 and mixed.shape == images.shape
    np.testing.assert_allclose(np.sum(mixed_targets, 1), 1, rtol=1e-6)
    own, partner = parts(mixed_targets)
    own = own[:, None, None, None]
    np.testing.assert_allclose(mixed, own * images + (1 - own) * images[partner], atol=1e-3)
    assert len(set(partner)) > 10 and 0 < own.min() < own.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_cutmix_takes_a_rectangle(batch, channels):
    images, targets = batch
    images = images[..., :channels]
    mixed, mixed_targets = mix("cutmix", tf.constant(images), targets)
    assert mixed.dtype == mixed_targets.dtype == tf.float32 and mixed.shape == images.shape
    own, partner = parts(mixed_targets)
    exact = 0
    for i in range(COUNT):
        foreign = (np.asarray(mixed[i]) != images[i]).any(-1)
        if not foreign.any():
            continue
        rows, columns = (np.flatnonzero(foreign.any(axis)) for axis in (1, 0))
        rectangle = np.zeros_like(foreign)
        rectangle[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        expected = np.where(rectangle[..., None], images[partner[i]], images[i])
        np.testing.assert_array_equal(mixed[i], expected)
        # The area in the target is that before the border cut the rectangle.
        assert rectangle.mean() <= 1 - own[i] + 1e-6
        exact += np.isclose(rectangle.mean(), 1 - own[i])
    assert 0 < exact < COUNT


def test_alpha_sets_how_much_is_mixed(batch):
    for kind in ("mixup", "cutmix"):
        little, much = (
            np.minimum(own, 1 - own).mean()
            for own in (np.diag(mix(kind, *batch, alpha=alpha)[1]) for alpha in (0.05, 50))
        )
        assert little < 0.15 and much > 0.3


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_it_works_in_a_data_pipeline_and_draws_anew(batch, kind):
    images, targets = batch
    data = tf.data.Dataset.from_tensors((images, targets)).repeat(2)
    first, second = data.map(lambda x, y: mix(kind, x, y))
    assert first[0].shape == images.shape and not np.array_equal(first[0], second[0])
    np.testing.assert_allclose(np.sum(first[1], 1), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_global_seed_repeats_it(batch, kind):
    def drawn(seed):
        tf.random.set_seed(seed)
        data = tf.data.Dataset.from_tensors(batch).repeat(2).map(lambda x, y: mix(kind, x, y))
        return np.stack([images for images, _ in data])

    one, again, other = drawn(1), drawn(1), drawn(2)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cutout", np.zeros([2, 4, 4, 1]), np.eye(2)), "one of mixup, cutmix; received 'cutout'"),
        (("mixup", np.zeros([2, 4, 4, 1]), np.array([0, 1])), "floating and of shape"),
        (
            ("mixup", np.zeros([2, 4, 4, 1]), np.array([0.0, 1.0])),
            r"received float64 of shape \(2,\)",
        ),
        (("mixup", np.zeros([2, 4, 4, 1]), np.eye(2), 0), "greater than 0; received 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        mix(*arguments)
