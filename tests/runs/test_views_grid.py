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


def test_the_picture_shows_the_views(images, tmp_path):
    labeled = arrays.arrays(images.numpy(), np.arange(6) % 2)
    experiment = types.SimpleNamespace(
        split=types.SimpleNamespace(labeled=labeled, class_names=("ant", "bee")),
        views=views.make(DataConfig(), 16),
        config=types.SimpleNamespace(run=types.SimpleNamespace(seed=0)),
    )
    path = tmp_path / "views.png"
    views_grid.draw(str(path), experiment)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    views_grid.draw(str(path), experiment)
    assert path.read_bytes() == content
