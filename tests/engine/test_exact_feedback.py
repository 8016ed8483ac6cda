"""The feedback against second-order automatic differentiation, in float64.

The oracle writes the student's step out as a function of the teacher's weights and differentiates
the labeled loss after it, nested tape over nested tape. It shares no formula with the library.
"""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine.pool_predictions import ArrayPredictions
from mpl_tf.networks import parts

B, U, K = 4, 6, 3
PREDICTIONS = np.random.default_rng(5).dirichlet(np.ones(K), 9).astype(np.float16)
ONLY_FEEDBACK = {"supervised_weight": 0.0, "uda_weight": 0.0}


def cross_entropy(q, logits):
    return -tf.reduce_mean(tf.reduce_sum(q * tf.nn.log_softmax(logits), axis=-1))


def values(variables):
    return [tf.convert_to_tensor(v) for v in variables]


def oracle(
    model,
    batch,
    *,
    rate,
    momentum,
    nesterov,
    smoothing,
    weight_decay=0.0,
    clip=None,
    weights=None,
    offsets=0.0,
    label_view="strong",
    label_temperature=1.0,
    student_supervised_weight=0.0,
):
    """grad_T L_l(theta_S'(theta_T)) for the coming step of `model`, whose state it leaves alone.

    `weights` [B] are those of the labels in L_l, `offsets` [K] those of its logits. `rate` is a
    number, or one for each variable. Of Reduced MPL the teacher is its small network.
    """
    teacher, student = teacher_of(model), model.student
    teacher_weights, student_weights = (values(n.trainable_variables) for n in (teacher, student))
    velocity = [tf.zeros_like(w) for w in student_weights]
    if momentum:
        velocity = values(model.student_optimizer.variables)[2:]  # after iterations and rate
    with tf.GradientTape() as outer:
        outer.watch(teacher_weights)
        if teacher is model.teacher:
            views = ["weak", "strong"] if label_view == "weak" else ["strong"]
            images = tf.concat([batch["labeled"], *(batch[view] for view in views)], 0)
            state = values(teacher.non_trainable_variables)
            logits, _ = teacher.stateless_call(teacher_weights, state, images, training=True)
            q = tf.nn.softmax(logits / label_temperature)[B : B + U]
        else:
            stored = tf.constant(PREDICTIONS[batch["index"]], tf.float64)
            shift, _ = teacher.stateless_call(teacher_weights, [], stored)
            q = stored * tf.exp(shift)
            q /= tf.reduce_sum(q, axis=-1, keepdims=True)
        q = (1 - smoothing) * q + smoothing / K
        with tf.GradientTape() as inner:
            inner.watch(student_weights)
            state = values(student.non_trainable_variables)
            images, labels = batch["strong"], 0
            if student_supervised_weight:
                images, labels = tf.concat([batch["labeled"], images], 0), B
            logits, state = student.stateless_call(student_weights, state, images, training=True)
            loss = cross_entropy(q, logits[labels:])
            if student_supervised_weight:
                known = tf.one_hot(batch["label"], K, dtype=logits.dtype)
                known = (1 - smoothing) * known + smoothing / K
                loss += student_supervised_weight * cross_entropy(known, logits[:B])
        gradient = inner.gradient(loss, student_weights)
        gradient = [g + weight_decay * w for g, w in zip(gradient, student_weights, strict=True)]
        if clip:
            norm = tf.sqrt(sum(tf.reduce_sum(g**2) for g in gradient))
            gradient = [g * tf.minimum(clip / norm, 1) for g in gradient]
        moved = []
        rates = rate if isinstance(rate, list) else [rate] * len(gradient)
        for w, v, g, r in zip(student_weights, velocity, gradient, rates, strict=True):
            v = momentum * v - r * g
            moved.append(w + momentum * v - r * g if nesterov else w + v)
        logits, _ = student.stateless_call(moved, state, batch["labeled"], training=True)
        target = tf.one_hot(batch["label"], K, dtype=logits.dtype)
        if weights is not None:
            target = weights[:, None] * target
        labeled_loss = cross_entropy(target, logits + offsets)
    return outer.gradient(labeled_loss, teacher_weights)


def teacher_of(model):
    """The network whose gradient is the feedback's."""
    return getattr(model, "adjuster", model.teacher)


