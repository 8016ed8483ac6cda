"""Datasets, by the name that `--dataset` takes."""

from mpl_tf.data import digits

DATASETS = {
    "digits": digits.DIGITS,
}
