"""Memory over a sequence of operations, by hand."""

import pytest

from mpl_tf.networks.liveness import Step, over_time


@pytest.mark.parametrize(
    ("steps", "kept", "expected"),
    [
        ([Step([], [1], [8]), Step([1], [2], [4]), Step([2], [3], [2])], (), [8, 12, 6]),
        ([Step([], [1], [8]), Step([1], [2], [8], True), Step([2], [3], [8], True)], (), [8, 8, 8]),
        # It is read again: nothing is made in its place.
        ([Step([], [1], [8]), Step([1], [2], [8], True), Step([1], [3], [1])], (), [8, 16, 9]),
        ([Step([], [1], [8]), Step([1], [2], [4], True)], (), [8, 12]),  # another size
        ([Step([0], [1], [8], True)], (), [8]),  # of what the sequence did not make
        ([Step([], [1], [8]), Step([], [2], [1])], (), [8, 1]),  # nobody reads it
        ([Step([], [1], [8]), Step([], [2], [1])], [1], [8, 9]),
        ([Step([], [1], [8]), Step([1], [2, 3], [4, 4], at_once=True)], (), [8, 8]),
        # A value that was read before it became the old one, and is read once more.
        (
            [Step([1], [2], [3]), Step([2], [1], [8]), Step([], [4], [1]), Step([1], [5], [1])],
            (),
            [3, 11, 9, 9],
        ),
        ([Step([1], [2], [3]), Step([2], [1], [8]), Step([], [4], [1])], (), [3, 11, 1]),
        ([Step([1], [1], [8]), Step([], [4], [1])], (), [8, 1]),
    ],
)
def test_over_time(steps, kept, expected):
    assert over_time(steps, kept) == expected
