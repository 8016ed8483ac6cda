"""Steps of Reduced MPL against hand-written numpy, its limits, and what becomes of its teacher."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.data import pipeline
from mpl_tf.data.arrays import arrays
from mpl_tf.engine.pool_predictions import ArrayPredictions

# The student sees no label before it is finetuned, and its first teacher learns from nothing else.
CONTRACT = {"no_better_on": ("digits", "moons"), "replicas": {"feedback_weight": 5.0}}

U, K, RATE, DECAY = 6, 3, 0.5, 0.1
FORMS = ("sampled", "dot", "exact", "none")


@pytest.fixture
def predictions(rng, by_hand):
    """float16 [9, 3]; one row has a 0."""
    probs = by_hand.softmax(2 * rng.normal(size=(9, K)))
    probs[2] = [1, 0, 0]
    return probs.astype(np.float16)


@pytest.fixture
def make(linear, predictions):
    """make(momentum=0.0, **hyperparameters): the method on linear networks, with predictions."""

    def build(momentum=0.0, compiled=None, **hyperparameters):
        options = {"label_smoothing": 0.2, "adjuster_layers": 1, "adjuster_units": 4}
        model = mpl_tf.ReducedMPL(
            linear(5, K), linear(5, K), num_unlabeled=9, **options | hyperparameters
        )
        model.compile(
            student_optimizer=keras.optimizers.SGD(RATE, momentum=momentum),
            teacher_optimizer=None,
            **{"weight_decay": DECAY} | (compiled or {}),
        )
        model.take_predictions(ArrayPredictions(predictions))
        return model

    return build


@pytest.fixture
def batch(vectors):
    return vectors | {"index": np.array([2, 7, 0, 8, 1, 5])}


def adjusted_by_hand(stored, weights):
    """(logits [U, K], hidden values [U, 4]) of the small network in numpy."""
    one, b_one, two, b_two = weights
    hidden = np.maximum(stored @ one + b_one, 0)
    return np.log(np.maximum(stored, 2.0**-24)) + hidden @ two + b_two, hidden


@pytest.mark.parametrize("form", FORMS)
def test_two_steps_equal_hand_written_numpy(
    form, make, batch, predictions, endless, by_hand, rng, monkeypatch
):
    """The second has the baseline of the first."""
    weight, smoothing, decay = 3.0, 0.2, 0.6
    model = make(feedback=form, feedback_weight=weight, baseline_decay=decay)
    start = [rng.normal(size=w.shape) for w in model.adjuster.get_weights()]
    model.adjuster.set_weights(start)
    drawn = np.eye(K)[rng.integers(K, size=U)]
    if form in ("sampled", "dot"):
        monkeypatch.setattr(model.estimator, "label", lambda logits: tf.constant(drawn))
    student, weights = model.student.get_weights(), start
    stored = predictions[batch["index"]].astype(np.float64)
    x_l, strong, known = batch["labeled"], batch["strong"], np.eye(K)[batch["label"]]
    softmax, logits, values = by_hand.softmax, by_hand.logits, []
    for _ in range(2):
        model.fit(endless(batch), steps_per_epoch=1, verbose=0)
        z, hidden = adjusted_by_hand(stored, weights)
        soft = softmax(z)
        q = soft if form in ("exact", "none") else drawn
        dz = (softmax(logits(strong, student)) - by_hand.smooth(q, smoothing)) / U
        raw = [g + DECAY * w for g, w in zip(by_hand.gradient((strong, dz)), student, strict=True)]
        moved = [w - RATE * g for w, g in zip(student, raw, strict=True)]
        by_hand.assert_close(model.student.get_weights(), moved)
        before = by_hand.cross_entropy(known, logits(x_l, student))
        after = by_hand.cross_entropy(known, logits(x_l, moved))
        v = by_hand.gradient((x_l, (softmax(logits(x_l, moved)) - known) / 4))
        if form == "exact":
            slope = logits(strong, v)
            slope = slope - np.sum(softmax(logits(strong, student)) * slope, 1, keepdims=True)
            credit = (1 - smoothing) * RATE / U * slope
            term = soft * (credit - np.sum(soft * credit, 1, keepdims=True))
        elif form == "none":
            by_hand.assert_identical(model.adjuster.get_weights(), start)
            student = moved
            continue
        else:
            first_order = RATE * sum(np.sum(a * b) for a, b in zip(v, raw, strict=True))
            value = before - after if form == "sampled" else first_order
            baseline = values[0] if values else 0.0  # the running mean of one value is that value
            values.append(value)
            term = (value - baseline) * (soft - q) / U
        d = weight * term
        back = (d @ weights[2].T) * (hidden > 0)
        gradient = [stored.T @ back, back.sum(0), hidden.T @ d, d.sum(0)]
        weights = [w - RATE * (g + DECAY * w) for w, g in zip(weights, gradient, strict=True)]
        by_hand.assert_close(model.adjuster.get_weights(), weights)
        student = moved


@pytest.mark.parametrize("limit", [{"feedback_weight": 0.0}, {"feedback": "none"}])
def test_without_feedback_the_student_learns_the_stored_labels(
    limit, make, batch, predictions, endless, linear, by_hand
):
    """As one that is taught them alone, step by step, with momentum."""
    model = make(momentum=0.9, **limit)
    student = linear(5, K)
    student.set_weights(model.student.get_weights())
    optimizer = keras.optimizers.SGD(RATE, momentum=0.9)
    stored = np.maximum(predictions[batch["index"]].astype(np.float64), 2.0**-24)
    target = by_hand.smooth(stored / stored.sum(1, keepdims=True), 0.2)
    for _ in range(5):
        with tf.GradientTape() as tape:
            log_probs = tf.nn.log_softmax(student(batch["strong"]))
            loss = -tf.reduce_mean(tf.reduce_sum(target * log_probs, 1))
        gradient = tape.gradient(loss, student.trainable_variables)
        decayed = [
            g + DECAY * w for g, w in zip(gradient, student.trainable_variables, strict=True)
        ]
        optimizer.apply(decayed, student.trainable_variables)
    history = model.fit(endless(batch), steps_per_epoch=5, verbose=0).history
    by_hand.assert_close(model.student.get_weights(), student.get_weights())
    assert history["adjustment"][-1] < 1e-3  # what float16 loses of a sum of 1


def test_with_feedback_labels_move_and_decay_leads_back(make, batch, endless):
    """The last layer starts at 0, which is the identity, and L2 pulls it there."""
    model = make(feedback_weight=100.0, compiled={"weight_decay": 0.0})
    history = model.fit(endless(batch), steps_per_epoch=20, verbose=0).history
    assert history["adjustment"][-1] > 0.01
    model = make(feedback_weight=0.0, compiled={"weight_decay": 1.0})
    model.adjuster.set_weights([np.ones(w.shape) for w in model.adjuster.get_weights()])
    model.fit(endless(batch), steps_per_epoch=20, verbose=0)
    assert max(np.abs(w).max() for w in model.adjuster.get_weights()) < 1e-5


def test_a_stored_zero_gives_finite_labels_and_gradients(make, batch, endless):
    for form in ("exact", "sampled"):
        model = make(feedback=form, feedback_weight=100.0)
        history = model.fit(endless(batch), steps_per_epoch=3, verbose=0).history
        assert all(np.isfinite(values[-1]) for values in history.values()), history
        assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize(
    "arguments",
    [
        {"accumulate_steps": 2},
        {"recompute": True},
        {"jit_compile": True},
        {"run_eagerly": True},
        {"sam_rho": 1e-9},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_however_a_step_is_computed(arguments, make, linear, batch, endless, by_hand):
    start, ends = linear(5, K).get_weights(), []
    for compiled in ({}, arguments):
        model = make(momentum=0.9, feedback_weight=20.0, seed=1, compiled=compiled)
        for network in (model.student, model.ema):
            network.set_weights(start)
        model.fit(endless(batch), steps_per_epoch=3, verbose=0)
        ends.append(model.get_weights())
    by_hand.assert_close(*ends, atol=1e-6)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), np.uint8)


def network(seed):
    return mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=seed)


def made(images, **compiled):
    """(method, its data, its teacher)."""
    data = mpl_tf.data.pair((images, np.arange(30) % 3), method=mpl_tf.ReducedMPL, labeled_batch=3)
    teacher, student = network(1), network(2)
    model = mpl_tf.ReducedMPL(teacher, student, num_unlabeled=data.num_unlabeled)
    model.compile(student_optimizer="sgd", teacher_optimizer="sgd", **compiled)
    return model, data, teacher


def test_predictions_are_of_images_as_they_are_by_their_places(images):
    model, data, teacher = made(images)
    model.pretrain(data, steps=3, verbose=0)
    expected = tf.nn.softmax(teacher(images, training=False)).numpy()
    model.fit(data, steps_per_epoch=1, verbose=0)
    batch = next(iter(data))
    given = model.completed({"index": batch["index"]})["prediction"].numpy()
    assert given.dtype == np.float16
    np.testing.assert_allclose(given, expected[batch["index"].numpy()], atol=1e-3)


def test_the_teacher_is_let_go_of_and_is_no_part_of_the_method(images):
    """Neither its weights nor its optimizer's are there while the student learns."""
    model, data, teacher = made(images)
    model.pretrain(data, steps=3, verbose=0)
    own = weakref.ref(teacher)
    variables = {id(v) for v in teacher.variables}
    assert not variables & {id(v) for v in model.variables}
    kernel = weakref.ref(teacher.trainable_variables[0])
    del teacher, variables
    assert own() is not None
    model.fit(data, steps_per_epoch=2, verbose=0)
    gc.collect()
    assert own() is None and kernel() is None
    assert model.networks.keys() == {"student", "ema"}
    assert not model.pretraining_phases()


