"""Which predictions are shown: of each class the surest and the least sure."""

import numpy as np
import pytest

from mpl_tf.auto import sample


def probs_of(classes, sureness, num_classes):
    rows = np.full([len(classes), num_classes], 0.0)
    rows[np.arange(len(classes)), classes] = sureness
    return rows


def test_classes_have_equal_shares_the_surest_first():
    classes = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2]
    sureness = [0.4, 0.9, 0.5, 0.8, 0.6, 0.7, 0.5, 0.9, 0.7, 0.6]
    chosen = sample.choose(probs_of(classes, sureness, 4), 6)
    assert chosen.tolist() == [1, 3, 0, 7, 6, 9]


@pytest.mark.parametrize("most", [0, 1, 5, 60])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_no_image_comes_twice(rng, most, count):
    chosen = sample.choose(rng.dirichlet(np.ones(3), count), most)
    assert len(set(chosen.tolist())) == len(chosen) == min(most, count)


def test_of_more_classes_than_have_room_the_largest_are_shown():
    classes = [0, 1, 1, 2, 2, 2, 3]
    chosen = sample.choose(probs_of(classes, np.full(7, 0.9), 4), 2)
    assert [classes[i] for i in chosen] == [1, 2]
