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
    row = sheets._WIDTH + sheets._LINE * (5 if count else 1) + sheets._GAP  # 1, 3 and 1 lines
    assert height == pytest.approx(120 * (rows * row + sheets._TITLE), abs=2)


@pytest.mark.parametrize(
    ("name", "folders", "expected"),
    [
        ("labeled/cat/a/1.png", ("labeled", "cat"), "a/1.png"),
        ("labeled/cat/1.png", ("labeled", "ca"), "cat/1.png"),
        ("unlabeled/1.png", ("unlabeled",), "1.png"),
        (17, ("unlabeled",), "17"),
    ],
)
def test_a_caption_leaves_out_folders_that_are_known(name, folders, expected):
    assert sheets.without_folders(name, *folders) == expected


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("ant 50%", ["ant 50%"]),
        ("labeled septoria leaf spot", ["labeled septoria leaf", "spot"]),
        ("healthy_leaf_of_a_tomato 9%", ["healthy_leaf_of_a_", "tomato 9%"]),
        ("x" * 30, ["x" * 22, "x" * 8]),
        ("a\nb", ["a b"]),
        ("", [""]),
        ("b" * 40 + "e" * 40, ["b" * 22, "b" * 10 + "…" + "e" * 11, "e" * 21]),
    ],
)
def test_a_caption_is_wrapped_and_not_cut(text, lines):
    assert sheets.wrapped(text) == lines


def test_captions_stay_inside_the_picture(tmp_path):
    path = tmp_path / "sheet.png"
    caption = ("a_very_long_file_name_of_a_camera.jpg", "labeled " + "long " * 9, "x" * 70)
    images = [np.full((9, 9, 3), 200, np.uint8)] * 12
    sheets.draw(str(path), title="Sheet", images=images, captions=[caption] * 12)
    pixels = np.asarray(PIL.Image.open(path).convert("L"))
    assert pixels[-40:].min() < 128  # the last line of text
    assert pixels[-8:].min() > 250


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