def flat(tensors):
    return np.concatenate([np.ravel(t) for t in tensors])


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def relative_error(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def change_of_teacher(model, batch):
    """(teacher before - after) of one step: its gradient, for a teacher rate of 1."""
    teacher = teacher_of(model).trainable_variables
    before = values(teacher)
    data = tf.data.Dataset.from_tensors(batch).repeat()
    data.class_counts = np.bincount(batch["label"], minlength=K)
    model.fit(data, steps_per_epoch=1, verbose=0)
    return flat([b - a for b, a in zip(before, teacher, strict=True)])


def make(teacher, student, form="exact", rate=0.125, momentum=0.0, nesterov=False, **kwargs):
    names = ("clip_norm", "jit_compile", "weight_decay", "backbone_rate")
    compile_arguments = {k: kwargs.pop(k) for k in names if k in kwargs}
    model = mpl_tf.MetaPseudoLabels(teacher, student, feedback=form, **ONLY_FEEDBACK | kwargs)
    model.compile(
        student_optimizer=keras.optimizers.SGD(rate, momentum=momentum, nesterov=nesterov),
        teacher_optimizer=keras.optimizers.SGD(1.0),
        **compile_arguments,
    )
    return model


SGD = {"rate": 0.125, "momentum": 0.0, "nesterov": False}
HEAVY_BALL = {"rate": 0.125, "momentum": 0.75, "nesterov": False}
NESTEROV = {"rate": 0.125, "momentum": 0.75, "nesterov": True}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("sgd", [SGD, HEAVY_BALL, NESTEROV], ids=["sgd", "heavy", "nesterov"])
def test_exact_is_the_second_order_gradient(sgd, seed, convolutional, random_batch):
    """Convolution, batch normalisation and dropout; four steps on four batches."""
    model = make(convolutional(10 + seed), convolutional(20 + seed), label_smoothing=0.1, **sgd)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        batch = random_batch((6, 6, 1), rng)
        expected = flat(oracle(model, batch, smoothing=0.1, **sgd))
        assert relative_error(change_of_teacher(model, batch), expected) < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {"label_view": "weak", "label_temperature": 0.5},
        {"student_supervised_weight": 0.7},
    ],
    ids=["labeling", "student_supervised_weight"],
)
def test_exact_is_the_second_order_gradient_with_options(options, convolutional, random_batch, rng):
    model = make(convolutional(1), convolutional(2), label_smoothing=0.1, **options, **NESTEROV)
    for _ in range(3):
        batch = random_batch((6, 6, 1), rng)
        expected = flat(oracle(model, batch, smoothing=0.1, **options, **NESTEROV))
        assert relative_error(change_of_teacher(model, batch), expected) < 1e-6


@pytest.mark.parametrize("options", [{}, {"student_supervised_weight": 0.7}], ids=["", "labels"])
@pytest.mark.parametrize("sgd", [SGD, HEAVY_BALL, NESTEROV], ids=["sgd", "heavy", "nesterov"])
def test_exact_is_the_second_order_gradient_of_a_small_teacher(
    sgd, options, convolutional, random_batch, rng
):
    """Reduced MPL: the small network's gradient, by stored predictions, four steps."""
    networks = convolutional(1), convolutional(2)
    small = {"adjuster_layers": 2, "adjuster_units": 5, "num_unlabeled": 9}
    model = mpl_tf.ReducedMPL(*networks, label_smoothing=0.1, **small, **options)
    model.compile(
        student_optimizer=keras.optimizers.SGD(sgd["rate"], sgd["momentum"], sgd["nesterov"]),
        teacher_optimizer=None,
    )
    model.adjuster_optimizer = model.own_optimizer(
        keras.optimizers.SGD(1.0), model.adjuster, "adjuster_optimizer"
    )
    start = [rng.normal(size=w.shape) / 3 for w in model.adjuster.get_weights()]
    model.adjuster.set_weights(start)
    model.take_predictions(ArrayPredictions(PREDICTIONS))
    for _ in range(4):
        batch = random_batch((6, 6, 1)) | {"index": rng.permutation(9)[:U]}
        expected = flat(oracle(model, batch, smoothing=0.1, **options, **sgd))
        assert relative_error(change_of_teacher(model, batch), expected) < 1e-6


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_exact_is_the_second_order_gradient_on_dense_networks(seed, linear):
    rng = np.random.default_rng(seed)
    model = make(linear(5, K), linear(5, K), label_smoothing=0.0, **NESTEROV)
    for _ in range(4):
        batch = {k: rng.normal(size=(n, 5)) for k, n in (("labeled", B), ("strong", U))}
        batch |= {"label": rng.integers(K, size=B), "weak": batch["strong"]}
        expected = flat(oracle(model, batch, smoothing=0.0, **NESTEROV))
        assert relative_error(change_of_teacher(model, batch), expected) < 1e-6


