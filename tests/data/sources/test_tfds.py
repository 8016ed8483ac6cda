"""Sets of TensorFlow Datasets: a small made-up one, and real ones where they are."""

import os
import shutil
import types

import numpy as np
import pytest

from mpl_tf import config, data
from mpl_tf.data import splits, stores
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import tfds as tfds_source
from mpl_tf.data.sources import tfds_folder
from mpl_tf.options import ConfigError

COPIES = (1, 2)  # images of the extra split that are test images too
COUNTS = {"train": 12, "test": 6, "unlabelled": 5, "extra": 4}


def picture(number, size=(9, 12)):
    return np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """The data_dir of a set with three classes and images of 9x12 pixels."""
    import tensorflow_datasets as tfds

    class MadeUp(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
                "file_name": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, manager):
            return {split: self._generate_examples(split) for split in COUNTS}

        def _generate_examples(self, split):
            base = 100 * list(COUNTS).index(split)
            for i in range(COUNTS[split]):
                label = -1 if split == "unlabelled" else i % 3
                number = 100 + i if split == "extra" and i in COPIES else base + i  # of test
                image = {"image": picture(number), "file_name": f"{number}.png"}
                yield i, image | {"label": label}

    folder = tmp_path_factory.mktemp("tfds")
    MadeUp(data_dir=str(folder)).download_and_prepare()
    return str(folder)


def load(made_up, **options):
    return tfds_source.load("made_up", DataConfig(data_dir=made_up, **options))


def test_the_folder_of_sets_may_look_like_a_pattern(made_up, tmp_path):
    folder = tmp_path / "a[0]*?"
    os.symlink(made_up, folder)
    np.testing.assert_array_equal(load(folder).train.images, load(made_up).train.images)


def test_all_splits_become_parts(made_up):
    source = load(made_up, image_size=9)
    assert source.class_names == ("ant", "bee", "cat")
    assert list(np.bincount(source.train.labels)) == [4, 4, 4]
    assert len(source.test) == 6
    assert len(source.unlabeled) == 5
    assert set(source.unlabeled.labels) == {-1}
    assert source.validation is None
    assert source.train.shape == (9, 9, 3)
    expected = {picture(i)[:, 1:10].tobytes(): i % 3 for i in range(12)}  # the middle
    labels = {
        image.tobytes(): k
        for image, k in zip(source.train.images, source.train.labels, strict=True)
    }
    assert labels == expected
    assert sorted(source.train.ids) == sorted(f"train/{i}" for i in range(12))


def test_the_form_of_images_is_known_before_they_are_read(made_up, tmp_path):
    dataset = tfds_source.dataset("made_up")
    for side in (0, 9):
        options = DataConfig(data_dir=made_up, image_size=side)
        source = dataset.load(options)
        height, _, channels = source.train.shape
        read = sum(COUNTS[split] for split in COUNTS if split != "extra")
        assert dataset.form(options) == (height, channels, 3, read)
    extra = DataConfig(data_dir=made_up, extra=True)
    assert dataset.form(extra).num_images == sum(COUNTS.values())
    assert dataset.form(DataConfig(data_dir=str(tmp_path), image_size=9)) == (9, 0, 0, 0)


@pytest.mark.parametrize("name", sorted(data.DATASETS.keys() - {"digits"}))
def test_the_forms_of_sets_with_a_name_are_those_that_their_builders_state(name, tmp_path):
    import tensorflow_datasets as tfds

    features = tfds.builder(name, data_dir=str(tmp_path)).info.features
    height, width, channels = features["image"].shape
    expected = (height or 32, channels, features["label"].num_classes)
    form = data.DATASETS[name].form(DataConfig())
    assert height == width and form[:3] == expected
    assert form.num_images > data.DATASETS[name].available  # test images, too
    assert data.DATASETS[name].form(DataConfig(image_size=9)) == (9, *form[1:])


def test_file_names_are_in_the_order_of_the_ids(made_up):
    test = load(made_up, image_size=9).test
    names = tfds_source.file_names("made_up", made_up, "test")
    for image, name in zip(test.images, names, strict=True):
        number = int(name.removesuffix(".png"))
        np.testing.assert_array_equal(image, picture(number)[:, 1:10])


def test_extra_images_are_unlabeled_on_request(made_up):
    source = load(made_up, extra=True)
    assert set(source.unlabeled.ids[5:]) <= {f"extra/{i}" for i in range(4)}
    assert len(source.unlabeled) == 7