def test_a_student_may_start_from_its_teacher(images):
    model, data, teacher = made(images, student_init="teacher")
    model.pretrain(data, steps=3, verbose=0)
    learned = [np.array(w) for w in teacher.get_weights()]
    model.store_predictions(data.pool)
    for each in (model.student, model.ema):
        for value, expected in zip(each.get_weights(), learned, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_what_cannot_be_is_refused(images, endless, make, linear):
    model, data, _ = made(images)
    with pytest.raises(ValueError, match="learned nothing yet, teacher: call pretrain"):
        model.fit(data, steps_per_epoch=1)
    model.pretrain(data, steps=1, verbose=0)
    with pytest.raises(ValueError, match="there are none: call store_predictions"):
        model.fit(endless(next(data.as_numpy_iterator())), steps_per_epoch=1)
    with pytest.raises(ValueError, match=r"has 30 images; 29 were not given, such as that at 1\."):
        model.store_predictions([(images[:1], np.array([0]))])
    with pytest.raises(ValueError, match="the pool has 30 images; received one at 30"):
        model.store_predictions([(images[:1], np.array([30]))])
    with pytest.raises(ValueError, match="student_init must be seed or teacher; received 'x'"):
        made(images, student_init="x")
    with pytest.raises(ValueError, match="has let go of its teacher"):
        make().store_predictions([])
    with pytest.raises(ValueError, match="must be two networks; received the same object"):
        mpl_tf.ReducedMPL(both := linear(5, K), both, num_unlabeled=9)


def test_stored_predictions_may_be_there_in_place_of_a_teacher(linear, batch, endless, predictions):
    def build(**compiled):
        model = mpl_tf.ReducedMPL(None, linear(5, K), num_unlabeled=9)
        model.compile(student_optimizer="sgd", **{"teacher_optimizer": None} | compiled)
        return model

    for compiled in ({"teacher_optimizer": "sgd"}, {"student_init": "teacher"}):
        with pytest.raises(ValueError, match="without a teacher must be compiled with teacher_opt"):
            build(**compiled)
    model = build()
    assert not model.pretraining_phases()
    with pytest.raises(ValueError, match=r"without a teacher: call take_predictions"):
        model.fit(endless(batch), steps_per_epoch=1)
    model.take_predictions(ArrayPredictions(predictions))
    start = model.student.get_weights()
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)
    assert any((a != b).any() for a, b in zip(start, model.student.get_weights(), strict=True))


