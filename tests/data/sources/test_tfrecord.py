"""--dataset=tfrecord:PATTERN, from packing a folder to batches."""

import itertools
import os

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images import example
from mpl_tf.runs.experiment import build, make_split

COUNTS = {"labeled": 12, "unlabeled": 30, "test": 4}


def pixels(part, number):
    seed = [list(COUNTS).index(part), number]
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("records")
    for part, count in COUNTS.items():
        images = [tf.io.encode_png(pixels(part, i)).numpy() for i in range(count)]
        labels = [-1 if part == "unlabeled" else i % 2 for i in range(count)]
        for shard in range(2):
            rows = range(shard, count, 2)
            examples = [example.serialize(images[i], labels[i]) for i in rows]
            tfrecord_format.write(str(place / f"{part}-{shard:05d}-of-00002.tfrecord"), examples)
    return str(place)


def make(folder, **settings):
    made = config.make(
        {"dataset": f"tfrecord:{folder}", "image_size": 8, "labeled_batch": 4, **settings}
    )
    source = data.find(made.run.dataset).load(made.data)
    return made, source


def test_parts_are_read(folder):
    _, source = make(folder)
    assert (len(source.train), len(source.unlabeled), len(source.test)) == (12, 30, 4)
    assert source.class_names == ("0", "1")
    form = data.find(f"tfrecord:{folder}").form
    assert form(config.make({"dataset": "digits", "image_size": 9}).data) == (9, 3, 2, 46)
    assert form(config.make({"dataset": "digits"}).data) == (32, 3, 2, 46)
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    np.testing.assert_array_equal(source.train.images, [pixels("labeled", i) for i in order])
    np.testing.assert_array_equal(source.train.labels, [i % 2 for i in order])


def test_training_batches_are_a_function_of_the_step(folder):
    made, source = make(folder, unlabeled_ratio=3, network="mlp", num_validation=0)
    config.check_data(made, source)
    experiment = build(made, make_split(made, source), path="")

    def take(start, count):
        return list(itertools.islice(experiment.batches("train", start).as_numpy_iterator(), count))

    straight = take(0, 9)
    assert straight[0].keys() == {"labeled", "label", "weak", "strong"}
    assert straight[0]["weak"].shape == (12, 8, 8, 3)
    for a, b in zip(straight[5:], take(5, 4), strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("pattern", ["", "*.tfrecord"])
def test_files_behind_an_address_give_the_same(folder, pattern):
    """TensorFlow's file system in memory is reached as that of an object store is."""
    address = f"ram://bucket{len(pattern)}/records"
    for path in tf.io.gfile.glob(f"{folder}/*"):
        tf.io.gfile.copy(path, f"{address}/{os.path.basename(path)}")
    (_, here), (_, there) = make(folder), make(f"{address}/{pattern}")
    for part, contents in here.contents().items():
        assert not contents.differences(there.contents()[part])
    np.testing.assert_array_equal(here.test.images, there.test.images)
    settings = {"seed": 3, "stream": 1, "start": 2}
    pools = (source.unlabeled.batches(10, **settings).take(4) for source in (here, there))
    for a, b in zip(*pools, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[2], b[2])


def test_every_image_of_the_pool_comes_once_an_epoch(folder):
    _, source = make(folder)
    batches = source.unlabeled.batches(10, seed=1, stream=1)
    epoch = np.concatenate([b for b, *_ in itertools.islice(batches.as_numpy_iterator(), 3)])
    expected = {pixels("unlabeled", i).tobytes() for i in range(30)}
    assert {image.tobytes() for image in epoch} == expected


def test_the_index_of_an_image_is_its_record(folder):
    _, source = make(folder)
    batches = itertools.islice(
        source.unlabeled.batches(10, seed=1, stream=1).as_numpy_iterator(), 6
    )
    images, _, index = (np.concatenate(part) for part in zip(*batches, strict=True))
    assert set(index) == set(range(30))
    pairs = {(i, image.tobytes()) for i, image in zip(index, images, strict=True)}
    assert len(pairs) == 30  # the same image in both epochs
