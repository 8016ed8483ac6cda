"""The forms of views that XLA compiles give the pixels that the forms on a CPU give."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.augment import autoaugment, compiled, geometry, operations, ops, policies
from mpl_tf.augment.draws import Draws
from mpl_tf.augment.randaugment import RandAugment
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
    print("SHARE", distance.max(), (distance > 0).mean())
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
    # AutoContrast truncates a product and a sum, of which XLA makes one rounding.
    check(*of_operations[name], off_by_one=0.005 if name == "AutoContrast" else 0.0)
    if name != "AutoContrast":
        assert not np.array_equal(of_operations[name][0], pictures())


def test_what_lies_between_pixels_is_the_same():
    rng = np.random.default_rng(2)
    offset = rng.uniform(-3, 3, (COUNT, 2)).astype(np.float32)
    turned = np.eye(2, 3) + rng.normal(0, 0.3, (COUNT, 2, 3))
    corners = rng.uniform((0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1), (COUNT, 4)).astype(np.float32)

    def moved(images, offset, turned, corners):
        return tf.stack(
            [
                ops.shift(images, offset),
                ops.affine(images, turned, fill=200),
                geometry.crop_and_resize(images, corners),
            ]
        )

    plain, compiled = both(moved, pictures(), offset, turned.astype(np.float32), corners)
    for of_plain, of_compiled in zip(plain, compiled, strict=True):
        check(of_plain, of_compiled, off_by_one=0.001)
    assert len({image.tobytes() for image in plain}) == 3


POLICIES = {
    "crop": (policies.Crop(), 3),
    "resized crop": (policies.ResizedCrop(), 3),
    "shift": (policies.Shift(flip=True), 1),
    "affine": (policies.Affine(), 1),
    "strong": (policies.Strong(policies.Crop(), RandAugment()), 3),
    "autoaugment": (policies.InTurn(policies.Crop(), autoaugment.AutoAugment("svhn")), 3),
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_view_is_the_same(name):
    policy, channels = POLICIES[name]

    def view(images, step):
        return policy(images, Draws(random.key(3, 4, step), COUNT))

    check(*both(view, pictures(channels), 5), off_by_one=0.002)


def test_draws_are_those_of_tensorflow():
    """Which their own bits make, in a program too."""

    def draws(seed):
        of = Draws(seed, 1000).child(3)
        return tf.stack([of.uniform(1, -2.5, 7.0), tf.cast(of.integers(2, 4, 19), tf.float32)])

    seed = np.array([8, 9])
    plain, compiled = both(draws, seed)
    child = random.fold_in(tf.constant(seed), 3)
    expected = [
        tf.random.stateless_uniform([1000], random.fold_in(child, 1), -2.5, 7.0),
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

