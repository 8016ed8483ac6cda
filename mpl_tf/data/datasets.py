"""The datasets that `--dataset` knows by name."""

from mpl_tf.data.dataset import Dataset
from mpl_tf.data.sources import digits, tfds

DATASETS = {
    "digits": Dataset(digits.load, available=1297, unlabeled=0, side=digits.SIDE),
    "cifar10": tfds.dataset("cifar10", available=50_000),
    "cifar100": tfds.dataset("cifar100", available=50_000),
    "svhn_cropped": tfds.dataset("svhn_cropped", available=73_257),
    "fashion_mnist": tfds.dataset("fashion_mnist", available=60_000),
    "mnist": tfds.dataset("mnist", available=60_000),
    "stl10": tfds.dataset("stl10", available=5000),
    "imagenet2012": tfds.dataset("imagenet2012", available=1_281_167),
}
