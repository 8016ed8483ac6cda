"""The picture of the views."""

import types

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data import arrays, views
from mpl_tf.data.options import DataConfig
from mpl_tf.runs import views_grid


@pytest.fixture(scope="module")
def images():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.float32)
    return tf.cast(tf.image.resize(coarse, [16, 16]), tf.uint8)


@pytest.fixture
def experiment(images):
    """experiment(unlabeled_views): what is drawn of a run."""
    labeled = arrays.arrays(images.numpy(), np.array([0, 0, 0, 0, 1, 1]))

    def make(*unlabeled_views):
        return types.SimpleNamespace(
            split=types.SimpleNamespace(labeled=labeled, class_names=("ant", "bee")),
            views=views.make(DataConfig(), 16),
            config=types.SimpleNamespace(run=types.SimpleNamespace(seed=0)),
            method=types.SimpleNamespace(unlabeled_views=unlabeled_views),
        )

    return make


def test_the_picture_shows_the_views(experiment, tmp_path):
    path = tmp_path / "views.png"
    assert views_grid.draw(str(path), experiment("weak", "strong"))
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert views_grid.draw(str(path), experiment("weak", "strong"))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("seen", "titles"),
    [
        ((), ["as read", *["weak"] * 2]),
        (("weak", "weak_2"), ["as read", *["weak"] * 2]),
        (("weak", "strong_2"), ["as read", *["weak"] * 2, *["strong"] * 5]),
    ],
)
def test_only_views_that_the_networks_see_are_shown(experiment, seen, titles):
    (axes,) = views_grid._grid(experiment(*seen)).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == titles
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["ant"] * 4 + ["bee"] * 2


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        ([0] * 9 + [1] * 9 + [2], [0, 1, 2, 3, 9, 10, 11, 18]),
        ([1, 1, 0], [2, 0, 1]),
        (list(range(12)), list(range(8))),
        ([], []),
    ],
)
def test_images_of_all_classes_are_chosen(labels, chosen):
    assert views_grid.of_all_classes(np.array(labels, np.int64), 8).tolist() == chosen
