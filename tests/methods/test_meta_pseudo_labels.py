"""Steps of Meta Pseudo Labels against hand-written numpy, and which network moves when."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf

# Two hundred steps suit the teacher's consistency at full weight, and a student that does not wait.
# It sees no label before it is finetuned, and needs more steps to beat the labels alone.
CONTRACT = {
    "digits": {"uda_weight": 1.0, "student_wait_steps": 0},
    "no_better_on": ("digits",),
    "moons": {"uda_weight": 1.0, "uda_threshold": 0.0, "uda_ramp_steps": 0},
    "replicas": {"uda_threshold": 0.3, "feedback_weight": 5.0},
}

B, U, D, K = 4, 6, 5, 3
FORMS = ("sampled", "dot", "exact", "none")


def total(a, b):
    return sum(np.sum(x * y) for x, y in zip(a, b, strict=True))


def clipped(gradient, limit):
    norm = np.sqrt(total(gradient, gradient))
    return [g * min(1, limit / norm) for g in gradient] if limit else gradient


def sgd(weights, velocity, gradient, rate, momentum):
    """Keras's Nesterov SGD."""
    velocity = [momentum * v - rate * g for v, g in zip(velocity, gradient, strict=True)]
    moved = [
        w + momentum * v - rate * g for w, v, g in zip(weights, velocity, gradient, strict=True)
    ]
    return moved, velocity


def numpy_step(np_, state, batch, h, form, pseudo_label):
    """One step of both linear networks, by the equations of the paper; returns the new state.

    Args:
      np_: the fixture `by_hand`.
      state: as `start_of` gives it.
      batch: as `random_batch` draws it.
      h: hyperparameters as in HYPER.
      form: of the feedback.
      pseudo_label: [U, K], where they are drawn.
    """
    x_l, y, weak, strong = (batch[k] for k in ("labeled", "label", "weak", "strong"))
    rate, m, s, wd = h["rate"], h["momentum"], h["smoothing"], h["weight_decay"]
    softmax, logits, cross_entropy = np_.softmax, np_.logits, np_.cross_entropy
    teacher, student, label = state["teacher"], state["student"], np.eye(K)[y]
    labeling = weak if h["label_view"] == "weak" else strong
    soft = softmax(logits(labeling, teacher) / h["label_temperature"])
    q = soft if form in ("exact", "none") else pseudo_label

    # Student: one step on the pseudo labels.
    dz = (softmax(logits(strong, student)) - np_.smooth(q, s)) / U
    dz_labels = softmax(logits(x_l, student)) - np_.smooth(label, s)
    dz_labels = h["student_supervised_weight"] * dz_labels / B
    learned = np_.gradient((strong, dz), (x_l, dz_labels))
    raw = [g + wd * w for g, w in zip(learned, student, strict=True)]
    g = clipped(raw, h["clip"])
    new_student, v_s = sgd(student, state["v_s"], g, rate, m)

    # Feedback, old minus new or its first order, and the credit of the teacher's logits.
    before = cross_entropy(label, logits(x_l, student))
    after = cross_entropy(label, logits(x_l, new_student))
    v = np_.gradient((x_l, (softmax(logits(x_l, new_student)) - label) / B))
    step = rate * (1 + m)
    if form == "exact":
        scale = g[0].flat[0] / raw[0].flat[0]  # what clipping multiplied by
        if scale < 1:
            along = total(v, raw) / total(raw, raw)
            v = [scale * (a - along * b) for a, b in zip(v, raw, strict=True)]
        slope = logits(strong, v)  # d/d eps of the student's logits along v
        log_slope = slope - np.sum(softmax(logits(strong, student)) * slope, axis=1, keepdims=True)
        f = (1 - s) * step / U * log_slope
        term = soft * (f - np.sum(soft * f, axis=1, keepdims=True))
    elif form == "none":
        term = np.zeros_like(soft)
    else:
        value = before - after if form == "sampled" else step * total(v, g)
        value = value / step if h["feedback_scale"] == "unit" else value
        average, count, decay = state["average"], state["count"], h["baseline_decay"]
        baseline = average / (1 - decay**count) if count else 0.0
        term = (value - baseline) * (soft - q) / U
        state = {**state, "average": decay * average + (1 - decay) * value, "count": count + 1}

    # Teacher: feedback, labels, consistency.
    z_l = logits(x_l, teacher)
    dz_l = h["supervised_weight"] * (softmax(z_l) - np_.smooth(label, s)) / B
    target = softmax(logits(weak, teacher) / h["temperature"])
    mask = (target.max(axis=1) >= h["threshold"])[:, None]
    ramp = min(1, state["step"] / h["ramp"])
    p = softmax(logits(strong, teacher))
    dz_u = h["uda_weight"] * ramp * mask * (p - target) / U
    dz_f = h["feedback_weight"] * term / h["label_temperature"]
    if h["feedback_scale"] == "unit" and form == "exact":
        dz_f = dz_f / step
    loss_gradient = np_.gradient((x_l, dz_l), (strong, dz_u), (labeling, dz_f))
    g = [a + wd * w for a, w in zip(loss_gradient, teacher, strict=True)]
    new_teacher, v_t = sgd(teacher, state["v_t"], clipped(g, h["clip"]), rate, m)
    d = min(h["ema_decay"], (1 + state["step"]) / (10 + state["step"]))
    ema = [d * e + (1 - d) * w for e, w in zip(state["ema"], new_student, strict=True)]
    moved = {"teacher": new_teacher, "student": new_student, "ema": ema, "v_s": v_s, "v_t": v_t}
    return {**state, **moved, "step": state["step"] + 1}


