"""PIRL against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.augment import jigsaw
from mpl_tf.formulas import random

CONTRACT = {
    "digits": {"negatives": 64, "temperature": 0.2},
    "moons": {"negatives": 64, "temperature": 0.2},
    "replicas": {"negatives": 5, "temperature": 0.3},
    "no_better_on": ("digits", "moons"),
}
OPTIONS = {"num_unlabeled": 12, "negatives": 20, "projection": 3, "temperature": 0.4}


@pytest.fixture
def of_means():
    """of_means(size): a network of images of one channel, by their mean, in float64.

    With a size it takes images of that size only: `encode` of their first pixel.
    """

    def build(fixed=False):
        numbers = np.random.default_rng(2)
        x = inputs = keras.Input([9, 9, 1], dtype="float64")
        last = keras.layers.Flatten if fixed else keras.layers.GlobalAveragePooling2D
        x = last(dtype="float64")(x)
        x = keras.layers.Dense(4, "tanh", dtype="float64")(x)
        model = keras.Model(inputs, keras.layers.Dense(3, dtype="float64")(x))
        model.set_weights([numbers.normal(size=w.shape) for w in model.get_weights()])
        return model

    return build


@pytest.fixture
def pictures(random_batch, rng):
    """Two batches of images of 9 x 9 pixels, of a pool of 12."""
    batches = []
    for index in ([0, 1, 2, 3, 4, 5], [3, 9, 0, 8, 7, 11]):
        batch = random_batch((9, 9, 1)) | {"index": np.array(index)}
        # Bright images, whose patches' means differ.
        brightness = rng.normal(size=(6, 3, 1, 3, 1, 1)) * np.ones((1, 1, 3, 1, 3, 1))
        batch["strong_2"] = batch["weak"] + 2 * brightness.reshape(6, 9, 9, 1)
        batches.append(batch)
    return batches


def drawn(step):
    """Which places of a pool of 12 are drawn in a step, with the seed 0."""
    return (random.uniform([0, 8 * step], [20]).numpy() * 12).astype(int)


def test_two_steps_by_hand(of_means, pictures, in_steps, by_hand):
    """One half of the projector is for images, one for the nine patches of a puzzle."""
    model = mpl_tf.PIRL(of_means(), memory_decay=0.7, puzzle_weight=0.3, **OPTIONS)
    student = model.student.get_weights()
    projectors = [*model.projector.get_weights(), *model.puzzle_projector.get_weights()]
    memory = model.memory.numpy()
    collisions = 0
    for step, (batch, logs) in enumerate(zip(pictures, in_steps(model, pictures), strict=True)):
        index, others = batch["index"], drawn(step)
        itself = index[:, None] == others[None]
        collisions += itself.sum()
        flat = {"labeled": batch["labeled"].mean(axis=(1, 2)), "label": batch["label"]}
        own, negatives = memory[index], memory[others]

        def views(encoder, projectors, batch=batch):
            kernel, bias, puzzle_kernel, puzzle_bias = projectors
            image = by_hand.encode(batch["strong"].mean(axis=(1, 2)), encoder) @ kernel + bias
            pieces = []
            for i in range(3):
                for j in range(3):
                    patch = batch["strong_2"][:, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
                    f = by_hand.encode(patch.mean(axis=(1, 2)), encoder)
                    pieces.append((f @ kernel + bias)[:, 3:])
            puzzle = np.concatenate(pieces, axis=1) @ puzzle_kernel + puzzle_bias
            return by_hand.unit(image[:, :3]), by_hand.unit(puzzle)

        def losses(encoder, projectors, own=own, negatives=negatives, itself=itself, views=views):
            return [
                by_hand.info_nce(rows, own, negatives, 0.4, itself)
                for rows in views(encoder, projectors)
            ]

        of_image, of_puzzle = losses(student[:2], projectors)
        assert logs["image_loss"] == pytest.approx(of_image, abs=1e-6)
        assert logs["puzzle_loss"] == pytest.approx(of_puzzle, abs=1e-6)
        image, _ = views(student[:2], projectors)
        memory[index] = by_hand.unit(0.7 * own + 0.3 * image)
        student, projectors = by_hand.encoder_step(
            student, projectors, flat, lambda *w, losses=losses: np.dot(losses(*w), (0.7, 0.3))
        )
    assert collisions  # an image's own row does not count
    by_hand.assert_close(model.student.get_weights(), student, 1e-6)  # the memory is float32
    got = [*model.projector.get_weights(), *model.puzzle_projector.get_weights()]
    by_hand.assert_close(got, projectors, 1e-6)
    by_hand.assert_close([model.memory], [memory], 1e-6)


def test_an_image_is_not_told_from_itself(two_layers, more_views, in_steps, by_hand):
    """In a pool of one image there is nothing that it could be told from."""
    model = mpl_tf.PIRL(two_layers(), **(OPTIONS | {"num_unlabeled": 1}))
    before = model.student.get_weights()
    (logs,) = in_steps(model, [more_views | {"index": np.zeros(6, int)}])
    assert logs["unlabeled_loss"] == 0
    by_hand.assert_identical(model.student.get_weights()[:2], before[:2])


def test_at_a_high_temperature_all_images_are_alike(two_layers, more_views, in_steps):
    (logs,) = in_steps(mpl_tf.PIRL(two_layers(), **(OPTIONS | {"temperature": 1e6})), [more_views])
    counted = 20 - np.sum(drawn(0) == np.arange(6)[:, None], axis=1)
    assert logs["unlabeled_loss"] == pytest.approx(np.mean(np.log(1 + counted)), abs=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_only_the_views_that_count_teach(two_layers, two_batches, in_steps, by_hand, weight):
    model = mpl_tf.PIRL(two_layers(), puzzle_weight=weight, **OPTIONS)
    kernel, puzzle = model.projector.get_weights()[0], model.puzzle_projector.get_weights()
    logs = in_steps(model, two_batches)[0]
    name = "puzzle_loss" if weight else "image_loss"
    assert logs["unlabeled_loss"] == pytest.approx(logs[name], abs=1e-6)
    rests = np.all(model.projector.get_weights()[0] == kernel, axis=0)
    of_puzzle = [False] * 3 + [True] * 3
    np.testing.assert_array_equal(rests, np.logical_not(of_puzzle) if weight else of_puzzle)
    if not weight:
        by_hand.assert_identical(model.puzzle_projector.get_weights(), puzzle)


def test_without_decay_the_memory_has_the_last_views(two_layers, two_batches, in_steps, by_hand):
    model = mpl_tf.PIRL(two_layers(), memory_decay=0.0, **OPTIONS)
    before = model.memory.numpy()
    rows = model.projected(two_batches[0]["strong"]).numpy()[:, 3:6]
    in_steps(model, two_batches[:1])
    np.testing.assert_allclose(model.memory[:6], by_hand.unit(rows), atol=1e-6)
    np.testing.assert_array_equal(model.memory[6:], before[6:])


def test_a_network_of_one_size_sees_enlarged_patches(of_means, pictures, in_steps):
    model = mpl_tf.PIRL(of_means(fixed=True), **OPTIONS)
    cut = model.cut(pictures[0]["strong_2"])
    assert cut.shape == (54, 9, 9, 1)
    expected = pictures[0]["strong_2"][1, 3:6, 6:9, 0]  # patch 5 of the second image
    np.testing.assert_allclose(cut[9 + 5, 1::3, 1::3, 0], expected, atol=1e-6)
    (logs,) = in_steps(model, pictures[:1])
    assert np.isfinite(logs["puzzle_loss"])


def test_a_network_of_any_size_sees_patches_as_they_are(of_means, pictures):
    model = mpl_tf.PIRL(of_means(), **OPTIONS)
    images = pictures[0]["strong_2"]
    cut = model.cut(images)
    np.testing.assert_array_equal(cut, np.concatenate(jigsaw.patches(images)))
    assert cut.shape == (54, 3, 3, 1)
