"""TFRecord files that cannot be used are refused in words, when they are opened."""

import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data import stores
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import tfrecord, tfrecord_format, tfrecord_info, tfrecord_labels
from mpl_tf.images.example import serialize
from mpl_tf.options import ConfigError

LABELED, UNLABELED = (f"{part}-00000-of-00001.tfrecord" for part in ("labeled", "unlabeled"))
PNG = tf.io.encode_png(np.zeros([4, 4, 3], np.uint8)).numpy()


def made(**features):
    """A tf.train.Example; the type of a feature's values decides how it is stored."""
    lists = {
        bytes: ("bytes_list", tf.train.BytesList),
        int: ("int64_list", tf.train.Int64List),
        float: ("float_list", tf.train.FloatList),
    }
    stored = {}
    for name, values in features.items():
        values = values if isinstance(values, list) else [values]
        kind, list_class = lists[type(values[0])]
        stored[name.replace("__", "/")] = tf.train.Feature(**{kind: list_class(value=values)})
    return tf.train.Example(features=tf.train.Features(feature=stored)).SerializeToString()


def write(folder, labeled, unlabeled=None):
    for part, records in {"labeled": labeled, "unlabeled": unlabeled or [serialize(PNG)]}.items():
        tfrecord_format.write(str(folder / f"{part}-00000-of-00001.tfrecord"), records)


def with_labels(*labels):
    return [made(image=PNG, label=label) for label in labels]


@pytest.mark.parametrize("function", ["isdir", "glob"])
def test_an_address_that_cannot_be_reached_is_named(monkeypatch, function):
    def fail(path):
        text = "Error executing an HTTP request: libcurl code 6\n\t when reading gs://bucket/"
        raise tf.errors.FailedPreconditionError(None, None, text)

    monkeypatch.setattr(tf.io.gfile, "isdir", lambda path: False)
    monkeypatch.setattr(tf.io.gfile, function, fail)
    message = r"tfrecord:gs://bucket/x cannot be listed: Error executing .* code 6\. Is there a net"
    with pytest.raises(ConfigError, match=message):
        tfrecord.open_pattern("gs://bucket/x")


def test_an_address_of_a_system_that_tensorflow_lacks_is_named():
    for pattern in ("s3://b/x", "s3://b/*.tfrecord"):
        with pytest.raises(ConfigError, match=r"is in s3://, for which TensorFlow has no file sys"):
            tfrecord.open_pattern(pattern)


@pytest.mark.parametrize(
    "records",
    [
        with_labels(1, 0, 2, 1),
        with_labels(1.0, 0.0, 2.0, 1.0),
        [made(image__encoded=PNG, image__class__label=k) for k in (1, 0, 2, 1)],
        [made(image=PNG, label=k, image__class__label=k + 1) for k in (1, 0, 2, 1)],
    ],
    ids=["int64", "float", "tf_slim", "both"],
)
def test_labels_are_whole_numbers_of_either_type(tmp_path, records):
    write(tmp_path, records)
    parts = tfrecord.open_pattern(str(tmp_path))
    assert parts.class_names == ("0", "1", "2")
    assert list(parts.labeled.labels) == [1, 0, 2, 1]


