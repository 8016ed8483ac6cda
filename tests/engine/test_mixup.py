"""MixUp and CutMix of a global batch."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.engine import mixup, replicas

SEED = tf.constant([3, 8], tf.int64)


def mix(sizes, alpha=0.75, seed=SEED, **options):
    """(weights of the images in each mixed image [N, N], of the targets, likewise)."""
    total = sum(sizes)
    images = tf.split(tf.reshape(tf.eye(total), [total, total, 1, 1]), sizes)
    targets = tf.split(tf.eye(total, dtype=tf.float64), sizes)
    mixed = mixup.mix(images, targets, alpha, seed, **options)
    return [np.concatenate(parts).reshape(total, total) for parts in mixed]


@pytest.mark.parametrize("keep_larger", [False, True])
def test_every_image_is_mixed_with_one_other_and_its_target_likewise(keep_larger):
    images, targets = mix([20, 12], keep_larger=keep_larger)
    np.testing.assert_allclose(images, targets, atol=1e-6)
    own = np.diag(images).copy()
    foreign = images - np.diag(own)
    partners = foreign.argmax(axis=1)
    lonely = own > 0.9999  # its own partner
    assert lonely.sum() < 4
    np.testing.assert_allclose(foreign.max(axis=1), 1 - own, atol=1e-6)
    assert len(set(partners[~lonely])) == (~lonely).sum()  # an order: no partner twice
    assert (partners[:20] >= 20).any() and (partners[20:] < 20).any()  # from all parts
    assert (own.min() >= 0.5) == keep_larger
    assert len(set(own[~lonely].round(6))) > 20


def test_one_weight_for_all():
    images, _ = mix([8, 8], one_weight=True)
    own = np.diag(images)
    assert len(set(own[own < 0.9999].round(5))) == 1


def cut(images, seed=SEED, alpha=1.0):
    """(mixed images, the weights of the images in each target [N, N]) by CutMix, as numpy."""
    targets = tf.eye(len(images), dtype=tf.float64)
    (mixed,), (target,) = mixup.cutmix([tf.constant(images)], [targets], alpha, seed)
    return mixed.numpy(), target.numpy()


@pytest.fixture
def noise(rng):
    """40 images of noise, uint8 [40, 12, 10, 3]: any two differ in every pixel, or nearly."""
    return rng.integers(0, 256, (40, 12, 10, 3)).astype(np.uint8)


def test_cutmix_takes_a_rectangle_and_its_exact_area(noise):
    mixed, targets = cut(noise)
    assert mixed.dtype == np.float32 and mixed.shape == noise.shape
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    own = np.diag(targets)
    partners = np.where(own == 1, np.arange(40), np.argmax(targets - np.diag(own), axis=1))
    whole = 0
    for image, result, partner, weight in zip(noise, mixed, partners, own, strict=True):
        foreign = (result != image).any(-1)
        rows, columns = (np.flatnonzero(foreign.any(axis)) for axis in (1, 0))
        rectangle = np.zeros_like(foreign)
        if foreign.any():
            rectangle[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        np.testing.assert_array_equal(result, np.where(rectangle[..., None], noise[partner], image))
        assert rectangle.mean() == pytest.approx(1 - weight, abs=1e-6)
        whole += rectangle.all()
    assert len(set(partners)) > 30 and whole < 10
    assert len(set(own.round(6))) > 20


def test_cutmix_cuts_rectangles_of_the_drawn_size_anywhere():
    """What the drawn numbers are: the sides' shares of an image and the rectangles' middles."""
    side, count = 64, 400
    marked = np.zeros([count, side, side, 1], np.float32) + np.arange(count)[:, None, None, None]
    mixed, targets = cut(marked)
    foreign = mixed[..., 0] != marked[..., 0]
    np.testing.assert_allclose(foreign.mean(axis=(1, 2)), 1 - np.diag(targets), atol=1e-6)
    # Rectangles that the border does not cut have the area of 1 - l, uniform for alpha = 1.
    inner = ~(foreign[:, [0, -1]].any((1, 2)) | foreign[:, :, [0, -1]].any((1, 2)))
    high, wide = foreign.any(2).sum(1), foreign.any(1).sum(1)
    np.testing.assert_array_equal(high[inner], wide[inner])
    # Half of the rectangles have a side above 0.71 before the border, and most are then cut.
    assert 0.1 < inner.mean() < 0.5
    first = foreign.any(2).argmax(1)[inner] / side
    assert first.min() < 0.2 and first.max() > 0.7
    covered = foreign.mean(axis=0)
    assert covered[side // 2, side // 2] > covered[0, 0] > 0.05  # the border, less often


def test_alpha_sets_how_much_is_mixed(noise):
    for alpha, least, most in ((0.05, 0, 0.15), (50, 0.3, 0.5)):
        own = np.diag(mix([40], alpha)[1])
        assert least <= np.minimum(own, 1 - own).mean() < most
    # CutMix: rectangles of none or all of the image, and rectangles of half of it.
    little, much = (np.diag(cut(noise, alpha=alpha)[1]) for alpha in (0.05, 50))
    assert (little == 1).mean() > 0.3 and little.min() < 0.3
    assert (much == 1).mean() < 0.1 and 0.4 < much.min() < 0.6


FUNCTIONS = {
    "mix": mixup.mix,
    "one weight": lambda *arguments: mixup.mix(*arguments, one_weight=True),
    "cutmix": mixup.cutmix,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_another_step_mixes_otherwise(name, noise):
    def mixed(seed):
        (images,), (targets,) = FUNCTIONS[name]([tf.constant(noise)], [tf.eye(40)], 0.75, seed)
        return images, np.argmax(targets - np.diag(np.diag(targets)), axis=1)

    first, again, other = (mixed(seed) for seed in (SEED, SEED, SEED + [0, 8]))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.allclose(first[0], other[0])
    assert (first[1] == other[1]).mean() < 0.5  # other partners, too


@pytest.mark.parametrize("name", FUNCTIONS)
def test_replicas_mix_what_one_would_mix_alone(name, noise, monkeypatch):
    """Each replica has half of every part, and receives the rows of both."""
    parts = [tf.cast(part, tf.float32) for part in tf.split(tf.constant(noise), [24, 16])]
    targets = tf.split(tf.eye(40), [24, 16])
    alone = FUNCTIONS[name](parts, targets, 0.75, SEED)
    halves = [[tf.split(part, 2)[i] for part in (*parts, *targets)] for i in range(2)]
    whole = {id(half[i]): full for half in halves for i, full in enumerate((*parts, *targets))}
    monkeypatch.setattr(replicas, "all_rows", lambda part: whole[id(part)])
    shared = []
    for index, half in enumerate(halves):
        monkeypatch.setattr(replicas, "replica", lambda index=index: (index, 2))
        images, labels = FUNCTIONS[name](half[:2], half[2:], 0.75, SEED)
        shared.append([*images, *labels])
    for one, both in zip([*alone[0], *alone[1]], zip(*shared, strict=True), strict=True):
        np.testing.assert_array_equal(tf.concat(both, 0), one)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_xla_mixes_the_same(name, noise):
    arguments = [tf.constant(noise)], [tf.eye(40)]
    compiled = tf.function(
        lambda images, targets: FUNCTIONS[name](images, targets, 0.75, SEED), jit_compile=True
    )
    for one, other in zip(
        FUNCTIONS[name](*arguments, 0.75, SEED), compiled(*arguments), strict=True
    ):
        np.testing.assert_allclose(one[0], other[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("function", [mixup.mix, mixup.cutmix])
def test_alpha_0_mixes_nothing(function, noise):
    (images,), (targets,) = function([tf.constant(noise)], [tf.eye(40)], 0, SEED)
    np.testing.assert_array_equal(images, noise)
    np.testing.assert_array_equal(targets, np.eye(40))


def test_whole_numbers_are_mixed_as_floating_ones():
    images = tf.constant(np.full([4, 2, 2, 1], 200, np.uint8))
    (mixed,), _ = mixup.mix([images], [tf.eye(4)], 1.0, SEED)
    np.testing.assert_allclose(mixed, 200.0, rtol=1e-6)
