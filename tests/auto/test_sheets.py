"""Contact sheets of any list, and of what cannot be drawn."""

import logging

import numpy as np
import PIL.Image
import pytest

from mpl_tf.auto import sheets
from mpl_tf.console import log


@pytest.mark.parametrize("count", [0, 1, 7, sheets.MOST + 5])
@pytest.mark.parametrize("shape", [(8, 8, 1), (20, 30, 3)])
def test_a_sheet_has_room_for_each_image(tmp_path, rng, count, shape):
    images = rng.integers(0, 256, (count, *shape), np.uint8)
    path = tmp_path / "sheet.png"
    captions = [(f"class $_{i}", "a" * 50, "50%") for i in range(count)]
    assert sheets.draw(str(path), title="Sheet", images=images, captions=captions)
    with PIL.Image.open(path) as picture:
        width, height = picture.size
    assert width <= 1810
    rows = max(1, -(-min(count, sheets.MOST) // 10))
    assert height == pytest.approx(120 * (rows * 2.0 + 0.6), abs=2)


def test_of_a_long_name_the_end_is_shown():
    assert sheets.end_of("a/b.png") == "a/b.png"
    assert sheets.end_of("unlabeled/2026/may/holiday/0123.png") == "…ay/holiday/0123.png"
    assert sheets.end_of(17) == "17"


def test_every_image_is_shown_in_its_colours(tmp_path):
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    images = [np.full((9, 9, 3), color, np.uint8) for color in colors]
    path = tmp_path / "sheet.png"
    sheets.draw(str(path), title="t", images=images, captions=[("x",)] * 3)
    pixels = np.asarray(PIL.Image.open(path).convert("RGB")).reshape(-1, 3)
    for color in colors:
        assert np.sum(np.all(pixels == color, axis=1)) > 5000


def test_what_cannot_be_drawn_stops_nothing(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(log, "propagate", True)
    with caplog.at_level(logging.WARNING, logger=log.name):
        drawn = sheets.draw(
            str(tmp_path / "sheet.png"), title="t", images=[np.zeros(3)], captions=[("x",)]
        )
    assert not drawn and "could not be drawn, and all else goes on" in caplog.text
    assert not list(tmp_path.iterdir())