def test_exact_is_the_second_order_gradient_through_clipping_and_decay(linear, rng):
    """The student's gradient is clipped with its L2 term; the oracle sees both."""
    teacher, student = linear(5, K), linear(5, K)
    batch = {k: rng.normal(size=(n, 5)) for k, n in (("labeled", B), ("strong", U))}
    batch |= {"label": rng.integers(K, size=B), "weak": batch["strong"]}
    plain = flat(oracle(make(teacher, student, label_smoothing=0.0), batch, smoothing=0.0, **SGD))
    limits = {"weight_decay": 0.01, "clip": 0.2}
    model = make(teacher, student, clip_norm=0.2, weight_decay=0.01, label_smoothing=0.0, **SGD)
    expected = flat(oracle(model, batch, smoothing=0.0, **limits, **SGD))
    assert relative_error(plain, expected) > 0.1  # the student is clipped ...
    own = expected + 0.01 * flat(teacher.trainable_variables)
    assert np.linalg.norm(own) < 0.2  # ... and the teacher is not
    assert relative_error(change_of_teacher(model, batch), own) < 1e-6


@pytest.fixture
def of_parts(linear):
    """A student of a backbone and a head, each a dense layer, in float64."""

    def part(name, inside):
        inputs = keras.Input(inside.input_shape[1:], dtype="float64")
        return keras.Model(inputs, inside(inputs), name=name)

    return parts.join(part(parts.BACKBONE, linear(5, 4)), part(parts.HEAD, linear(4, K)))


@pytest.mark.parametrize("sgd", [SGD, HEAVY_BALL, NESTEROV], ids=["sgd", "heavy", "nesterov"])
def test_exact_knows_the_rate_of_the_backbone(sgd, of_parts, linear, rng):
    limits = {"weight_decay": 0.01, "clip_norm": 0.5}
    model = make(linear(5, K), of_parts, label_smoothing=0.0, backbone_rate=0.25, **limits, **sgd)
    own = sgd | {"rate": [0.25 * sgd["rate"]] * 2 + [sgd["rate"]] * 2}
    limits = {"weight_decay": 0.01, "clip": 0.5}
    for step in range(3):
        batch = {k: rng.normal(size=(n, 5)) for k, n in (("labeled", B), ("strong", U))}
        batch |= {"label": rng.integers(K, size=B), "weak": batch["strong"]}
        decay = 0.01 * flat(model.teacher.trainable_variables)
        expected = flat(oracle(model, batch, smoothing=0.0, **limits, **own)) + decay
        assert relative_error(change_of_teacher(model, batch), expected) < 1e-6, step


def test_dot_knows_the_rate_of_the_backbone(of_parts, linear, rng):
    model = make(linear(5, K), of_parts, "dot", backbone_rate=0.25, **SGD)
    batch = {k: rng.normal(size=(n, 5)) for k, n in (("labeled", B), ("strong", U))}
    batch |= {"label": rng.integers(K, size=B), "weak": batch["strong"]}
    before = [w.copy() for w in of_parts.get_weights()]
    data = tf.data.Dataset.from_tensors(batch).repeat()
    history = model.fit(data, steps_per_epoch=1, verbose=0)
    with tf.GradientTape() as tape:
        logits = of_parts(batch["labeled"])
        loss = cross_entropy(tf.one_hot(batch["label"], K, dtype="float64"), logits)
    gradient = tape.gradient(loss, of_parts.trainable_variables)
    moved = flat(before) - flat(of_parts.get_weights())
    np.testing.assert_allclose(history.history["feedback"], [flat(gradient) @ moved], rtol=1e-5)


def test_exact_is_the_second_order_gradient_of_a_loss_weighted_by_class(linear, rng):
    teacher, student = linear(5, K), linear(5, K)
    batch = {k: rng.normal(size=(n, 5)) for k, n in (("labeled", B), ("strong", U))}
    batch |= {"label": np.array([0, 1, 2, 2]), "weak": batch["strong"]}
    class_weight = {0: 0.25, 2: 4.0}
    model = make(teacher, student, label_smoothing=0.1, class_weight=class_weight, **NESTEROV)
    plain = flat(oracle(model, batch, smoothing=0.1, **NESTEROV))
    weights = np.array([0.25, 1.0, 4.0, 4.0])
    expected = flat(oracle(model, batch, smoothing=0.1, weights=weights, **NESTEROV))
    assert relative_error(plain, expected) > 0.1
    assert relative_error(change_of_teacher(model, batch), expected) < 1e-6


