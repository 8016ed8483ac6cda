"""tools/preparing: raw files that are found, read, and refused."""

import gzip
import hashlib
import re
import struct

import pytest
from made_up import COUNTS, write_raw

from mpl_tf.data.sources import tfds_folder
from mpl_tf.options import ConfigError


def test_published_checksums_are_known_for_every_group_of_files(readers):
    hexadecimal = {"md5": 32, "sha256": 64}
    for name, groups in tfds_folder.RAW_FILES.items():
        checksums = readers.published(name)
        for file in {file for group in groups for file in group}:
            algorithm, digest = checksums.get(file) or checksums[f"{file}.gz"]
            assert re.fullmatch(rf"[0-9a-f]{{{hexadecimal[algorithm]}}}", digest)
    assert readers.published("svhn_cropped")["extra_32x32.mat"][1].startswith("a133a4be")


def test_the_right_checksums_are_accepted_and_members_are_compared_too(readers, tmp_path):
    write_raw(tmp_path, "cifar10", "python")
    archive = tmp_path / "cifar-10-python.tar.gz"
    right = {archive.name: ("md5", hashlib.md5(archive.read_bytes()).hexdigest())}
    raw = readers.read("cifar10", tmp_path, right, COUNTS)
    assert {split: len(load()[0]) for split, load in raw.splits.items()} == {"train": 15, "test": 3}
    with pytest.raises(ConfigError, match=r"test_batch in .*python.tar.gz is not the published"):
        readers.read("cifar10", tmp_path, right | {"test_batch": ("md5", "0" * 32)}, COUNTS)


def test_images_compressed_again_are_known_by_their_content(readers, tmp_path):
    write_raw(tmp_path, "mnist", "gz")
    right = {
        path.stem: ("md5", hashlib.md5(gzip.decompress(path.read_bytes())).hexdigest())
        for path in tmp_path.iterdir()
    }
    other = {f"{name}.gz": ("sha256", "0" * 64) for name in right}
    readers.read("mnist", tmp_path, right | other, COUNTS)
    with pytest.raises(ConfigError, match="sha256"):
        readers.read("mnist", tmp_path, other, COUNTS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-5], "must have 11,776 bytes; it has 11,771"),
        (lambda raw: raw[:7], "idx header of .* received too short"),
        (lambda raw: struct.pack(">I", 2049) + raw[4:], r"received \(2049, 15, 28, 28\)"),
        (lambda raw: raw[:4] + struct.pack(">I", 16) + raw[8:], r"\(2051, 15, .*\(2051, 16, "),
        (lambda raw: gzip.compress(raw)[:-20], "cannot be decompressed"),
    ],
)
def test_idx_files_are_checked_by_their_form(readers, tmp_path, damage, message):
    write_raw(tmp_path, "kmnist", "plain")
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigError, match=message) as error:
        readers.read("kmnist", tmp_path, {}, COUNTS)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "kind", "counts", "message"),
    [
        ("cifar10", "folder", {"train": 16}, "train part must hold 16 images; it holds 15"),
        ("cifar100", "binary", {"test": 2}, "test part must hold 2 images; it holds 3"),
        ("svhn_cropped", "extra", {"extra": 5}, r"extra_32x32.mat must hold arrays .*5\)"),
    ],
)
def test_counts_are_checked(readers, tmp_path, name, kind, counts, message):
    write_raw(tmp_path, name, kind)
    with pytest.raises(ConfigError, match=message):
        readers.read(name, tmp_path, {}, COUNTS | counts)


def test_labels_are_checked(readers, tmp_path):
    write_raw(tmp_path, "mnist", "plain")
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(ConfigError, match="t10k-labels-idx1-ubyte must be from 0 to 9"):
        readers.read("mnist", tmp_path, {}, COUNTS)


def test_what_is_no_archive_and_no_matlab_file_is_refused(readers, tmp_path):
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=r"cifar-100-python.tar.gz cannot be unpacked"):
        readers.read("cifar100", tmp_path, {}, COUNTS)
    for split in ("train", "test"):
        (tmp_path / f"{split}_32x32.mat").write_bytes(b"no matrix" * 99)
    with pytest.raises(ConfigError, match=r"train_32x32.mat cannot be read as a MATLAB file"):
        readers.read("svhn_cropped", tmp_path, {}, COUNTS)


def test_missing_files_are_named_with_the_folder(readers, tmp_path):
    with pytest.raises(ConfigError, match=r"--from must be a folder; received .*nowhere"):
        readers.read("cifar10", tmp_path / "nowhere")
    (tmp_path / "some").mkdir()
    for i in (1, 2, 3, 5):
        (tmp_path / "some" / f"data_batch_{i}").touch()
    with pytest.raises(ConfigError) as error:
        readers.read("cifar10", tmp_path)
    message = str(error.value)
    assert f"no raw files of cifar10 in {tmp_path} or a folder in it" in message
    assert all(f in message for group in tfds_folder.RAW_FILES["cifar10"] for f in group)
    assert message.endswith(f" {tmp_path / 'some'} lacks data_batch_4, test_batch.")


def test_files_are_found_one_level_down_under_the_sets_name_first(readers, tmp_path):
    from preparing import raw_files

    write_raw(tmp_path / "b", "mnist", "gz")
    assert raw_files.locate("kmnist", tmp_path)["train-labels-idx1-ubyte"].parent == tmp_path / "b"
    write_raw(tmp_path / "a", "mnist", "gz")
    with pytest.raises(ConfigError, match=r"several folders hold .*/a, .*/b"):
        raw_files.locate("kmnist", tmp_path)
    write_raw(tmp_path / "KMNIST", "mnist", "plain")
    paths = raw_files.locate("kmnist", tmp_path)
    assert set(paths.values()) == {tmp_path / "KMNIST" / name for name in paths}