HYPER = {
    "rate": 0.3,
    "momentum": 0.9,
    "smoothing": 0.1,
    "weight_decay": 0.01,
    "clip": None,
    "feedback_weight": 2.0,
    "feedback_scale": "step",
    "label_view": "strong",
    "label_temperature": 1.0,
    "student_supervised_weight": 0.0,
    "supervised_weight": 0.7,
    "uda_weight": 3.0,
    "temperature": 0.5,
    "threshold": 0.8,
    "ramp": 2,
    "ema_decay": 0.5,
    "baseline_decay": 0.6,
}


def make(linear, form, student_rate=0.3, teacher_rate=0.3, momentum=0.9, clip=None, **changes):
    """A compiled MetaPseudoLabels on linear networks with the hyperparameters of HYPER."""
    hyperparameters = {
        "feedback": form,
        "feedback_weight": HYPER["feedback_weight"],
        "supervised_weight": HYPER["supervised_weight"],
        "uda_weight": HYPER["uda_weight"],
        "uda_temperature": HYPER["temperature"],
        "uda_threshold": HYPER["threshold"],
        "uda_ramp_steps": HYPER["ramp"],
        "label_smoothing": HYPER["smoothing"],
        "ema_decay": HYPER["ema_decay"],
        "baseline_decay": HYPER["baseline_decay"],
    } | changes
    model = mpl_tf.MetaPseudoLabels(linear(D, K), linear(D, K), **hyperparameters)

    def optimizer(rate):
        return keras.optimizers.SGD(rate, momentum=momentum, nesterov=momentum > 0)

    model.compile(
        student_optimizer=optimizer(student_rate),
        teacher_optimizer=optimizer(teacher_rate),
        weight_decay=HYPER["weight_decay"],
        clip_norm=clip,
    )
    return model


def start_of(model):
    """What `numpy_step` takes, before the first step."""
    zeros = [np.zeros((D, K)), np.zeros(K)]
    networks = {name: model.networks[name].get_weights() for name in ("teacher", "student", "ema")}
    return networks | {"v_s": zeros, "v_t": zeros, "step": 0, "average": 0.0, "count": 0}


@pytest.fixture
def step_on(endless):
    """step_on(model, batch): one training step by Keras's own loop; returns its logs."""

    def run(model, batch):
        history = model.fit(endless(batch), steps_per_epoch=1, verbose=0)
        return {name: values[-1] for name, values in history.history.items()}

    return run


@pytest.fixture
def taught(rng):
    """Hard pseudo labels [U, K]."""
    return np.eye(K)[rng.integers(K, size=U)]


