"""Finetuning is the step of supervised learning."""

import numpy as np

import mpl_tf

CONTRACT = {"no_better_on": ("digits", "moons")}


def test_it_is_supervised_learning(after_ten_steps, supervised_steps, by_hand):
    """For the same options; labels of Supervised are float32, for MixUp."""
    by_hand.assert_close(after_ten_steps(mpl_tf.Finetune), supervised_steps, 1e-6)


def test_all_weights_and_statistics_move(convolutional, random_batch, endless):
    student = convolutional(0)
    before = student.get_weights()
    model = mpl_tf.Finetune(student)
    model.compile("sgd", run_eagerly=True)
    model.fit(endless(random_batch((6, 6, 1))), steps_per_epoch=1, verbose=0)
    assert not any(map(np.array_equal, student.get_weights(), before))
