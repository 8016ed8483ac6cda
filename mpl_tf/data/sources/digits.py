"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8 pixels, no download."""

import numpy as np
import sklearn.datasets

from mpl_tf.data.dataset import Images, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.data.splits import balanced_choice
from mpl_tf.data.stores import ArrayStore
from mpl_tf.options import ConfigError

SIDE = 8  # pixels
_TEST_SIZE = 500


def load(options: DataConfig | None = None) -> Source:
    """1,297 training and 500 test images.

    The set has no test part of its own; 50 images a class are taken by a fixed seed, the same in
    every run.

    Args:
      options: `image_size` may be 0 or 8.

    Raises:
      ConfigError: it is something else.
    """
    if options is not None and options.image_size not in (0, SIDE):
        raise ConfigError(
            f"image_size must be {SIDE} or 0 for digits; received {options.image_size}."
        )
    bunch = sklearn.datasets.load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    numbers = np.arange(len(images))
    digits = Images(ArrayStore(images), numbers, bunch.target.astype(np.int64), numbers)
    test = balanced_choice(digits.labels, _TEST_SIZE, seed=0)
    train = digits.take(np.setdiff1d(numbers, test))
    return Source(train, tuple("0123456789"), test=digits.take(test))
