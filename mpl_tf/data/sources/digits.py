"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8 pixels, no download."""

import numpy as np
import sklearn.datasets
import tensorflow as tf

from mpl_tf.augment.ops import to_uint8
from mpl_tf.data.dataset import Form, Images, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.data.splits import balanced_choice
from mpl_tf.data.stores import ArrayStore
from mpl_tf.images.digests import digests_of

SIDE = 8  # pixels, as they come
_NUM_IMAGES, _TEST_SIZE = 1797, 500
_NAMES = tuple("0123456789")


def load(options: DataConfig | None = None) -> Source:
    """1,297 training and 500 test images.

    The set has no test part of its own; 50 images a class are taken by a fixed seed, the same in
    every run.

    Args:
      options: `image_size` counts; with 0 images are as they come.
    """
    bunch = sklearn.datasets.load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    numbers = np.arange(len(images))
    side = SIDE if options is None else form(options).side
    digits = Images(_store(images, side), numbers, bunch.target.astype(np.int64), numbers)
    test = balanced_choice(digits.labels, _TEST_SIZE, seed=0)
    train = digits.take(np.setdiff1d(numbers, test))
    return Source(train, _NAMES, test=digits.take(test))


def form(options: DataConfig) -> Form:
    """What the images are; see data.dataset.Dataset."""
    return Form(options.image_size or SIDE, 1, len(_NAMES), _NUM_IMAGES)


def _store(images: np.ndarray, side: int) -> ArrayStore:
    """Images uint8 [N, 8, 8, 1] in a size in pixels; their digests are those of images of 8."""
    if side == SIDE:
        return ArrayStore(images)
    with tf.device("CPU"):
        # As `decode.fit` does, all at once.
        fitted = to_uint8(tf.image.resize(images, [side, side], antialias=True))
        return ArrayStore(fitted, digests_of(images).numpy())
