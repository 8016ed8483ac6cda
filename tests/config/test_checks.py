"""What is said of a configuration that does not fit its images."""

import numpy as np
import pytest

from mpl_tf import config
from mpl_tf.data.arrays import arrays
from mpl_tf.data.dataset import Source
from mpl_tf.options import ConfigError


@pytest.mark.parametrize(
    ("labels", "class_names", "message"),
    [
        ([0, 2, 2, 0], "abc", "digits has no labeled image of 1 of its 3 classes: 'b'."),
        ([1, 1, 1, 1], "abcdefgh", "of 7 of its 8 classes: 'a', 'c', 'd', 'e', 'f', ...."),
        ([0, 0, 0, 0], "a", "digits must have at least two classes; it has 1."),
        ([0, 1, 2, 3], "abc", "labels must be from 0 to 2; received 0 to 3."),
    ],
)
def test_classes_without_labels_are_named(labels, class_names, message):
    settings = {"method": "supervised", "num_labeled": 0, "num_validation": 0, "labeled_batch": 2}
    train = arrays(np.zeros([4, 8, 8, 1], np.uint8), labels)
    with pytest.raises(ConfigError) as refusal:
        config.check_data(config.make(settings), Source(train, tuple(class_names)))
    assert str(refusal.value).endswith(message)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([0, 1, 4], "labeled_batch * unlabeled_ratio must be at most the 1 unlabeled images"),
        ([0, 1], "digits has no unlabeled image that is no copy of a labeled one. Add some."),
    ],
)
def test_copies_of_labeled_images_are_not_counted_where_they_are_left_out(rng, others, message):
    images = arrays(rng.integers(0, 256, (5, 8, 8, 1), np.uint8), np.arange(5) % 2)
    source = Source(images.take(slice(4)), ("a", "b"), images.take(np.array(others)))
    settings = {"num_labeled": 0, "num_validation": 0, "exclude_labeled": True}
    settings |= {"labeled_batch": 2, "unlabeled_ratio": 1}
    with pytest.raises(ConfigError) as refusal:
        config.check_data(config.make(settings | {"method": "fixmatch"}), source)
    assert str(refusal.value).startswith(message)
