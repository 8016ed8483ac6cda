"""Which rows of a stored table a run reads for its unlabeled images."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images.example import serialize
from mpl_tf.options import ConfigError
from mpl_tf.pools import ordered, predictions, writing
from mpl_tf.runs import building, cached, experiment, given_predictions
from mpl_tf.serving import loading

SIDE = 12


def write(path, source):
    """A table in which the probabilities of an image are made of its content."""
    pool = ordered.whole_pool(source)
    parts = list(ordered.batches(pool, 0, len(pool), 5))
    digests = np.concatenate([digest for _, digest in parts])
    about = predictions.About(
        format=predictions.FORMAT,
        model="m",
        model_path="m",
        images=ordered.digest(pool),
        number_of_images=len(pool),
        image_shape=[SIDE, SIDE, 3],
        dataset="d",
        class_names=list(source.class_names),
        rows_per_shard=len(pool),
    )
    with (
        writing.begun(str(path), about) as there,
        writing.shard(str(path), there, 0) as (probs, of_images),
    ):
        probs[:] = coded(digests, len(source.class_names))
        of_images[:] = digests


def coded(digests, classes):
    """float16 [n, classes] of digests [n]."""
    first = (digests % 2003).astype(np.float16) / 2048
    return np.stack([first, 1 - first, *[np.zeros_like(first)] * (classes - 2)], 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, write_colored_images):
    """Form -> dataset: a folder, and TFRecord files whose unlabeled images are a stream."""
    path = tmp_path_factory.mktemp("images")
    images = write_colored_images(path / "folder", 60, 150, labeled=6, unlabeled=9, test=2)
    records = path / "records"
    records.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (11, SIDE, SIDE, 3), np.uint8)
    encoded = [tf.io.encode_png(image).numpy() for image in pixels]
    labeled = [serialize(encoded[k], k % 2) for k in range(4)]
    tfrecord_format.write(str(records / "labeled-00000-of-00001.tfrecord"), labeled)
    unlabeled = list(map(serialize, encoded))
    tfrecord_format.write(str(records / "unlabeled-00000-of-00001.tfrecord"), unlabeled)
    return {"folder": f"folder:{images}", "tfrecord": f"tfrecord:{records}"}


@pytest.mark.parametrize(
    ("form", "held_back"),
    [
        ("folder", {}),
        ("folder", {"num_validation": 6, "exclude_labeled": True, "num_labeled": 6}),
        ("tfrecord", {}),
    ],
    ids=["all", "some", "stream"],
)
def test_each_image_of_a_pool_has_the_row_of_its_content(form, held_back, folders, tmp_path):
    settings = {
        "dataset": folders[form],
        "method": "reduced_mpl",
        "network": "mlp",
        "image_size": SIDE,
        "labeled_batch": 2,
        "unlabeled_ratio": 1,
        "finetune_batch": 2,
        "num_labeled": 0,
        "predictions": str(tmp_path / "table"),
    }
    found = data.find(folders[form])
    made = config.make(settings | held_back, found)
    source = found.load(made.data)
    write(tmp_path / "table", source)
    split = experiment.make_split(made, source)
    given = given_predictions.load(made, split)
    file = tmp_path / "table" / "probs-00000.npy"
    content = file.read_bytes()
    damaged = np.load(file)
    damaged[-1] *= 2
    np.save(file, damaged)
    with pytest.raises(ConfigError, match=r"predictions: .*probs-00000\.npy is damaged"):
        given_predictions.load(made, split)
    file.write_bytes(content)
    places = np.random.default_rng(0).permutation(split.unlabeled.size)
    known = ordered.take(split.unlabeled, places)
    expected = coded(known.store.digests(known.positions), len(source.class_names))
    assert len(np.unique(expected[:, 0])) > 8
    np.testing.assert_array_equal(given.read(places), expected)
    if held_back:
        assert split.unlabeled.size < len(ordered.whole_pool(source))


@pytest.mark.usefixtures("no_pictures")
def test_heads_on_cached_features_need_none_of_images_as_they_are(run, my_images, tmp_path):
    """A run on features, whose first teacher would have predicted on those of plain images."""
    source = data.find(f"folder:{my_images}").load(DataConfig(image_size=SIDE))
    write(tmp_path / "table", source)
    asked, real = [], cached.requests

    def watched(split, views, plain):
        asked.append(plain)
        return real(split, views, plain)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached, "requests", watched)
        results = run(method="reduced_mpl", predictions=str(tmp_path / "table"))
    assert asked == [[]]
    assert not (tmp_path / "run" / "checkpoints" / "teacher").exists()
    assert results["test_accuracy"]["finetuned"] is not None
    loading.load(str(tmp_path / "run" / "export"))


def test_a_run_with_a_table_makes_no_teacher(tmp_path):
    """Of which memory would have to hold the weights."""
    made = config.make({"method": "reduced_mpl", "network": "mlp", "predictions": str(tmp_path)})
    roles = []

    def network(settings, num_classes, image_shape, role, replicas):
        roles.append(role)
        return building.network(settings, num_classes, image_shape, role, replicas)

    method, _ = building.build_method(made, 10, (8, 8, 1), 30, make_network=network)
    assert roles == ["student"]
    assert not method.pretraining_phases()
    assert "teacher" not in dict(method.starting_networks())
