"""Noisy Student against hand-written numpy, round by round."""

import functools
import itertools

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf import networks

CONTRACT = {
    "moons": {"rounds": 2},
    "replicas": {"rounds": 2, "pseudo_label_threshold": 0.4, "balance_limit": 1.5},
}


@pytest.fixture
def make(with_teacher):
    """make(learns=True, **hyperparameters): the method, compiled; see `with_teacher`."""
    return functools.partial(with_teacher, mpl_tf.NoisyStudent)


@pytest.mark.parametrize(("hard", "limit"), [(False, 0.0), (True, 0.0), (False, 1.5)])
def test_two_steps_of_the_student_by_hand(hard, limit, make, vectors, endless, by_hand, rng):
    """Balance counts what was kept, of both batches in the second step."""
    second = {**vectors, "weak": rng.normal(size=(6, 5)), "strong": rng.normal(size=(6, 5))}
    model = make(
        learns=False,
        rounds=1,
        hard_labels=hard,
        pseudo_label_threshold=0.7,
        balance_limit=limit,
        unlabeled_weight=2.0,
        label_smoothing=0.2,
    )
    teacher, weights = model.teacher.get_weights(), model.student.get_weights()
    model.fit(endless([vectors, second]), steps_per_epoch=2, verbose=0)
    kept = np.zeros(3)
    for batch in (vectors, second):
        probs = by_hand.softmax(by_hand.logits(batch["weak"], teacher))
        top = np.eye(3)[probs.argmax(axis=1)]
        mask = probs.max(axis=1) >= 0.7
        assert 0 < mask.sum() < 6
        kept += top[mask].sum(axis=0)
        w = mask * 1.0
        if limit:
            of_class = np.minimum(limit, kept.mean() / np.maximum(kept, 1e-9))
            assert len(set(of_class[kept > 0])) > 1  # and it matters here
            w *= (top * of_class).sum(axis=1)
        taught = top if hard else probs
        target = 0.8 * np.eye(3)[batch["label"]] + 0.2 / 3
        labeled = (by_hand.softmax(by_hand.logits(batch["labeled"], weights)) - target) / 4
        strong = by_hand.softmax(by_hand.logits(batch["strong"], weights)) - taught
        strong *= 2.0 * w[:, None] / w.sum()
        parts = [(batch["labeled"], labeled), (batch["strong"], strong)]
        weights = by_hand.step(weights, parts)
    assert not limit or len(set(of_class[kept > 0])) > 1  # classes weigh differently here
    by_hand.assert_close(model.student.get_weights(), weights, 1e-6)
    by_hand.assert_identical(teacher, model.teacher.get_weights())  # fixed: not a bit moves


def test_the_algorithm_line_by_line(make, vectors, endless, by_hand):
    """Teacher on labels; then each student, from the same start, of the one before."""
    settings = {"pseudo_label_threshold": 0.0, "balance_limit": 0.0, "label_smoothing": 0.2}
    model = make(rounds=3, **settings)
    start, first = model.student.get_weights(), model.pretraining_phases()["teacher"].network
    expected_teacher = first.get_weights()
    assert list(model.pretraining_phases()) == ["teacher", "round_1", "round_2"]
    history = model.pretrain(endless(vectors), steps=2, verbose=0)
    assert history.keys() == model.pretraining_phases().keys()
    by_hand.assert_close(model.student.get_weights(), start)  # its turn is yet to come
    model.fit(endless(vectors), steps_per_epoch=2, verbose=0)

    target = 0.8 * np.eye(3)[vectors["label"]] + 0.2 / 3

    def labeled(weights, share=1.0):
        probs = by_hand.softmax(by_hand.logits(vectors["labeled"], weights))
        return vectors["labeled"], share * (probs - target) / 4

    teacher = expected_teacher
    for _ in range(2):
        teacher = by_hand.step(teacher, [labeled(teacher)], rate=0.25)
    by_hand.assert_close(first.get_weights(), teacher)
    for _ in range(3):
        student, ema = start, start
        q = by_hand.softmax(by_hand.logits(vectors["weak"], teacher))
        for t in range(2):
            strong = by_hand.softmax(by_hand.logits(vectors["strong"], student)) - q
            student = by_hand.step(student, [labeled(student), (vectors["strong"], strong / 6)])
            d = (1 + t) / (10 + t)
            ema = [d * a + (1 - d) * b for a, b in zip(ema, student, strict=True)]
        teacher = ema
    by_hand.assert_close(model.student.get_weights(), student, 1e-6)
    by_hand.assert_close(model.ema.get_weights(), ema, 1e-6)


@pytest.mark.parametrize("limit", [{"unlabeled_weight": 0.0}, {"pseudo_label_threshold": 1.01}])
def test_limits_are_supervised_learning(limit, linear, after_ten_steps, supervised_steps, by_hand):
    def make_method(student, **hyperparameters):
        model = mpl_tf.NoisyStudent(linear(5, 3), student, rounds=1, **hyperparameters)
        compile_as_it_is = model.compile
        model.compile = lambda optimizer, **kwargs: compile_as_it_is(
            student_optimizer=optimizer, teacher_optimizer=None, **kwargs
        )
        return model

    by_hand.assert_close(after_ten_steps(make_method, **limit), supervised_steps, 1e-6)


def test_the_teacher_predicts_without_noise(convolutional, rng, endless, by_hand):
    """No dropout, and its batch statistics stay; those of the student move."""
    images = {k: rng.normal(size=(6, 6, 6, 1)) for k in ("labeled", "weak", "strong")}
    batch = {**images, "label": rng.integers(3, size=6)}
    model = mpl_tf.NoisyStudent(convolutional(1), convolutional(2), rounds=1)
    model.compile(student_optimizer=keras.optimizers.SGD(0.1), teacher_optimizer=None)
    before = [v.numpy() for v in model.teacher.variables]
    moving = model.student.layers[2].moving_mean.numpy()
    model.fit(endless(batch), steps_per_epoch=2, verbose=0)
    by_hand.assert_identical(before, model.teacher.variables)
    assert np.any(moving != model.student.layers[2].moving_mean.numpy())


def test_a_smaller_student_is_refused_and_a_larger_one_is_not():
    small, large = (networks.find(name)(3, (8, 8, 1)) for name in ("small_4", "small_8"))
    with pytest.raises(ValueError, match="as large as its teacher"):
        mpl_tf.NoisyStudent(large, small)
    model = mpl_tf.NoisyStudent(small, large, rounds=2)
    assert model.teacher.count_params() == large.count_params()  # in the last round
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.1), teacher_optimizer=keras.optimizers.SGD(0.1)
    )
    assert model.pretraining_phases()["teacher"].network is small  # the first teacher


def test_rounds_have_optimizers_of_their_own(make):
    model = make(rounds=3)
    engines = [*itertools.islice(model.pretraining_phases().values(), 1, None), model]
    assert len({id(engine.student_optimizer) for engine in engines}) == 3
    assert {float(engine.student_optimizer.learning_rate) for engine in engines} == {0.5}