@pytest.fixture
def check_three_steps(linear, random_batch, step_on, taught, by_hand, monkeypatch):
    """check_three_steps(form, clip, **hyperparameters): three steps are those of `numpy_step`."""

    def check(form, clip, **changes):
        model = make(linear, form, clip=clip, **changes)
        if form in ("sampled", "dot"):
            monkeypatch.setattr(model.estimator, "label", lambda logits: tf.constant(taught))
        state, hyper = start_of(model), {**HYPER, "clip": clip, **changes}
        hyper["rate"] = float(np.float32(hyper["rate"]))  # Keras keeps rates in float32
        for _ in range(3):
            batch = random_batch((D,))
            step_on(model, batch)
            state = numpy_step(by_hand, state, batch, hyper, form, taught)
            for name in ("teacher", "student", "ema"):
                # The running mean of the feedback and the EMA decay are float32.
                by_hand.assert_close(model.networks[name].get_weights(), state[name], 1e-6)

    return check


@pytest.mark.parametrize("joint", [False, True])  # all the same without batch statistics
@pytest.mark.parametrize("clip", [None, 0.2])
@pytest.mark.parametrize("form", FORMS)
def test_three_steps_equal_hand_written_numpy(form, clip, joint, check_three_steps):
    check_three_steps(form, clip, joint_views=joint)


OPTIONS = (
    {"label_view": "weak"},
    {"label_view": "weak", "uda_weight": 0.0},
    {"label_view": "weak", "joint_views": False},
    {"student_supervised_weight": 0.8},
    {"feedback_scale": "unit"},
    {"label_temperature": 0.5},
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_three_steps_with_an_option_equal_hand_written_numpy(form, changes, check_three_steps):
    check_three_steps(form, 0.2, **changes)


@pytest.mark.parametrize("form", ["sampled", "dot", "exact"])
def test_the_unit_scale_of_feedback_does_not_follow_the_rate(form, linear, vectors, step_on):
    """A student's rate of a hundredth and plain SGD: the teacher's first step is the same."""
    start, moved = (linear(D, K).get_weights(), linear(D, K).get_weights()), []
    for rate in (1e-3, 1e-5):
        model = make(linear, form, student_rate=rate, momentum=0.0, feedback_scale="unit")
        model.compile(  # without the L2 term, which sampled and dot see
            student_optimizer=keras.optimizers.SGD(rate),
            teacher_optimizer=keras.optimizers.SGD(1.0),
        )
        model.teacher.set_weights(start[0])
        model.student.set_weights(start[1])
        step_on(model, vectors)
        moved.append(model.teacher.get_weights()[0] - start[0][0])
    np.testing.assert_allclose(moved[0], moved[1], rtol=0.02, atol=1e-3 * np.abs(moved[0]).max())


@pytest.mark.parametrize("scale", ["step", "unit"])
def test_exact_feedback_does_not_depend_on_how_often_images_are_there(
    scale, linear, vectors, step_on
):
    """Every unlabeled image twice, in one batch: the same step, and the same share of the pull."""
    start, moved, shares = (linear(D, K).get_weights(), linear(D, K).get_weights()), [], []
    for times in (1, 2):
        model = make(linear, "exact", momentum=0.0, feedback_scale=scale)
        model.teacher.set_weights(start[0])
        model.student.set_weights(start[1])
        twice = {k: np.tile(vectors[k], (times, 1)) for k in ("weak", "strong")}
        shares.append(step_on(model, vectors | twice)["feedback_share"])
        moved.append(model.teacher.get_weights()[0])
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-6)
    assert shares[0] == pytest.approx(shares[1])
    assert 0 < shares[0] < 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("resting", "moving"), [("teacher", "student"), ("student", "teacher")])
def test_a_network_of_rate_zero_stays_bit_identical(
    resting, moving, form, linear, vectors, step_on, by_hand
):
    model = make(linear, form, **{f"{resting}_rate": 0.0})
    before = {role: model.networks[role].get_weights() for role in (resting, moving)}
    step_on(model, vectors)
    by_hand.assert_identical(before[resting], model.networks[resting].get_weights())
    assert not np.array_equal(before[moving][0], model.networks[moving].get_weights()[0])


@pytest.mark.parametrize("form", ["sampled", "dot", "exact"])
def test_a_frozen_student_gives_feedback_exactly_zero(form, convolutional, random_batch, step_on):
    """Batch normalisation and dropout included: both losses see the same batch and mask."""
    model = mpl_tf.MetaPseudoLabels(convolutional(1), convolutional(2), feedback=form)
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.0), teacher_optimizer=keras.optimizers.SGD(0.1)
    )
    for _ in range(3):
        logs = step_on(model, random_batch((6, 6, 1)))
        assert logs["feedback"] == 0.0


