"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8 pixels, no download."""

import numpy as np
import sklearn.datasets

from mpl_tf.augment import policies
from mpl_tf.data.dataset import Dataset, Images
from mpl_tf.data.splits import balanced_choice

_TEST_SIZE = 500


def load():
    """(train, test) Images: 1,297 and 500.

    The set has no test part of its own; 50 images a class are taken by a fixed seed, the same in
    every run.
    """
    bunch = sklearn.datasets.load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    every = Images(images, bunch.target.astype(np.int64), np.arange(len(images)))
    test = balanced_choice(every.labels, _TEST_SIZE, seed=0)
    train = np.setdiff1d(np.arange(len(images)), test)
    return every.take(train), every.take(test)


DIGITS = Dataset(
    load=load,
    class_names=tuple("0123456789"),
    num_validation=200,
    weak=policies.digits_weak,
    strong=policies.digits_strong,
    recipe={
        "network": "small",
        "num_labeled": 50,
        "labeled_batch": 32,
        "unlabeled_ratio": 7,
        "steps": 1000,
        "eval_every": 100,
        "student_learning_rate": 0.4,
        "teacher_learning_rate": 0.4,
        "finetune_learning_rate": 1e-3,
        "finetune_steps": 200,
    },
)
