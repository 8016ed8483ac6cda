"""TFRecord pools: where records lie, batches as a function of (seed, step), records by number."""

import dataclasses
import itertools
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data.sources import (
    tfrecord,
    tfrecord_format,
    tfrecord_info,
    tfrecord_store,
    tfrecord_stream,
)
from mpl_tf.images import example
from mpl_tf.images.example import serialize
from mpl_tf.options import ConfigError

# Unequal files, and records whose content and length tell their number.
FILES = (17, 30, 1, 25)
TOTAL = sum(FILES)


def content(number):
    return b"image %d" % number + bytes(number)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Four files with chunks of four records."""
    folder, described, first = tmp_path_factory.mktemp("pool"), [], 0
    for i, count in enumerate(FILES):
        path = str(folder / f"unlabeled-{i:05}-of-00004.tfrecord")
        examples = [serialize(content(n), n) for n in range(first, first + count)]
        described.append(
            tfrecord_format.Shard.of(path, tfrecord_format.write(path, examples), chunk_records=4)
        )
        first += count
    return described


def pool(shards, window_records=16, **limits):
    return tfrecord_stream.Stream(shards, window_records, **limits)


def batches(stream, batch=10, seed=1, start=0, rows=(0, None), count=1):
    data = stream.batches(batch, seed, 2, start, rows)
    return list(itertools.islice(data.as_numpy_iterator(), count))


def drawn(stream, count, **options):
    return np.concatenate([numbers for _, numbers in batches(stream, count=count, **options)])


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def set_up(folder, labels, unlabeled=3, info=None, **parts):
    """Files of labeled, unlabeled and perhaps more images in `folder`."""
    for part, part_labels in {"labeled": labels, "unlabeled": [-1] * unlabeled, **parts}.items():
        path = str(folder / f"{part}-00000-of-00001.tfrecord")
        tfrecord_format.write(path, [serialize(content(i), k) for i, k in enumerate(part_labels)])
    if info is not None:
        (folder / tfrecord_info.INFO).write_text(json.dumps(info))
    return str(folder)


def test_a_scan_finds_what_was_written(shards):
    offsets, lengths = tfrecord_format.scan(shards[1].path)
    examples = list(tf.data.TFRecordDataset(shards[1].path).as_numpy_iterator())
    np.testing.assert_array_equal(lengths, [len(example) for example in examples])
    np.testing.assert_array_equal(offsets[::4], shards[1].offsets)
    whole = pathlib.Path(shards[1].path).read_bytes()
    for offset, length, record in zip(offsets, lengths, examples, strict=True):
        assert whole[offset + 12 : offset + 12 + length] == record


def test_an_empty_file_has_no_record(tmp_path):
    path = str(tmp_path / "empty.tfrecord")
    assert len(tfrecord_format.write(path, [])) == 0
    assert [len(array) for array in tfrecord_format.scan(path)] == [0, 0]


@pytest.mark.parametrize("kept", [1, 11, 12, 30])
def test_a_truncated_file_is_named_with_the_byte(shards, tmp_path, kept):
    offsets, _ = tfrecord_format.scan(shards[0].path)
    path = tmp_path / "short.tfrecord"
    path.write_bytes(pathlib.Path(shards[0].path).read_bytes()[: offsets[5] + kept])
    with pytest.raises(ConfigError, match=rf"short\.tfrecord is truncated.* byte {offsets[5]}\."):
        tfrecord_format.scan(str(path))


@pytest.mark.parametrize("byte", [0, 7, 8, 11])  # of the length, and of its checksum
def test_a_damaged_length_is_named_with_the_byte(shards, tmp_path, byte):
    offsets, _ = tfrecord_format.scan(shards[0].path)
    whole = bytearray(pathlib.Path(shards[0].path).read_bytes())
    whole[offsets[3] + byte] ^= 1
    path = tmp_path / "bad.tfrecord"
    path.write_bytes(whole)
    with pytest.raises(ConfigError, match=rf"bad\.tfrecord is damaged.* byte {offsets[3]} "):
        tfrecord_format.scan(str(path))


def test_damaged_data_is_found_when_it_is_read(shards, tmp_path):
    whole = bytearray(pathlib.Path(shards[0].path).read_bytes())
    whole[shards[0].offsets[2] + 14] ^= 1
    path = tmp_path / "bad.tfrecord"
    path.write_bytes(whole)
    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        batches(tfrecord_stream.Stream([str(path)]))
    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        tfrecord_store.RecordStore([str(path)]).read([8])


def test_every_epoch_shows_every_record_once_in_a_new_order(shards):
    epochs = drawn(pool(shards), 3 * TOTAL, batch=1).reshape(3, TOTAL)
    assert all(sorted(epoch) == list(range(TOTAL)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_images_belong_to_their_numbers(shards):
    for image, number in batches(pool(shards), count=8):
        assert list(image) == [content(n) for n in number]


@pytest.mark.parametrize("window_records", [16, 10**6])
def test_a_late_start_gives_the_same_batches(shards, window_records):
    stream = pool(shards, window_records)
    straight = batches(stream, count=40)  # five epochs and a half
    for start in (1, 6, 7, 30):  # in first and later windows, across an epoch's end, later
        for late, early in zip(
            batches(stream, start=start, count=2), straight[start:], strict=False
        ):
            assert_same(late, early)


def test_a_batch_may_be_larger_than_the_pool(shards):
    stream = pool(shards)
    assert_same(batches(stream, batch=200, start=1)[0], batches(stream, batch=200, count=2)[1])


def test_a_very_late_start_reads_one_window(shards, tmp_path):
    files = [shard.path for shard in shards]
    (_, numbers), *_ = batches(pool(files, window_records=1), batch=1, start=10**9)
    owner = np.searchsorted(np.cumsum(FILES), numbers[0], side="right")
    gone = [path for i, path in enumerate(files) if i != owner]
    stream = pool(files, window_records=1)
    try:
        for path in gone:
            os.rename(path, path + ".away")
        np.testing.assert_array_equal(batches(stream, batch=1, start=10**9)[0][1], numbers)
    finally:
        for path in gone:
            os.rename(path + ".away", path)


def test_row_shards_together_are_the_whole(shards):
    stream, start = pool(shards), 5
    whole = batches(stream, start=start, count=9)
    parts = [
        batches(stream, start=start, rows=rows, count=9) for rows in ((0, 4), (4, 3), (7, None))
    ]
    for t, batch in enumerate(whole):
        joined = [np.concatenate(column) for column in zip(*(p[t] for p in parts), strict=True)]
        assert_same(joined, batch)


@pytest.mark.parametrize("batch", [6, 60, 600])  # less than a window, half of one, several
def test_every_division_into_rows_gives_the_same(shards, batch):
    stream = pool(shards, window_records=40)
    whole = batches(stream, batch, start=2, count=5)
    for workers in (2, 3, 6):
        rows = [(w * batch // workers, batch // workers) for w in range(workers)]
        parts = [batches(stream, batch, start=2, rows=part, count=5) for part in rows]
        for t, expected in enumerate(whole):
            joined = [np.concatenate(column) for column in zip(*(p[t] for p in parts), strict=True)]
            assert_same(joined, expected)


def test_a_worker_reads_the_chunks_of_its_rows_alone(tmp_path, monkeypatch):
    path = str(tmp_path / "pool.tfrecord")
    lengths = tfrecord_format.write(path, [serialize(b"x", n) for n in range(1600)])
    shard = tfrecord_format.Shard.of(path, lengths, chunk_records=10)
    stream, read_chunk = pool([shard], window_records=400), tfrecord_format.read_chunk

    def noted(path, offset, *rest):
        seen = chunks[-1]  # of this worker: an earlier one may still be reading ahead

        def note(at):
            seen.append(int(at))
            return at

        return read_chunk(
            path, tf.ensure_shape(tf.numpy_function(note, [offset], tf.int64), []), *rest
        )

    monkeypatch.setattr(tfrecord_format, "read_chunk", noted)
    chunks = []
    for worker in range(4):
        chunks.append([])
        batches(stream, 16, rows=(worker * 4, 4), count=25)  # the first window of four
        seen = chunks[-1].copy()
        # Windows are read before they are needed: at most three, a quarter of 40 chunks of each.
        assert 10 <= len(seen) <= 3 * (10 + 2)
        assert len(seen) == len(set(seen))
    read_by_any = set(itertools.chain(*chunks))
    assert len(read_by_any) > 0.9 * sum(map(len, chunks))  # few are read by two


def test_a_batch_has_records_of_many_chunks(tmp_path):
    path = str(tmp_path / "pool.tfrecord")
    lengths = tfrecord_format.write(path, [serialize(b"x", n) for n in range(640)])
    shard = tfrecord_format.Shard.of(path, lengths, chunk_records=64)  # such as one class each
    for _, numbers in batches(pool([shard], window_records=640), 20, count=32):
        np.testing.assert_array_equal(np.bincount(numbers // 64), [2] * 10)


def test_seeds_and_streams_differ_and_repeat(shards):
    stream = pool(shards)
    assert_same(batches(stream)[0], batches(stream)[0])
    assert not np.array_equal(drawn(stream, 1), drawn(stream, 1, seed=5))
    other = next(stream.batches(10, 1, 3).as_numpy_iterator())[1]
    assert not np.array_equal(drawn(stream, 1), other)


def test_a_window_mixes_distant_chunks_and_the_records_within(tmp_path):
    path = str(tmp_path / "pool.tfrecord")
    lengths = tfrecord_format.write(path, [serialize(b"x", n) for n in range(1000)])
    shard = tfrecord_format.Shard.of(path, lengths, chunk_records=10)
    order = drawn(pool([shard], window_records=200), 100)
    for window in order.reshape(5, 200):
        chunks = {n // 10 for n in window}
        assert len(chunks) == 20  # whole ones
        assert max(chunks) - min(chunks) > 50
        assert np.mean(window[1:] // 10 == window[:-1] // 10) < 0.15  # 0.045 on average
    # Each window has a permutation of its own: places within chunks show it.
    assert len({tuple(window % 10) for window in order.reshape(5, 200)}) == 5
    # Far apart in the file and far apart in the epoch have little to do with each other.
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.3


def test_windows_keep_to_records_and_bytes(tmp_path):
    path = str(tmp_path / "pool.tfrecord")
    lengths = tfrecord_format.write(path, [bytes(984)] * 128)  # 1,000 bytes each, with the frame
    shard = tfrecord_format.Shard.of(path, lengths, chunk_records=4, chunk_bytes=3999)
    assert shard.records_per_chunk == 3
    shard = tfrecord_format.Shard.of(path, lengths, chunk_records=4)
    assert shard.records_per_chunk == 4
    for limits, windows in (
        ({"window_records": 16}, 8),
        ({"window_records": 15}, 11),  # of 2 or 3 chunks
        ({"window_bytes": 64_000}, 2),
        ({"window_records": 1, "window_bytes": 1}, 32),
        ({}, 1),
    ):
        stream = tfrecord_stream.Stream([shard], **limits)
        assert len(stream._edges) - 1 == windows
        sizes = np.diff(stream._edges)
        assert sizes.sum() == 32
        assert sizes.max() - sizes.min() <= 1


def test_records_are_read_by_number_across_files(shards):
    store = tfrecord_store.RecordStore([shard.path for shard in shards])
    assert len(store) == TOTAL
    numbers = [TOTAL - 1, 0, 17, 16, 46, 47, 48, 17]
    examples = [serialize(content(n), n) for n in numbers]
    assert store.read(numbers) == examples
    np.testing.assert_array_equal(store.labels, np.arange(TOTAL))
    data = tf.data.Dataset.from_tensor_slices(np.array(numbers, np.int64))
    assert list(data.map(store.image).as_numpy_iterator()) == [content(n) for n in numbers]


def test_another_feature_can_hold_the_image(tmp_path):
    features = {"photo": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"abc"]))}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    path = str(tmp_path / "x.tfrecord")
    tfrecord_format.write(path, [example.SerializeToString()])
    store = tfrecord_store.RecordStore([path])
    data = tf.data.Dataset.range(1).map(lambda i: store.image(i, "photo"))
    assert list(data.as_numpy_iterator()) == [b"abc"]


def test_both_spellings_of_images_are_read():
    def made(name):
        features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"pixels"]))}
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    examples = [made("image"), made("image/encoded"), serialize(b"pixels"), made("photo")]
    images = example.image(tf.constant(examples)).numpy()
    assert list(images) == [b"pixels", b"pixels", b"pixels", b""]
    assert example.image(examples[1]).numpy() == b"pixels"


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = str(tmp_path / "unlabeled-00000-of-00001.tfrecord")

    def examples():
        yield b"one"
        assert not os.path.exists(path)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        tfrecord_format.write(path, examples())
    assert not os.path.exists(path)


def test_info_is_read_as_it_was_written(shards, tmp_path):
    kept = [dataclasses.replace(s, path=str(tmp_path / os.path.basename(s.path))) for s in shards]
    labeled = tfrecord_format.Shard.of(str(tmp_path / "l"), np.array([5, 6]))
    tfrecord_info.write(str(tmp_path), [*kept, labeled], ("cat", "dog"))
    names, by_path = tfrecord_info.read(str(tmp_path))
    assert names == ("cat", "dog")
    for shard in [*kept, labeled]:
        for name, value in vars(shard).items():
            np.testing.assert_array_equal(getattr(by_path[shard.path], name), value)


def test_info_spares_the_scan_and_gives_the_same_batches(tmp_path, monkeypatch):
    folder = set_up(tmp_path, [1, 0], 30)
    scanned = tfrecord.open_pattern(folder)
    paths = sorted(map(str, tmp_path.glob("*.tfrecord")))
    single = [path for path in paths if "unlabeled" not in path]
    shards = tfrecord_format.describe(paths, single=single)
    tfrecord_info.write(folder, shards, ("a", "b"))
    scan = tfrecord_format.scan

    def scan_chunk(path, first=0, last=None):
        return scan(path, first, last) if last else pytest.fail(f"scanned all of {path}")

    monkeypatch.setattr(tfrecord_format, "scan", scan_chunk)
    from_info = tfrecord.open_pattern(folder)
    np.testing.assert_array_equal(drawn(from_info.unlabeled, 5), drawn(scanned.unlabeled, 5))
    assert from_info.labeled.read([1, 0]) == scanned.labeled.read([1, 0])


def test_a_folder_is_opened_by_its_parts(tmp_path):
    folder = set_up(tmp_path, [2, 0, 1, 1], 5, validation=[1, 2], test=[0])
    (tmp_path / ".unlabeled-00001-of-00002.tfrecord.partial").write_bytes(b"left over")
    told = []
    parts = tfrecord.open_pattern(folder, lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert parts.class_names == ("0", "1", "2")
    assert list(parts.labeled.labels) == [2, 0, 1, 1]
    assert list(parts.validation.labels) == [1, 2]
    assert list(parts.test.labels) == [0]
    assert sorted(drawn(parts.unlabeled, 5, batch=1)) == list(range(5))
    by_pattern = tfrecord.open_pattern(os.path.join(folder, "*labeled-*.tfrecord"))
    assert by_pattern.test is None
    assert by_pattern.validation is None
    assert len(by_pattern.labeled) == 4


def test_info_names_the_classes(tmp_path):
    folder = set_up(tmp_path, [1, 0], info={"class_names": ["ant", "bee", "cat"]})
    assert tfrecord.open_pattern(folder).class_names == ("ant", "bee", "cat")


@pytest.mark.parametrize("first", [0, 1, 4, 16, 17, 46, 48, TOTAL - 1])
def test_records_come_in_order_from_any_on(shards, first):
    found = list(pool(shards).in_order(first).as_numpy_iterator())
    assert [number for _, number in found] == list(range(first, TOTAL))
    assert [image for image, _ in found] == [content(n) for n in range(first, TOTAL)]


def test_records_are_found_by_number(shards):
    numbers = np.array([47, 3, TOTAL - 1, 0, 16, 17, 3])
    files, offsets = pool(shards).places(numbers)
    for number, file, offset in zip(numbers, files, offsets, strict=True):
        (record,) = tfrecord_format.read_chunk(shards[file].path, offset, 1, 1 << 16).numpy()
        assert example.image(record).numpy() == content(number)
    names = pool(shards).names(np.array([0, 16, 17, 47, 48]))
    assert [name[: len("unlabeled-00000")] for name in names] == [
        f"unlabeled-{file:05}" for file in (0, 0, 1, 2, 3)
    ]
    assert [name.rpartition(":")[2] for name in names] == ["0", "16", "0", "0", "0"]
