"""Cached features are those of the backbone, computed where they are needed and nowhere else."""

import contextlib
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data import arrays
from mpl_tf.features import compute, room, tables
from mpl_tf.features.cache import CHUNKS, FEATURES
from mpl_tf.features.views import CHUNK, PLAIN, STRONG, WEAK
from mpl_tf.images import memory
from mpl_tf.options import ConfigError
from mpl_tf.runs import faults


def lines(directory):
    """Sort of view -> numbers of the chunks in the only cache of it, in order of writing."""
    written = {}
    for name in os.listdir(directory):
        with open(os.path.join(directory, name, CHUNKS)) as file:
            written.setdefault(name.partition("-")[0], []).extend(
                int(line.split()[0]) for line in file
            )
    return written


def test_features_are_those_of_the_views(make_features, images):
    features = make_features(cache_dtype="float32")
    train = images["train"]
    requests = [(name, train) for name in (PLAIN, WEAK, STRONG)]
    features.prepare(requests)
    for name in (PLAIN, WEAK, STRONG):
        view_set = features.view_set(name)
        pixels = list(compute.pixels(train, view_set, [0, 1, 2]))
        for chunk in range(3):
            for number in range(view_set.count):
                rows = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(train)))
                seen = pixels[chunk * view_set.count + number][: len(rows)]
                expected = features.backbone(seen, training=False)
                read = features.read(view_set, rows, np.full(len(rows), number))
                np.testing.assert_allclose(read, expected, rtol=1e-5, atol=1e-6)


def test_rows_of_two_parts(make_features, images):
    features = make_features(cache_dtype="float32")
    mixed = images["train"].take([149, 0]).join(images["unlabeled"].take([5, 69]))
    assert list(features.rows(mixed)) == [149, 0, 155, 219]
    expected = features.backbone(mixed.images, training=False)
    np.testing.assert_allclose(features.plain(mixed), expected, rtol=1e-5, atol=1e-6)
    elsewhere = arrays.arrays(mixed.images)
    with pytest.raises(ValueError, match="4 images are in no part"):
        features.rows(elsewhere)


def test_only_chunks_that_are_needed_are_computed(make_features, images, tmp_path):
    make_features().prepare([(WEAK, images["train"].take([3, 140]))])
    assert lines(tmp_path / "features") == {"weak": [0, 2]}
    make_features().prepare([(WEAK, images["train"])])
    assert lines(tmp_path / "features") == {"weak": [0, 2, 1]}


def test_caches_are_shared_and_said(make_features, images, messages):
    make_features().prepare([(PLAIN, images["train"])])
    said = messages(20)
    assert "the network sees 150 images (each once as it is)" in said
    assert "Features computed in" in said
    make_features().prepare([(PLAIN, images["train"])])
    assert "all that is needed is in" in messages(20)


@pytest.mark.parametrize("left", [0, 1, 2, 3, 5])
def test_a_stopped_computation_continues(make_features, images, tmp_path, monkeypatch, left):
    """Stopped after `left` of the six passes for three chunks of two weak views."""
    whole = make_features(view_seed=1)
    whole.prepare([(WEAK, images["train"])])
    (folder,) = (tmp_path / "features").iterdir()
    expected = (folder / FEATURES).read_bytes()
    shutil.rmtree(folder)
    real, count = compute.pixels, 0

    def stopping(*arguments):
        nonlocal count
        for views in real(*arguments):
            if count == left:
                raise KeyboardInterrupt
            count += 1
            yield views

    monkeypatch.setattr(compute, "pixels", stopping)
    with contextlib.suppress(KeyboardInterrupt):
        make_features(view_seed=1).prepare([(WEAK, images["train"])])
    monkeypatch.undo()
    assert lines(tmp_path / "features") == {"weak": list(range(left // 2))}
    make_features(view_seed=1).prepare([(WEAK, images["train"])])
    assert (folder / FEATURES).read_bytes() == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1e6, "features of up to .* are too large for float16: --cache_dtype=float32 holds them"),
        (np.inf, "the backbone gives features that are NaN or infinite"),
    ],
)
def test_numbers_that_cannot_be_kept(make_features, make_backbone, images, value, message):
    backbone = make_backbone()
    backbone.weights[1].assign(np.full(5, value))
    with pytest.raises(ConfigError, match=message):
        make_features(backbone).prepare([(PLAIN, images["train"])])


def test_there_must_be_room(make_features, images, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage)
    message = r"features take 1 MiB in .*features, and 1 MiB are free there\. Make room, take fewer"
    with pytest.raises(ConfigError, match=message) as caught:
        make_features().prepare([(PLAIN, images["train"])])
    assert faults.is_of_disk(caught.value)
    monkeypatch.undo()
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(ConfigError, match=r"computing features takes about .* of memory"):
        make_features().prepare([(PLAIN, images["train"])])
    assert not (tmp_path / "features").exists()


def test_streams_have_no_positions():
    data = tf.data.Dataset.from_tensor_slices(np.zeros([3, 8, 8, 3], np.uint8))
    pool = arrays.ShuffledDataset(data, with_labels=False)
    with pytest.raises(ConfigError, match=r"are a ShuffledDataset, .* --features=off"):
        tables.with_positions(pool)