@pytest.mark.parametrize("limit", [stores.MEMORY_LIMIT, 0])
def test_unlabeled_images_that_are_test_images_are_left_out(made_up, limit, monkeypatch):
    """Of the extra images two are; nobody's labels are needed to see it."""
    monkeypatch.setattr(stores, "MEMORY_LIMIT", limit)
    messages = []
    monkeypatch.setattr(tfds_source.log, "info", messages.append)
    assert len(load(made_up).unlabeled) == 5
    assert not messages
    source = load(made_up, extra=True)
    assert len(source.unlabeled) == 7
    assert messages == ["made_up: 2 unlabeled images are left out: they are test images too"]
    pixels = {image.tobytes() for image in source.test.images}
    assert not any(image.tobytes() in pixels for image in source.unlabeled.images)


def test_a_set_too_large_for_memory_is_read_from_its_files(made_up, monkeypatch):
    held = load(made_up, image_size=9)
    monkeypatch.setattr(stores, "MEMORY_LIMIT", 0)
    read = load(made_up, image_size=9)
    assert isinstance(read.train.store, stores.EncodedStore)
    for part in ("train", "test", "unlabeled"):
        a, b = getattr(held, part), getattr(read, part)
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("a byte", "is damaged: corrupted record at"),
        ("an end", "is damaged: truncated record at"),
        ("fewer", "holds more images; its dataset_info.json says 26. Remove that folder and"),
        ("more", "holds 27 images; its dataset_info.json says 28. Remove"),
        ("no file", "is damaged: .*No such file"),
    ],
)
def test_a_damaged_set_is_refused(made_up, damage, message, tmp_path):
    copy = tmp_path / "tfds"
    shutil.copytree(made_up, copy)
    (shard,) = copy.glob("made_up/1.0.0/*train.tfrecord*")
    info = copy / "made_up" / "1.0.0" / "dataset_info.json"
    content = bytearray(shard.read_bytes())
    if damage == "a byte":
        content[100] ^= 1
        shard.write_bytes(content)
    elif damage == "an end":
        shard.write_bytes(content[:-7])
    elif damage == "no file":
        shard.unlink()
    else:
        length = {"fewer": "11", "more": "13"}[damage]
        info.write_text(info.read_text().replace('"12"', f'"{length}"'))
    with pytest.raises(ConfigError, match=message):
        load(str(copy), extra=True)


def test_a_prepared_set_is_found_by_name(made_up):
    made = config.make(
        {"dataset": "made_up", "data_dir": made_up, "num_labeled": 3, "network": "mlp"}
    )
    source = data.find("made_up", made_up).load(made.data)
    with pytest.raises(ConfigError, match=r"at most the 17 unlabeled images; received 3 [*] 7"):
        config.check_data(made, source)


def test_a_test_split_without_labels_gives_way_to_the_validation_split():
    def part(*labels):
        return types.SimpleNamespace(labels=np.array(labels))

    validation, test, nameless = part(0, 1), part(1, 0), part(-1, -1)
    assert tfds_source._held_out(validation, test) == (validation, test)
    assert tfds_source._held_out(validation, nameless) == (None, validation)
    assert tfds_source._held_out(validation, None) == (None, validation)
    assert tfds_source._held_out(None, None) == (None, None)


def real(name):
    folder = os.environ.get("TFDS_DATA_DIR", "")
    if not folder or tfds_folder.find(name, folder) is None:
        pytest.skip(f"no {name} under TFDS_DATA_DIR={folder!r}")
    return data.find(name).load(DataConfig())


def test_real_cifar10():
    source = real("cifar10")
    assert (len(source.train), len(source.test)) == (50_000, 10_000)
    assert source.train.shape == (32, 32, 3)
    assert source.class_names[:3] == ("airplane", "automobile", "bird")
    np.testing.assert_array_equal(np.bincount(source.train.labels), [5000] * 10)
    split = splits.split(source, 4000, 5000, seed=0)
    assert len(split.unlabeled) == 45_000
    np.testing.assert_array_equal(np.bincount(split.labeled.labels), [400] * 10)

    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(tfds_folder.find("cifar10", tfds_folder.data_dir())))
    for number, example in enumerate(builder.as_dataset("train").take(20).as_numpy_iterator()):
        np.testing.assert_array_equal(source.train.take([number]).images[0], example["image"])
        assert source.train.labels[number] == example["label"]


def test_real_fashion_mnist():
    source = real("fashion_mnist")
    assert (len(source.train), len(source.test)) == (60_000, 10_000)
    assert source.train.shape == (28, 28, 1)
    assert source.class_names[-1] == "Ankle boot"
