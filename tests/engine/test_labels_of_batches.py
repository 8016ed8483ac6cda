"""What fit makes of labels: class ids, or a sentence."""

import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import config
from mpl_tf.engine.batches import check_batch
from mpl_tf.runs import experiment

SHAPE, K = (4, 4, 1), 3
IDS = np.array([0, 1, 2, 1])


def data(label):
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.uint8)
    return tf.data.Dataset.from_tensors({"labeled": images, "label": label}).repeat()


def fitted(label):
    method = mpl_tf.Supervised(mpl_tf.NETWORKS["mlp"](K, SHAPE, seed=1, dropout=0.0))
    method.compile("sgd")
    method.fit(data(label), steps_per_epoch=2, verbose=0)
    return method.student.get_weights()


@pytest.mark.parametrize("label", [IDS[:, None], IDS.astype(np.float32), IDS.astype(np.uint8)])
def test_class_ids_in_other_forms_are_taken(label):
    for weight, expected in zip(fitted(label), fitted(IDS), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.eye(K)[[0, 1, 2, 1]], r"received shape \(4, 3\), as one-hot labels have. tf.argmax"),
        (IDS[:, None, None], "class ids .B. or .B, 1.; received shape"),
        (np.array(list("abca")), "label must be class ids, whole numbers; received string"),
        (np.array([0, 1, 3, 1]), "from 0 to 2, as the networks have 3 classes; received 3"),
        (np.array([0, -1, 2, 1]), "received -1. Images without a label belong"),
        (np.array([0, 255, 2, 1], np.uint8), "received 255"),
        (np.array([0, 0.5, 2, 1]), "whole numbers from 0 to 2.*received 0.5"),
        (np.array([0, np.nan, 2, 1]), "received nan"),
    ],
)
def test_other_labels_are_refused(label, message):
    with pytest.raises(ValueError, match=message):
        fitted(label)


def test_pair_knows_its_labels_and_more_classes_than_the_network_has_are_refused():
    images = np.zeros([8, *SHAPE], np.uint8)
    pairs = mpl_tf.data.pair(
        (images, np.arange(8) % 4), labeled_batch=8, unlabeled_ratio=1, method=mpl_tf.Supervised
    )
    method = mpl_tf.Supervised(mpl_tf.NETWORKS["mlp"](K, SHAPE))
    method.compile("sgd")
    with pytest.raises(ValueError, match="from 0 to 2, as the networks have 3 classes; received 3"):
        method.fit(pairs, steps_per_epoch=1)


def test_a_label_out_of_range_that_no_early_batch_has_is_refused_too():
    images, labels = np.zeros([400, *SHAPE], np.uint8), np.arange(400) % K
    labels[0] = K + 1
    data = mpl_tf.data.pair(
        (images, labels), labeled_batch=4, unlabeled_ratio=1, method=mpl_tf.Supervised
    )
    drawn = np.concatenate([batch["label"] for batch in data.take(2)])
    assert drawn.max() < K
    with pytest.raises(ValueError, match=f"3 classes; received {K + 1}"):
        check_batch(data, (), {"student": mpl_tf.NETWORKS["mlp"](K, SHAPE)}, 1)


@pytest.mark.parametrize("wrong", [K, -1, 0.5, np.nan])
def test_a_wrong_label_of_a_later_batch_stops_training(wrong):
    labels = np.where(np.arange(10)[:, None] < 5, [0.0, 1.0], [0.0, wrong])
    batches = {"labeled": np.zeros([10, 2, *SHAPE], np.uint8), "label": labels}
    data = tf.data.Dataset.from_tensor_slices(batches).repeat()
    method = mpl_tf.Supervised(mpl_tf.NETWORKS["mlp"](K, SHAPE))
    method.compile("sgd")
    method.fit(data, steps_per_epoch=5, verbose=0, renew_statistics=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="label must be whole numbers from 0"):
        method.fit(data, steps_per_epoch=6, verbose=0)


def test_data_without_a_batch_is_refused():
    batch = {"labeled": np.zeros([2, *SHAPE], np.uint8), "label": np.array([0, 1])}
    data = tf.data.Dataset.from_tensors(batch).filter(lambda _: False)
    with pytest.raises(ValueError, match="at least one batch; received none"):
        check_batch(data, (), {"student": mpl_tf.NETWORKS["mlp"](K, SHAPE)}, 1)


@pytest.mark.parametrize("known", [False, True])
def test_data_that_says_its_classes_is_not_read_for_them(known):
    reads = []

    def batch():
        reads.append(None)
        yield {"labeled": np.zeros([2, *SHAPE], np.uint8), "label": np.array([0, 1])}

    spec = {"labeled": tf.TensorSpec([2, *SHAPE], tf.uint8), "label": tf.TensorSpec([2], tf.int64)}
    batches = tf.data.Dataset.from_generator(batch, output_signature=spec)
    if known:
        batches.class_counts = np.array([1, 1])
    check_batch(batches, (), {"student": mpl_tf.NETWORKS["mlp"](K, SHAPE)}, 1)
    assert bool(reads) == (not known)


def test_a_run_says_how_many_labels_its_classes_have():
    made = config.make({"network": "mlp", "steps": 4, "num_labeled": 50})
    split = experiment.make_split(made, mpl_tf.DATASETS["digits"].load())
    batches = experiment.build(made, split, "").batches("train", 0)
    np.testing.assert_array_equal(batches.class_counts, np.full(10, 5))
