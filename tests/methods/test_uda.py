"""UDA against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf

# A threshold that some images pass and others do not.
CONTRACT = {
    "replicas": {"threshold": 0.4, "signal_annealing": "linear", "signal_annealing_steps": 20}
}


@pytest.mark.parametrize("annealing", ["none", "linear"])
def test_a_step_by_hand(annealing, linear, vectors, endless, by_hand):
    model = mpl_tf.UDA(
        linear(5, 3),
        threshold=0.7,
        temperature=0.5,
        unlabeled_weight=2.0,
        label_smoothing=0.2,
        signal_annealing=annealing,
        signal_annealing_steps=100,
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    model.step.assign(10)
    start = model.student.get_weights()
    model.fit(endless(vectors), steps_per_epoch=1, verbose=0)

    z = by_hand.logits(vectors["weak"], start)
    mask = by_hand.softmax(z).max(axis=1) >= 0.7  # of the prediction itself
    sharp = by_hand.softmax(z / 0.5)
    assert 0 < mask.sum() < (sharp.max(axis=1) >= 0.7).sum()  # and that matters here
    labeled = by_hand.softmax(by_hand.logits(vectors["labeled"], start))
    kept = np.ones(4, bool)
    if annealing == "linear":
        kept = labeled[np.arange(4), vectors["label"]] <= 1 / 3 + 0.1 * 2 / 3
        assert 0 < kept.sum() < 4
    target = 0.8 * np.eye(3)[vectors["label"]] + 0.2 / 3
    labeled = kept[:, None] * (labeled - target) / kept.sum()
    strong = by_hand.softmax(by_hand.logits(vectors["strong"], start))
    strong = 2.0 * mask[:, None] * (strong - sharp) / 6
    parts = [(vectors["labeled"], labeled), (vectors["strong"], strong)]
    by_hand.assert_close(model.student.get_weights(), by_hand.step(start, parts))


def test_no_label_kept_is_no_step(linear, vectors, endless, by_hand):
    student = linear(5, 3)
    sure = [10 * w for w in student.get_weights()]
    student.set_weights(sure)
    vectors["label"] = np.argmax(student.predict(vectors["labeled"], verbose=0), axis=1)
    model = mpl_tf.UDA(student, signal_annealing="exp", unlabeled_weight=0.0)
    model.compile(keras.optimizers.SGD(0.5))
    history = model.fit(endless(vectors), steps_per_epoch=1, verbose=0).history
    assert history["labels_kept"] == [0.0]
    assert history["student_loss"] == [0.0]
    by_hand.assert_identical(sure, student.get_weights())


@pytest.mark.parametrize("limit", [{"unlabeled_weight": 0.0}, {"threshold": 1.01}])
def test_limits_are_supervised_learning(limit, after_ten_steps, supervised_steps, by_hand):
    by_hand.assert_close(after_ten_steps(mpl_tf.UDA, **limit), supervised_steps, 1e-6)
