"""A whole pool is classified once, in order, and a start after an interruption goes on."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data.arrays import arrays
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images.example import serialize
from mpl_tf.options import ConfigError
from mpl_tf.pools import compute, matching, ordered, predictions
from mpl_tf.pools.predictions import Predictions

IMAGES, ROWS, SIDE = 11, 4, 8
PIXELS = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)


class Model:
    """Two classes by the first pixel's red; counts what it sees, and is stopped at some image."""

    def __init__(self, stop_after=1000):
        self.seen, self.stop_after = 0, stop_after

    def __call__(self, images):
        self.seen += len(images)
        if self.seen > self.stop_after:
            raise KeyboardInterrupt
        red = tf.cast(images[:, 0, 0, 0], tf.float32) / 255
        return tf.stack([red, 1 - red], axis=1)


def of_tfrecord(folder):
    encoded = [serialize(tf.io.encode_png(image).numpy()) for image in PIXELS]
    labeled = [serialize(tf.io.encode_png(PIXELS[k]).numpy(), k) for k in (0, 1)]
    tfrecord_format.write(str(folder / "labeled-00000-of-00001.tfrecord"), labeled)
    for number, part in enumerate((encoded[:6], encoded[6:])):
        tfrecord_format.write(str(folder / f"unlabeled-{number:05}-of-00002.tfrecord"), part)
    source = ordered.load(f"tfrecord:{folder}", DataConfig(image_size=SIDE))
    return ordered.whole_pool(source)


@pytest.fixture(params=["arrays", "tfrecord"])
def pool(request, tmp_path):
    (tmp_path / "data").mkdir()
    return arrays(PIXELS) if request.param == "arrays" else of_tfrecord(tmp_path / "data")


def about(pool):
    return predictions.About(
        format=predictions.FORMAT,
        model="m",
        model_path="",
        images=ordered.digest(pool),
        number_of_images=len(pool),
        image_shape=[SIDE, SIDE, 3],
        dataset="",
        class_names=["red", "other"],
        rows_per_shard=ROWS,
    )


def test_an_interruption_costs_a_shard_at_most(pool, tmp_path):
    path, first, second = str(tmp_path / "to"), Model(stop_after=9), Model()
    with pytest.raises(KeyboardInterrupt):
        compute.store(path, about(pool), pool, first, 3)
    assert predictions.missing(path, about(pool)) == [2]
    compute.store(path, about(pool), pool, second, 3)
    assert second.seen == IMAGES - 2 * ROWS
    stored = Predictions(path)
    expected = Model()(tf.constant(PIXELS)).numpy().astype(np.float16)
    assert (stored.read(np.arange(IMAGES)) == expected).all()
    known = ordered.take(pool, np.arange(IMAGES))
    assert (stored.digests() == known.store.digests(known.positions)).all()
    compute.store(path, about(pool), pool, third := Model(), 3)
    assert not third.seen


def test_images_are_taken_by_position(pool):
    positions = np.array([10, 0, 5, 6, 5])
    taken = ordered.take(pool, positions)
    assert (taken.images == PIXELS[positions]).all()
    assert (taken.labels == -1).all()
    names = ordered.names(pool, positions)
    assert len({*names}) == 4 and names[2] == names[4]


def test_damaged_shards_are_computed_anew(tmp_path, caplog):
    pool, path = arrays(PIXELS), tmp_path / "to"
    compute.store(str(path), about(pool), pool, Model(), 3)
    whole = Predictions(path).read(np.arange(IMAGES))
    file = path / "probs-00001.npy"
    file.write_bytes(file.read_bytes()[:-3])
    model = Model()
    compute.store(str(path), about(pool), pool, model, 3)
    assert model.seen == ROWS
    assert (Predictions(path).read(np.arange(IMAGES)) == whole).all()
    assert "probs-00001.npy is damaged" in caplog.text


def test_a_model_without_a_softmax_is_refused(tmp_path):
    pool = arrays(PIXELS)
    with pytest.raises(ConfigError, match=r"no probabilities, .* row 0 has the sum 2"):
        compute.store(
            str(tmp_path / "to"), about(pool), pool, lambda images: tf.ones([len(images), 2]), 3
        )


def test_shards_that_were_exchanged_are_named(pool, tmp_path):
    path = tmp_path / "to"
    compute.store(str(path), about(pool), pool, Model(), 3)
    matching.check(Predictions(path), pool)
    for kind in ("digests", "probs"):  # the one alone, and then both
        first, second = (path / f"{kind}-0000{number}.npy" for number in (0, 1))
        contents = first.read_bytes(), second.read_bytes()
        first.write_bytes(contents[1])
        second.write_bytes(contents[0])
        with pytest.raises(ConfigError, match=r"digests-00000\.npy is damaged, or belongs to ano"):
            matching.check(Predictions(path), pool)


def test_a_pool_is_known_by_its_images_and_their_order(tmp_path):
    pool = arrays(PIXELS)
    assert ordered.digest(arrays(PIXELS.copy())) == ordered.digest(pool)
    others = [pool.take(np.arange(10)), pool.take(np.arange(IMAGES)[::-1])]
    assert ordered.digest(pool) not in map(ordered.digest, others)
    assert ordered.digest(of_tfrecord(tmp_path)) not in map(ordered.digest, [pool, *others])


def test_answers_that_are_no_numbers_and_a_full_disk_are_refused(tmp_path, monkeypatch):
    pool = arrays(PIXELS)

    def model(images):
        return tf.fill([len(images), 2], np.nan)

    with pytest.raises(ConfigError, match=r"NaN or infinite, of an image from position 0 on"):
        compute.store(str(tmp_path / "to"), about(pool), pool, model, 3)
    usage = compute.shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(compute.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ConfigError, match=r"predictions take 1 MiB in .* are free there"):
        compute.store(str(tmp_path / "to"), about(pool), pool, Model(), 3)


def test_the_time_left_is_told(monkeypatch):
    now, lines = iter([0.0, 1.0, 3.0, 11.0, 20.0]), []
    monkeypatch.setattr(compute.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(compute.log, "info", lines.append)
    progress = compute._Progress(1000)
    for _ in range(3):
        progress.add(100)
    assert lines == ["300 of 1,000 images, 20 a second: 35 seconds left"]