def test_exact_is_the_second_order_gradient_of_a_loss_of_adjusted_logits(linear, rng):
    teacher, student = linear(5, K), linear(5, K)
    batch = {k: rng.normal(size=(n, 5)) for k, n in (("labeled", B), ("strong", U))}
    batch |= {"label": np.array([0, 1, 2, 2]), "weak": batch["strong"]}
    model = make(teacher, student, label_smoothing=0.1, logit_adjustment=2.0, **NESTEROV)
    plain = flat(oracle(model, batch, smoothing=0.1, **NESTEROV))
    offsets = 2 * np.log(np.array([1, 1, 2]) / 4)
    expected = flat(oracle(model, batch, smoothing=0.1, offsets=offsets, **NESTEROV))
    assert relative_error(plain, expected) > 0.1
    assert relative_error(change_of_teacher(model, batch), expected) < 1e-6


def test_exact_is_the_second_order_gradient_under_xla(convolutional, random_batch):
    """Without dropout: XLA draws other masks than the oracle."""
    networks = convolutional(1, dropout=0.0), convolutional(2, dropout=0.0)
    model = make(*networks, jit_compile=True, label_smoothing=0.1, **NESTEROV)
    rng = np.random.default_rng(3)
    for _ in range(3):
        batch = random_batch((6, 6, 1), rng)
        expected = flat(oracle(model, batch, smoothing=0.1, **NESTEROV))
        assert relative_error(change_of_teacher(model, batch), expected) < 1e-6


@pytest.mark.parametrize("form", ["sampled", "dot"])
def test_the_mean_of_the_scalar_forms_is_the_exact_gradient_over_u(form, linear, rng):
    """Over all K ** U label assignments, weighted by the teacher's probabilities."""
    count = 3
    batch = {k: rng.normal(size=(n, 5)) for k, n in (("labeled", B), ("strong", count))}
    batch |= {"label": rng.integers(K, size=B), "weak": batch["strong"]}
    teacher, student = linear(5, K), linear(5, K)
    # A small student step: both forms are the gradient to first order in it.
    small = {"rate": 2.0**-10, "momentum": 0.0, "nesterov": False}
    start = [n.get_weights() for n in (teacher, student)]
    probs = tf.nn.softmax(teacher(batch["strong"])).numpy()
    mean = 0.0
    model = make(teacher, student, form, label_smoothing=0.0, baseline_decay=0.0, **small)
    expected = flat(oracle(model, batch, smoothing=0.0, **small))
    labels = tf.Variable(tf.zeros([count], tf.int32))
    model.estimator.label = lambda logits: tf.one_hot(labels, K, dtype=logits.dtype)
    for assignment in itertools.product(range(K), repeat=count):
        teacher.set_weights(start[0])
        student.set_weights(start[1])
        model.feedback_count.assign(0)  # no baseline
        labels.assign(assignment)
        weight = np.prod(probs[np.arange(count), assignment])
        mean = mean + weight * change_of_teacher(model, batch)
    assert cosine(mean, expected) > 0.999
    assert np.linalg.norm(mean) / np.linalg.norm(expected) == pytest.approx(1 / count, rel=0.01)


@pytest.mark.parametrize("form", ["sampled", "dot", "exact"])
def test_a_label_that_helps_gives_positive_feedback_and_becomes_more_likely(form, linear):
    """The unlabeled images are the labeled ones, and the teacher labels them right."""
    rng = np.random.default_rng(4)
    images, label = rng.normal(size=(B, 5)), rng.integers(K, size=B)
    batch = {"labeled": images, "label": label, "weak": images, "strong": images}
    teacher, student = linear(5, K), linear(5, K)
    model = make(teacher, student, form, label_smoothing=0.0, **SGD)
    if form != "exact":
        model.estimator.label = lambda logits: tf.one_hot(label, K, dtype=logits.dtype)

    def likelihood():
        probs = tf.nn.softmax(teacher(images)).numpy()
        return np.log(probs[np.arange(B), label]).mean()

    before = likelihood()
    data = tf.data.Dataset.from_tensors(batch).repeat()
    history = model.fit(data, steps_per_epoch=1, verbose=0).history
    if form != "exact":
        assert history["feedback"][0] > 0
    assert likelihood() > before
