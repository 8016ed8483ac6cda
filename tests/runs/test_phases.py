"""The calls of fit between evaluations."""

import pytest

from mpl_tf.runs.phases import fit_calls


@pytest.mark.parametrize(
    ("step", "total", "every", "expected"),
    [
        (0, 10, 5, [(2, 5)]),
        (0, 12, 5, [(2, 5), (1, 2)]),
        (3, 12, 5, [(1, 2), (1, 5), (1, 2)]),
        (3, 4, 5, [(1, 1)]),
        (5, 12, 5, [(1, 5), (1, 2)]),
        (11, 12, 5, [(1, 1)]),
        (12, 12, 5, []),
        (0, 3, 5, [(1, 3)]),
    ],
)
def test_calls_of_fit_end_at_every_evaluation_wherever_they_start(step, total, every, expected):
    assert fit_calls(step, total, every) == expected