@pytest.mark.parametrize("form", ["sampled", "dot", "exact"])
def test_no_feedback_while_the_student_waits(form, linear, vectors, step_on, by_hand):
    """In the wait the teacher moves as without feedback, and the baseline learns nothing.

    The baseline holds a value already, as after a rate that went back to 0: without the gate,
    feedback minus baseline would not be 0.
    """
    start = linear(D, K).get_weights(), linear(D, K).get_weights()
    moved = []
    for feedback in (form, "none"):
        model = make(linear, feedback)
        wait = mpl_tf.WarmupCosine(0.3, steps=100, wait=10)
        model.compile(
            student_optimizer=keras.optimizers.SGD(wait),
            teacher_optimizer=keras.optimizers.SGD(0.3),
        )
        model.teacher.set_weights(start[0])
        model.student.set_weights(start[1])
        model.feedback_average.assign(0.5)
        model.feedback_count.assign(1)
        step_on(model, vectors)
        moved.append(model.teacher.get_weights())
        assert int(model.feedback_count) == 1
        assert float(model.feedback_average) == 0.5
    by_hand.assert_identical(*moved)


def test_measuring_the_labeled_loss_moves_no_state_of_the_student(
    convolutional, random_batch, step_on, by_hand
):
    """With rate 0, the only traces of a step in the student are those of its own lesson."""
    seen = {}
    for form in ("none", "sampled", "exact"):
        teacher, student = convolutional(1), convolutional(2)
        model = mpl_tf.MetaPseudoLabels(teacher, student, feedback=form)
        model.compile(
            student_optimizer=keras.optimizers.SGD(0.0), teacher_optimizer=keras.optimizers.SGD(0.1)
        )
        step_on(model, random_batch((6, 6, 1), np.random.default_rng(5)))
        seen[form] = [v.numpy() for v in student.non_trainable_variables]
    for form in ("sampled", "exact"):
        by_hand.assert_identical(seen["none"], seen[form])


def test_the_label_that_is_taught_is_the_label_that_is_credited(
    linear, vectors, step_on, taught, by_hand, monkeypatch
):
    """A teacher that has only the feedback moves towards or away from the drawn labels."""
    model = make(linear, "sampled", momentum=0.0, supervised_weight=0.0, uda_weight=0.0)
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.3), teacher_optimizer=keras.optimizers.SGD(0.1)
    )
    monkeypatch.setattr(model.estimator, "label", lambda logits: tf.constant(taught))

    def likelihood():
        z = by_hand.logits(vectors["strong"], model.teacher.get_weights())
        return -by_hand.cross_entropy(taught, z)

    before = likelihood()
    logs = step_on(model, vectors)
    assert logs["feedback"] != 0
    assert np.sign(likelihood() - before) == np.sign(logs["feedback"])


def test_pseudo_labels_are_drawn_from_the_teacher(linear):
    model = make(linear, "sampled")
    z = tf.constant(np.log([[0.7, 0.2, 0.1]]).repeat(20000, axis=0))
    drawn = model.estimator.label(z).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), [0.7, 0.2, 0.1], atol=0.015)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn, model.estimator.label(z).numpy())  # seed and step decide
    model.step.assign_add(1)
    assert not np.array_equal(drawn, model.estimator.label(z).numpy())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weight", ["feedback_weight", "supervised_weight", "uda_weight"])
def test_any_weight_may_be_zero(form, weight, linear, vectors, step_on):
    model = make(linear, form, **{weight: 0.0})
    assert np.isfinite(step_on(model, vectors)["teacher_loss"])


def test_feedback_weight_zero_equals_no_feedback(linear, vectors, step_on, by_hand):
    start = linear(D, K).get_weights(), linear(D, K).get_weights()
    moved = []
    for form, weight in (("exact", 0.0), ("none", 1.0)):
        model = make(linear, form, feedback_weight=weight)
        model.teacher.set_weights(start[0])
        model.student.set_weights(start[1])
        step_on(model, vectors)
        moved.append(model.teacher.get_weights())
    by_hand.assert_identical(*moved)