def test_a_process_that_trains_again_and_again_keeps_no_predictions(linear, predictions):
    """What TensorFlow remembers of a dataset's functions holds no table."""
    stored = ArrayPredictions(predictions)
    model = mpl_tf.ReducedMPL(linear(5, K), linear(5, K), num_unlabeled=9)
    model.take_predictions(stored)
    data = tf.data.Dataset.from_tensors({"index": np.array([2, 7])}).map(model.completed)
    (got,) = data.as_numpy_iterator()
    np.testing.assert_array_equal(got["prediction"], predictions[[2, 7]])
    held = weakref.ref(stored)
    del model, stored, data
    gc.collect()
    assert held() is None


def test_predictions_that_are_not_finite_are_refused(images):
    model, data, teacher = made(images)
    model.pretrain(data, steps=1, verbose=0)
    teacher.set_weights([w * np.nan for w in teacher.get_weights()])
    with pytest.raises(ArithmeticError, match="predictions are not finite"):
        model.store_predictions(data.pool)


@pytest.mark.parametrize("batch", [1, 7, 15, 30, 99])
def test_a_pool_is_all_images_as_they_are(batch, images):
    pool = pipeline.whole_pool(arrays(images, np.arange(30) % 3), batch)
    seen = []
    for pixels, index in pool.as_numpy_iterator():
        assert len(index) == min(batch, 30)
        np.testing.assert_array_equal(pixels, images[index])
        seen += index.tolist()
    assert set(seen) == set(range(30)) and len(seen) < 30 + batch
