"""Labels that predictions contradict: by hand, and labels that were exchanged."""

import numpy as np

from mpl_tf.auto import suspicious


def test_thresholds_are_each_class_own():
    probs = np.array(
        [
            [0.9, 0.1],
            [0.7, 0.3],  # the threshold of class 0 is 0.8
            [0.4, 0.6],
            [0.75, 0.25],  # of class 1: 0.425
            [0.95, 0.05],
            [0.2, 0.8],
        ]
    )
    labels = np.array([0, 0, 1, 1, 1, 1])
    positions, classes = suspicious.find(probs, labels)
    assert (positions.tolist(), classes.tolist()) == ([4], [0])  # 0.75 is below the threshold
    probs[0], labels = [0.3, 0.7], np.array([0, 0, 1, 1, 1, 1])  # now 0.5
    positions, classes = suspicious.find(probs, labels)
    assert (positions.tolist(), classes.tolist()) == ([4, 3, 0], [0, 0, 1])  # the surest first


def test_exchanged_labels_come_first(rng):
    truth = np.arange(300) % 3
    labels = truth.copy()
    exchanged = rng.choice(300, 15, replace=False)
    labels[exchanged] = (labels[exchanged] + 1) % 3
    logits = 4 * np.eye(3)[truth] + rng.normal(size=(300, 3))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    positions, classes = suspicious.find(probs, labels)
    found = set(positions) & set(exchanged)
    assert len(found) >= 10 and len(positions) <= len(found) + 1  # those below the mean are not
    assert set(positions[:10]) <= set(exchanged)
    assert all(classes[list(positions).index(i)] == truth[i] for i in found)


def test_of_images_that_were_never_held_out_nothing_is_said():
    probs = np.array([[0.1, 0.9], [np.nan, np.nan], [0.9, 0.1], [0.1, 0.9]])
    positions, _ = suspicious.find(probs, np.array([0, 0, 0, 1]))
    assert positions.tolist() == [0]
    positions, classes = suspicious.find(np.full((2, 2), np.nan), np.array([0, 1]))
    assert len(positions) == len(classes) == 0


def test_a_class_without_labels_is_not_predicted():
    probs = np.array([[0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])
    positions, _ = suspicious.find(probs, np.array([0, 1]))
    assert not len(positions)


def test_right_predictions_are_not_suspicious(rng):
    probs = np.eye(4)[np.arange(40) % 4] * 0.7 + 0.075
    assert not len(suspicious.find(probs, np.arange(40) % 4)[0])
