"""The picture of neighbours."""

import keras
import numpy as np
import pytest

from mpl_tf.options import ConfigError
from mpl_tf.runs import neighbours


@pytest.fixture
def backbone():
    """The mean of each channel: images of one colour are near by their colours."""
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])


def of_color(*colors):
    return np.stack([np.full((8, 8, 3), color, np.uint8) for color in colors])


QUERIES = of_color((200, 0, 0), (0, 0, 100))
POOL = of_color((0, 90, 0), (0, 30, 40), (100, 75, 0), (250, 0, 0))


def drawn(monkeypatch):
    """What `_grid` is given, and the figure that it makes."""
    calls, grid = [], neighbours._grid

    def spy(*arguments):
        calls.append((arguments, grid(*arguments)))
        return calls[-1][1]

    monkeypatch.setattr(neighbours, "_grid", spy)
    return calls


def test_a_row_shows_an_image_its_nearest_and_their_similarity(backbone, tmp_path, monkeypatch):
    calls = drawn(monkeypatch)
    path = tmp_path / "neighbours.png"
    assert neighbours.draw(str(path), backbone, QUERIES, POOL, k=2, captions=["red", "blue"])
    assert path.read_bytes().startswith(b"\x89PNG")
    [((_, _, index, _, _), figure)] = calls
    assert index.tolist() == [[3, 2], [1, 0]]
    (axes,) = figure.axes
    numbers = [text.get_text() for text in axes.texts]
    assert numbers == ["1.00", "0.80", "0.80", "0.00"]
    for text, place in zip(axes.texts, [(0, 1), (0, 2), (1, 1), (1, 2)], strict=True):
        x, y = text.get_position()
        assert x == axes.get_xticks()[place[1]]
        assert 4 <= y - axes.get_yticks()[place[0]] < 5  # just below the image of 8 pixels
    assert [label.get_text() for label in axes.get_xticklabels()] == ["image", "nearest", "2."]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["red", "blue"]
    assert "a pool of 4" in axes.get_xlabel()
    picture = axes.images[0].get_array()
    rows, columns = axes.get_yticks().astype(int), axes.get_xticks().astype(int)
    for row, images in enumerate([(QUERIES[0], POOL[3], POOL[2]), (QUERIES[1], POOL[1], POOL[0])]):
        for column, image in enumerate(images):
            np.testing.assert_array_equal(picture[rows[row], columns[column]], image[0, 0])


def test_a_small_pool_is_shown_whole_and_captions_may_be_left_out(backbone, tmp_path, monkeypatch):
    calls = drawn(monkeypatch)
    path = tmp_path / "neighbours.png"
    assert neighbours.draw(str(path), backbone, QUERIES[:1], POOL)
    assert calls[0][0][2].tolist() == [[3, 2, 0, 1]]
    content = path.read_bytes()
    assert neighbours.draw(str(path), backbone, QUERIES[:1], POOL)
    assert path.read_bytes() == content


def test_passes_of_many_images_give_what_one_gives(backbone, tmp_path, monkeypatch):
    calls = drawn(monkeypatch)
    for batch in (256, 3):
        monkeypatch.setattr(neighbours, "_BATCH", batch)
        neighbours.draw(str(tmp_path / "a.png"), backbone, QUERIES, POOL)
    np.testing.assert_array_equal(calls[0][0][2], calls[1][0][2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((QUERIES[:0], POOL), r"\[0, 8, 8, 3\] and a pool of \[4, 8, 8, 3\]"),
        ((QUERIES, POOL[:, :4]), "of one shape"),
        ((QUERIES, POOL, 0), "k must be at least 1; received 0"),
        ((QUERIES, POOL, 2, ["red"]), "1 captions of 2 images"),
    ],
)
def test_what_does_not_fit_is_refused(backbone, arguments, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        neighbours.draw(str(tmp_path / "a.png"), backbone, *arguments)