LABELS = {
    "from 1": (
        with_labels(1, 2, 3),
        "labels of labeled images must be from 0 to 2, as they are of 3 different classes; "
        "received 3 in record 2: class ids begin at 0, these at 1; subtract 1 from each.",
    ),
    "ten digits": (with_labels(0, 1, 4_000_000_000), "from 0 to 2, .* received 4000000000 in"),
    "a gap": (with_labels(0, 2, 2), "from 0 to 1, .* received 2 in record 1."),
    "negative": (with_labels(0, 1, -7), "from 0 to 1, .* received -7 in record 2."),
    "none in one": (
        [*with_labels(0, 1), made(image=PNG)],
        r"from 0 to 1, .* received -1 in record 2 \(-1: none\)",
    ),
    "in another feature": (
        [made(image=PNG, target=3, score=0.5)],
        r"must have a label in the feature label or image/class/label; record 0 has the features "
        r"image \(1 of bytes\), score \(1 of float\), target \(1 of int64\)",
    ),
    "fractions": (with_labels(0.0, 1.0, 0.5), "received 0.5 in feature label of record 2"),
    "not a number": (with_labels(0.0, float("nan")), "received nan in feature label of record 1"),
    "names": (
        with_labels(b"cat", b"dog"),
        r"class id \(not its name.*; received b'cat' in feature",
    ),
    "one-hot": (
        with_labels([0, 1, 0], [1, 0, 0]),
        r"nor one-hot\); received 3 values \(0, 1, 0, \.\.\.\) in feature label of record 0",
    ),
    "several in one": (
        with_labels(0, 1, [1, 0]),
        r"received 2 values \(1, 0, \.\.\.\) in feature label of record 2",
    ),
    "two types": (with_labels(0, 1.0), "must be of one type; some are no int64, as the first is"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_are_no_class_ids_are_refused(tmp_path, case):
    records, message = LABELS[case]
    write(tmp_path, records)
    with pytest.raises(ConfigError, match=message):
        tfrecord.open_pattern(str(tmp_path))


def test_labels_are_compared_with_the_names():
    labels = {"labeled": np.array([0, 1]), "test": np.array([1, 2])}
    assert tfrecord_labels.name_classes(labels, ["a", "b", "c"]) == ("a", "b", "c")
    with pytest.raises(ConfigError, match=r"of test images must be from 0 to 1, .* received 2 in"):
        tfrecord_labels.name_classes(labels, None)
    with pytest.raises(ConfigError, match=r"to 1, as info\.json names 2 classes; received 2"):
        tfrecord_labels.name_classes(labels, ["a", "b"])
    with pytest.raises(ConfigError, match="received 2 in record 1: class ids begin at 0, these at"):
        tfrecord_labels.name_classes({"labeled": np.array([1, 2])}, ["a", "b"])


@pytest.fixture
def folder(tmp_path):
    """A good folder with info.json; labels 0 and 1, chunks of two unlabeled images."""
    write(tmp_path, with_labels(0, 1, 1, 0), [serialize(PNG + bytes(n)) for n in range(7)])
    lengths = tfrecord_format.scan(str(tmp_path / UNLABELED))[1]
    shards = [
        *tfrecord_format.describe([str(tmp_path / LABELED)], single=[str(tmp_path / LABELED)]),
        tfrecord_format.Shard.of(str(tmp_path / UNLABELED), lengths, chunk_records=2),
    ]
    tfrecord_info.write(str(tmp_path), shards, ("ant", "bee"))
    assert tfrecord.open_pattern(str(tmp_path)).class_names == ("ant", "bee")
    return tmp_path


def replace(folder, change):
    info = json.loads((folder / tfrecord_info.INFO).read_text())
    change(info)
    (folder / tfrecord_info.INFO).write_text(json.dumps(info))


def of_unlabeled(**entries):
    return lambda info: info["shards"][UNLABELED].update(entries)


def shift(info):
    entry = info["shards"][UNLABELED]
    entry["offsets"][-1] += 1


def leave_out(info):
    entry = info["shards"][LABELED]
    entry["records"], entry["offsets"] = 3, entry["offsets"][:3]


LIES = {
    "class twice": (lambda info: info.update(class_names=["a", "b", "a"]), "the class 'a' twice"),
    "class names": (
        lambda info: info.update(class_names="ab"),
        "content.class_names must be a list",
    ),
    "nested names": (
        lambda info: info.update(class_names=[["a"]]),
        r"content.class_names must be a list or null; received \[\['a'\]\]",
    ),
    "few names": (lambda info: info.update(class_names=["a"]), "from 0 to 0, .* received 1 in rec"),
    "shards": (lambda info: info.update(shards=[1]), "content.shards must be an object"),
    "size": (of_unlabeled(size=7), r"offsets of unlabeled.* do not increase"),
    "another size": (of_unlabeled(size=10**6), r"bytes, but info\.json says 1000000: copy"),
    "records": (of_unlabeled(records=99), "has 4 offsets for 50 chunks"),
    "fewer records": (of_unlabeled(records=8), "has other records than info.json says"),
    "every": (of_unlabeled(every=0), "an every that is impossible"),
    "negative": (of_unlabeled(records=-1), "an every that is impossible"),
    "enormous": (of_unlabeled(records=10**30, every=10**30), "an every that is impossible"),
    "text": (of_unlabeled(every="2"), r"\.every must be a whole number; received '2'"),
    "no offsets": (lambda info: info["shards"][UNLABELED].pop("offsets"), "offsets is missing"),
    "nested offsets": (of_unlabeled(offsets=[[0]]), r"offsets\[0\] must be a whole number"),
    "falling": (of_unlabeled(offsets=[0, 500, 400, 600]), "do not increase from 0"),
    "shifted": (shift, "has other records than info.json says, or is damaged"),
    "left out": (leave_out, "labeled.* has other records than info.json says"),
}


@pytest.mark.parametrize("case", LIES)
def test_an_info_file_that_lies_is_refused(folder, case):
    change, message = LIES[case]
    replace(folder, change)
    with pytest.raises(ConfigError, match=message):
        tfrecord.open_pattern(str(folder))


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_an_info_file_that_is_none_is_refused(folder, content):
    (folder / tfrecord_info.INFO).write_bytes(content)
    with pytest.raises(ConfigError, match=r"info\.json is damaged, or not this program's"):
        tfrecord.open_pattern(str(folder))


def test_an_info_file_for_other_files_of_the_same_size_does_not_give_the_labels(folder):
    write(folder, with_labels(1, 0, 0, 1), [serialize(PNG + bytes(n)) for n in range(7)])
    assert list(tfrecord.open_pattern(str(folder)).labeled.labels) == [1, 0, 0, 1]


def change_byte(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


FILES = {
    "no labeled part": (
        lambda folder: os.remove(folder / LABELED),
        r"no labeled images: of the 1 files.*\.tfrecord\*",
    ),
    "no unlabeled part": (
        lambda folder: os.remove(folder / UNLABELED),
        "no unlabeled images: of the 1 files",
    ),
    "unknown part": (
        lambda folder: tfrecord_format.write(str(folder / "train-0.tfrecord"), []),
        "must begin with one of labeled-, unlabeled-",
    ),
    "lacking files": (
        lambda folder: os.rename(
            folder / LABELED, folder / "labeled-00001-of-99999999999.tfrecord"
        ),
        "lacks 99999999998 of the 99999999999 files of labeled, first number 0",
    ),
    "no record": (
        lambda folder: tfrecord_format.write(str(folder / "test-0.tfrecord"), []),
        "test-0.tfrecord: no record",
    ),
    "no example": (
        lambda folder: tfrecord_format.write(str(folder / "test-0.tfrecord"), [b"?"]),
        r"feature image or image/encoded; its first record is no tf\.train\.Example",
    ),
    "no image": (
        lambda folder: tfrecord_format.write(str(folder / "test-0.tfrecord"), [made(photo=PNG)]),
        r"its first record has the features photo \(1 of bytes\)",
    ),
    "no image in the second file": (
        lambda folder: tfrecord_format.write(str(folder / "unlabeled-1.tfrecord"), [made(a=1)]),
        r"unlabeled-1.tfrecord must hold .* has the features a \(1 of int64\)",
    ),
    "pixels for an image": (
        lambda folder: tfrecord_format.write(str(folder / "test-0.tfrecord"), [made(image=[1, 2])]),
        r"has the features image \(2 of int64\)",
    ),
    "damaged data": (
        lambda folder: change_byte(folder / LABELED, 200),
        f"{LABELED} is damaged: corrupted record at ",
    ),
    "damaged first record": (
        lambda folder: change_byte(folder / UNLABELED, 20),
        f"{UNLABELED} is damaged: corrupted record at 12",
    ),
    "a pipe": (
        lambda folder: os.mkfifo(folder / "test-0.tfrecord"),
        "test-0.tfrecord cannot be read: it is a pipe, no regular file",
    ),
    "a folder": (
        lambda folder: os.mkdir(folder / "test-0.tfrecord"),
        "test-0.tfrecord cannot be read: it is a folder, no regular file",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_used_are_refused(folder, case):
    change, message = FILES[case]
    (folder / tfrecord_info.INFO).unlink()
    change(folder)
    with pytest.raises(ConfigError, match=message):
        tfrecord.open_pattern(str(folder))


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"of the 0 files that match .*nowhere/\*\.tfrecord none"):
        tfrecord.open_pattern(str(tmp_path / "nowhere" / "*.tfrecord"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PNG[:30], "labeled images: record 1 is a truncated or damaged PNG"),
        (b"no image", "labeled images: record 1 is no JPEG"),
    ],
)
def test_an_image_that_cannot_be_decoded_is_refused(tmp_path, content, message):
    write(tmp_path, [*with_labels(0), made(image=content, label=1)])
    parts = tfrecord.open_pattern(str(tmp_path))
    with pytest.raises(ConfigError, match=message):
        tfrecord.load(parts, DataConfig())


def test_grey_images_are_colour_if_one_is(tmp_path):
    grey = tf.io.encode_png(np.zeros([4, 4, 1], np.uint8)).numpy()
    images = [grey, grey, PNG]
    for count, channels in ((2, 1), (3, 3)):
        write(tmp_path, [made(image=image, label=k) for k, image in enumerate(images[:count])])
        source = tfrecord.load(tfrecord.open_pattern(str(tmp_path)), DataConfig())
        assert source.train.shape == (32, 32, channels)


def unreadable(folder):
    """What is said of the pool of a folder when it is read."""
    source = tfrecord.load(tfrecord.open_pattern(str(folder)), DataConfig(image_size=4))
    with pytest.raises(tf.errors.OpError) as refusal:
        list(source.unlabeled.batches(5, seed=0, stream=1).take(2))
    return stores.fault(refusal.value)


def test_what_is_found_while_the_pool_is_read_is_said(folder):
    def write_pool(*contents):
        write(folder, with_labels(0, 1), [serialize(content) for content in contents])

    (folder / tfrecord_info.INFO).unlink()
    write_pool(PNG, PNG, b"", PNG, PNG)
    assert re.fullmatch(r".*\[unlabeled record\] \[2\] \[is empty\]", unreadable(folder))
    write_pool(PNG, PNG, PNG[:60], PNG, PNG)
    assert unreadable(folder).startswith("Invalid PNG data")
    write_pool(*[PNG] * 5)
    change_byte(folder / UNLABELED, -30)
    assert re.fullmatch(r"corrupted record at \d+", unreadable(folder))


def test_files_that_are_gone_while_they_are_read_are_named(folder):
    source = tfrecord.load(tfrecord.open_pattern(str(folder)), DataConfig(image_size=4))
    batches = source.unlabeled.batches(5, seed=0, stream=1)
    (folder / UNLABELED).unlink()
    with pytest.raises(tf.errors.NotFoundError) as refusal:
        list(batches.take(2))
    assert stores.fault(refusal.value) == f"{folder / UNLABELED}; No such file or directory"


def test_an_info_file_that_leaves_records_out_is_found_while_the_pool_is_read(folder):
    def skip(info):
        entry = info["shards"][UNLABELED]
        entry.update(records=5, offsets=[entry["offsets"][i] for i in (0, 1, 3)])

    replace(folder, skip)
    assert "info.json does not describe the records at byte" in unreadable(folder)


def test_an_error_of_another_sort_is_no_fault_of_images():
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    assert stores.fault(error) == ""
