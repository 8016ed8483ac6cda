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
