"""The datasets that `--dataset` knows by name."""

from mpl_tf.data.dataset import Dataset, Form
from mpl_tf.data.sources import digits, tfds

DATASETS = {
    "digits": Dataset(digits.load, available=1297, unlabeled=0, side=digits.SIDE, form=digits.form),
    "cifar10": tfds.dataset("cifar10", 50_000, Form(32, 3, 10, 60_000)),
    "cifar100": tfds.dataset("cifar100", 50_000, Form(32, 3, 100, 60_000)),
    "svhn_cropped": tfds.dataset("svhn_cropped", 73_257, Form(32, 3, 10, 99_289)),
    "fashion_mnist": tfds.dataset("fashion_mnist", 60_000, Form(28, 1, 10, 70_000)),
    "mnist": tfds.dataset("mnist", 60_000, Form(28, 1, 10, 70_000)),
    "stl10": tfds.dataset("stl10", 5000, Form(96, 3, 10, 113_000)),
    "imagenet2012": tfds.dataset("imagenet2012", 1_281_167, Form(32, 3, 1000, 1_331_167)),
}
