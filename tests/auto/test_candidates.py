"""The candidates as text, table and picture."""

import csv

import numpy as np
import PIL.Image
import pytest

from mpl_tf.auto import candidates, estimates


@pytest.fixture
def tried():
    right, other = np.arange(50) < 40, np.arange(50) < 30
    return [
        candidates.Candidate("fixmatch", estimates.estimate(right), 61.0),
        candidates.Candidate(
            "logistic regression",
            estimates.estimate(other),
            2.0,
            estimates.difference(other, right),
        ),
        candidates.Candidate("single labels", None, 0.5),
    ]


def test_the_delivered_one_comes_first_with_its_interval(tried):
    first, second, third = candidates.text(tried).splitlines()
    low, high = tried[0].estimate.interval
    assert first.split("  ")[1:] != [] and first.endswith("1 minute  delivered")
    assert f"80.0% ({low:.1%} to {high:.1%})" in first
    assert second.endswith("2 seconds  -20.0 points (-31.3 to -8.7): almost surely worse")
    assert "not measured" in third


def test_the_table_has_the_numbers(tried, tmp_path):
    path = tmp_path / "candidates.csv"
    candidates.write(str(path), tried)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["candidate"] for row in rows] == [c.name for c in tried]
    assert float(rows[1]["accuracy"]) == 0.6 and rows[2]["accuracy"] == ""
    assert float(rows[1]["difference"]) == pytest.approx(-0.2)
    assert [row["compared_with_the_delivered"] for row in rows] == [
        "delivered",
        "almost surely worse",
        "",
    ]
    assert float(rows[0]["seconds"]) == 61


@pytest.mark.parametrize("count", [0, 2, 3])
def test_the_picture_is_drawn(tried, tmp_path, count):
    path = tmp_path / "candidates.png"
    chosen = tried[:count] or tried[2:]
    assert candidates.draw(str(path), "Candidates of $my_folder", chosen)
    with PIL.Image.open(path) as picture:
        assert picture.size[0] == 900
