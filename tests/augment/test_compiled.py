"""The forms of views that XLA compiles give the pixels that the forms on a CPU give.

RandAugment, and the steps that learn from it, are in tools/test_export_training.py.
"""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment import compiled, distortions, jigsaw, operations, ops, policies
from mpl_tf.augment.draws import Draws
from mpl_tf.formulas import random

COUNT = 96


def pictures(channels=3):
    """uint8 [COUNT, 16, 16, channels]: noise, slopes, and images of few greys."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (COUNT, 16, 16, channels))
    slopes = 128 + np.cumsum(rng.normal(0, 12, noise.shape), axis=2)
    flat = rng.integers(0, 3, noise.shape) * 90
    parts = (noise[::3], slopes[1::3], flat[2::3])
    return np.clip(np.concatenate(parts), 0, 255).astype(np.uint8)


def both(function, *arguments):
    """What a function gives on the CPU, and compiled."""

    def traced(*tensors):
        with compiled.for_xla():
            return function(*tensors)

    tensors = [tf.constant(argument) for argument in arguments]
    jitted = tf.function(traced, jit_compile=True, autograph=False)
    return function(*tensors).numpy(), jitted(*tensors).numpy()


def check(plain, compiled, off_by_one=0.0):
    """Equal uint8 images, but for a share of the values, which are off by one."""
    distance = np.abs(plain.astype(int) - compiled)
    assert plain.dtype == compiled.dtype == np.uint8 and plain.shape == compiled.shape
    assert distance.max() <= bool(off_by_one) and (distance > 0).mean() <= off_by_one
    assert plain.std() > 10


# Whole numbers where the operation takes whole numbers.
STRENGTHS = {
    "Rotate": np.linspace(-60, 60, COUNT),
    "Posterize": np.arange(COUNT) % 8 + 1,
    "Solarize": np.arange(COUNT) * 3 % 257,
    "ShearX": np.linspace(-0.5, 0.5, COUNT),
    "ShearY": np.linspace(-0.5, 0.5, COUNT),
    "TranslateX": np.linspace(-6, 6, COUNT),
    "TranslateY": np.linspace(-6, 6, COUNT),
    "Cutout": np.arange(COUNT) % 6,
} | {name: np.linspace(0, 3, COUNT) for name in ("Color", "Contrast", "Brightness", "Sharpness")}


@pytest.fixture(scope="module")
def of_operations():
    """Operation -> (images on the CPU, compiled), all compiled at once."""
    share = np.random.default_rng(1).uniform(size=(COUNT, 2))

    def all_operations(images, strengths):
        return tf.stack(
            [
                function(images, tf.stack([strength, *share.T.astype(np.float32)], axis=1))
                for function, strength in zip(
                    operations.OPERATIONS.values(), tf.unstack(strengths), strict=True
                )
            ]
        )

    none = np.zeros(COUNT)
    strengths = [STRENGTHS.get(name, none) for name in operations.OPERATIONS]
    plain, compiled = both(all_operations, pictures(), np.asarray(strengths, np.float32))
    return dict(zip(operations.OPERATIONS, zip(plain, compiled, strict=True), strict=True))


@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_an_operation_is_the_same(of_operations, name):
    # These truncate a product and a sum, which XLA rounds once.
    truncates = name in ("AutoContrast", "Color", "Contrast", "Sharpness")
    check(*of_operations[name], off_by_one=0.002 if truncates else 0.0)
    assert not np.array_equal(of_operations[name][0], pictures())


def test_an_image_gets_its_own_operation():
    names, draws = ("Invert", "Posterize", "Rotate"), Draws(random.key(3, 4, 5), COUNT)
    operation = np.arange(COUNT, dtype=np.int32) % 4  # 3 leaves an image alone
    strength = np.full(COUNT, 4, np.float32)
    plain, xla = both(
        lambda *tensors: operations.apply(names, *tensors, draws), pictures(), operation, strength
    )
    check(plain, xla)
    assert np.array_equal(plain[3::4], pictures()[3::4])
    assert all((plain[k::4] != pictures()[k::4]).any() for k in range(3))


VIEWS = {
    "crop": policies.Crop(),
    "resized crop": policies.ResizedCrop(),
    "shift": policies.Shift(flip=True),
    "affine": policies.Affine(),
    "jitter": distortions.ColorJitter(0.4, 0.4, 0.2, 0.1),
    "greyed": distortions.Greyed(0.5),
    "solarized": distortions.Solarized(0.5),
    "blur": lambda images, draws: ops.gaussian_blur(images, draws.uniform(0, 0.1, 2.0), 3),
    "puzzle": jigsaw.puzzle,
    "moved, over grey": lambda images, draws: ops.affine(
        images, tf.eye(2, 3, [COUNT]) + draws.uniform(0, -0.3, 0.3, [2, 3]), fill=200
    ),
}


@pytest.fixture(scope="module")
def of_views():
    """Name of a view -> (images on the CPU, compiled), all compiled at once."""

    def all_views(images, step):
        draws = Draws(random.key(3, 4, step), COUNT)
        return tf.stack([view(images, draws) for view in VIEWS.values()])

    plain, xla = both(all_views, pictures(), 5)
    return dict(zip(VIEWS, zip(plain, xla, strict=True), strict=True))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_the_same(of_views, name):
    exact = name in ("crop", "greyed", "solarized")
    check(*of_views[name], off_by_one=0.0 if exact else 0.001)
    assert not np.array_equal(of_views[name][0], pictures())


def test_draws_are_those_of_tensorflow():
    """Which their own bits make, in a program too."""

    def draws(seed):
        of = Draws(seed, 1000).child(3)
        integers = tf.cast(of.integers(2, 4, 19), tf.float32)
        return tf.stack([of.uniform(1, -2.5, 7.0), of.uniform(3, 0.9, 1.1), integers])

    seed = np.array([8, 9])
    plain, compiled = both(draws, seed)
    child = random.fold_in(tf.constant(seed), 3)
    expected = [
        tf.random.stateless_uniform([1000], random.fold_in(child, 1), -2.5, 7.0),
        tf.random.stateless_uniform([1000], random.fold_in(child, 3), 0.9, 1.1),  # width 0.20000005
        tf.random.stateless_uniform([1000], random.fold_in(child, 2), 4, 19, tf.int32),
    ]
    np.testing.assert_array_equal(plain, np.stack([each.numpy() for each in expected]))
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=1e-6)


def test_forms_are_of_a_block_and_a_thread():
    assert not compiled.is_for_xla()
    with compiled.for_xla():
        with compiled.for_xla():
            assert compiled.is_for_xla()
        assert compiled.is_for_xla()
    assert not compiled.is_for_xla()
