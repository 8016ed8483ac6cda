"""Pictures stop nothing: names that look like formulas, images of one pixel, what raises."""

import logging
import os

import numpy as np
import pytest
from matplotlib import ticker
from matplotlib.figure import Figure

from mpl_tf.runs import drawing


def titled(text):
    def make():
        figure = Figure(figsize=(2, 2))
        figure.subplots().set_title(text)
        return figure

    return make


@pytest.mark.parametrize("name", [r"$\frac{1}{$", "$x_1$", "_ant", "a\nb", "<b>&amp;", "\\", ""])
def test_any_name_is_drawn_as_it_stands(name, tmp_path, messages):
    path = tmp_path / "a.png"
    assert drawing.save(str(path), titled(name))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert messages(logging.WARNING) == messages(logging.INFO) == ""


def test_bytes_that_are_no_text_are_question_marks(tmp_path, messages):
    pictures = []
    for name in (os.fsdecode(b"caf\xe9.png"), "caf?.png"):
        assert drawing.save(str(tmp_path / "a.png"), titled(name))
        pictures.append((tmp_path / "a.png").read_bytes())
    assert pictures[0] == pictures[1]
    assert messages(logging.WARNING) == ""


def test_a_formula_is_no_formula(tmp_path):
    pictures = []
    for name in ("$x$", "x"):
        drawing.save(str(tmp_path / "a.png"), titled(name))
        pictures.append((tmp_path / "a.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_characters_that_the_font_lacks_are_said(tmp_path, messages):
    assert drawing.save(str(tmp_path / "a.png"), titled("日本"))
    assert f"{tmp_path / 'a.png'} shows boxes for characters" in messages(logging.INFO)


def test_what_cannot_be_drawn_is_said_and_replaces_nothing(tmp_path, messages):
    path = tmp_path / "a.png"
    path.write_text("old")

    def make():
        raise TypeError("Invalid shape (3,) for image data")

    assert not drawing.save(str(path), make)
    text = f"{path} could not be drawn, and all else goes on: Invalid shape (3,) for image data"
    assert messages(logging.WARNING) == text
    assert path.read_text() == "old"


def test_a_picture_that_cannot_be_written_is_no_matter_of_drawing(tmp_path):
    with pytest.raises(FileNotFoundError):
        drawing.save(str(tmp_path / "none" / "a.png"), titled("a"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 5])
def test_images_of_any_size_and_channels_have_pixels(size, channels, rng):
    image = rng.integers(0, 256, (size, size, channels), np.uint8)
    shown = drawing.pixels(image)
    assert shown.shape == ((size, size, 3) if channels == 3 else (size, size))
    Figure().subplots().imshow(shown, cmap="gray", vmin=0, vmax=255)
    np.testing.assert_allclose(shown.mean(), image.mean())


@pytest.mark.parametrize(
    ("name", "shown"),
    [("ant", "ant"), ("a" * 16, "a" * 16), ("a" * 17, "a" * 15 + "…"), ("a\n  b\t", "a b")],
)
def test_a_name_has_room_in_one_line(name, shown):
    assert drawing.short(name) == shown


@pytest.mark.parametrize(("points", "marker"), [(1, "."), (49, "."), (50, "")])
def test_few_points_are_seen_each(points, marker):
    axes = Figure().subplots()
    drawing.line(axes, np.ones([2, points]), "tab:red", "loss", "--")
    (line,) = axes.lines
    assert (line.get_marker() or "") == marker
    assert (line.get_color(), line.get_label(), line.get_linestyle()) == ("tab:red", "loss", "--")


def test_numbers_on_a_logarithmic_axis_are_plain():
    axes = Figure().subplots()
    axes.set(yscale="log", ylim=(0.05, 20))
    axes.yaxis.set_major_formatter(drawing.PlainLogFormatter())
    axes.yaxis.set_major_locator(ticker.LogLocator())
    texts = axes.yaxis.get_major_formatter().format_ticks([0.1, 1, 10])
    assert texts == ["0.1", "1", "10"]


@pytest.mark.parametrize(("channels", "below"), [(1, 0), (2, 0), (3, 0), (3, 0.5)])
def test_images_stand_at_their_row_and_column(channels, below):
    cells = np.random.default_rng(0).integers(0, 255, (3, 2, 24, 36, channels), np.uint8)
    picture, centers = drawing.joined(cells, below)
    for row, column in np.ndindex(3, 2):
        top, left = int(centers[0][row] - 11.5), int(centers[1][column] - 17.5)
        shown = picture[top : top + 24, left : left + 36]
        expected = cells[row, column]
        if channels < 3:
            expected = np.uint8(expected.mean(axis=-1, keepdims=True)).repeat(3, axis=-1)
        np.testing.assert_array_equal(shown, expected)
    assert len(picture) == 3 * (24 + 3 + 24 * below)
    assert (picture == 255).all(-1).sum() == picture[..., 0].size - 6 * 24 * 36  # white between