@pytest.mark.parametrize(
    "wrong",
    [
        {"feedback": "up"},
        {"uda_temperature": 0.0},
        {"label_smoothing": 1.0},
        {"ema_decay": -0.1},
        {"feedback_weight": float("nan")},
        {"feedback_scale": "up"},
        {"uda_ramp_steps": 1.5},
    ],
)
def test_wrong_hyperparameters_say_what_is_allowed(wrong, linear):
    with pytest.raises(mpl_tf.ConfigError, match=next(iter(wrong))):
        mpl_tf.MetaPseudoLabels(linear(D, K), linear(D, K), **wrong)


def test_networks_that_do_not_fit_are_refused(linear):
    with pytest.raises(ValueError, match="same shape"):
        mpl_tf.MetaPseudoLabels(linear(D, K), linear(D, K + 1))
    network = linear(D, K)
    with pytest.raises(ValueError, match="two networks"):
        mpl_tf.MetaPseudoLabels(network, network)
    with pytest.raises(ValueError, match="built"):
        mpl_tf.MetaPseudoLabels(linear(D, K), keras.Sequential([keras.layers.Dense(K)]))


def test_optimizers_that_cannot_be_used_are_refused(linear):
    model = make(linear, "exact")
    with pytest.raises(ValueError, match="SGD"):
        model.compile(
            student_optimizer=keras.optimizers.Adam(), teacher_optimizer=keras.optimizers.SGD(0.1)
        )
    message = "received LARS. Take feedback=sampled with feedback_scale=step, which is for any"
    with pytest.raises(ValueError, match=message):
        make(linear, "exact", feedback_scale="unit").compile(
            student_optimizer=mpl_tf.LARS(), teacher_optimizer=mpl_tf.LARS()
        )
    with pytest.raises(ValueError, match="clipnorm"):
        model.compile(
            student_optimizer=keras.optimizers.SGD(0.1, clipnorm=1.0),
            teacher_optimizer=keras.optimizers.SGD(0.1),
        )
    with pytest.raises(ValueError, match="use_ema"):
        model.compile(
            student_optimizer=keras.optimizers.SGD(0.1),
            teacher_optimizer=keras.optimizers.SGD(0.1, use_ema=True),
        )
    with pytest.raises(ValueError, match="Take feedback_scale=step, which is for any"):
        make(linear, "sampled", feedback_scale="unit").compile(
            student_optimizer=keras.optimizers.Adam(), teacher_optimizer=keras.optimizers.SGD(0.1)
        )
    make(linear, "sampled").compile(
        student_optimizer=keras.optimizers.Adam(), teacher_optimizer=keras.optimizers.Adam()
    )


@pytest.mark.parametrize("joint", [False, True])
def test_joint_views_share_one_set_of_batch_statistics(joint, convolutional, random_batch, step_on):
    teacher, student = convolutional(1), convolutional(2)
    model = mpl_tf.MetaPseudoLabels(teacher, student, feedback="none", joint_views=joint)
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.0), teacher_optimizer=keras.optimizers.SGD(0.0)
    )
    batch = random_batch((6, 6, 1))
    step_on(model, batch)
    norm = next(x for x in teacher.layers if isinstance(x, keras.layers.BatchNormalization))
    before = keras.Model(teacher.input, norm.input)

    def mean(*names):
        images = np.concatenate([batch[name] for name in names])
        return before.predict(images, verbose=0).mean(axis=(0, 1, 2))

    if joint:
        expected = mean("labeled", "weak", "strong")
    else:  # two passes: the weak batch, and the other two
        expected = 0.5 * mean("weak") + 0.5 * mean("labeled", "strong")
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_batch_statistics_are_renewed_on_the_batches_of_steps(weight, convolutional, random_batch):
    student = convolutional(2)
    model = mpl_tf.MetaPseudoLabels(convolutional(1), student, student_supervised_weight=weight)
    model.compile(student_optimizer="sgd", teacher_optimizer="sgd")
    batch = random_batch((6, 6, 1))
    model.renew_statistics(tf.data.Dataset.from_tensors(batch).repeat(), steps=1)
    norm = next(x for x in model.ema.layers if isinstance(x, keras.layers.BatchNormalization))
    seen = ["labeled", "strong"] if weight else ["strong"]
    images = np.concatenate([batch[name] for name in seen])
    inputs = keras.Model(model.ema.input, norm.input).predict(images, verbose=0)
    np.testing.assert_allclose(norm.moving_mean, inputs.mean(axis=(0, 1, 2)), rtol=1e-6)
