"""tools/prepare_data.py tfds: sets built from raw files, whole or not at all."""

import gzip
import hashlib
import os
import re
import signal

import numpy as np
import pytest
from made_up import COARSE, COUNTS, FINE, write_raw

from mpl_tf.options import ConfigError


@pytest.fixture
def folder_tool():
    from preparing import tfds_folder

    return tfds_folder


def content(images, labels):
    return sorted(
        (image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(
            (name, kind)
            for name in ("cifar10", "cifar100")
            for kind in ("folder", "python", "binary")
        ),
        ("svhn_cropped", "extra"),
        ("svhn_cropped", "no extra"),
        ("mnist", "gz"),
        ("fashion_mnist", "plain"),
        ("kmnist", "gz"),
    ],
)
def test_a_set_is_what_its_raw_files_hold(folder_tool, tmp_path, capsys, name, kind):
    import tensorflow_datasets as tfds

    data = write_raw(tmp_path / "raw", name, kind)
    root = tmp_path / "sets"
    folder, written = folder_tool.build(name, tmp_path / "raw", root, checksums={}, counts=COUNTS)
    stock = tfds.builder_cls(name)
    assert written and folder == root / name / str(stock.VERSION)
    assert sorted(p.name for p in root.iterdir()) == [name]

    sets, info = tfds.load(name, data_dir=root, download=False, with_info=True)
    assert set(sets) == ({"train", "test", "extra"} if kind == "extra" else {"train", "test"})
    assert ("There is no extra_32x32.mat" in capsys.readouterr().out) == (kind == "no extra")
    assert repr(info.features) == repr(stock(data_dir=tmp_path).info.features)
    assert info.supervised_keys == ("image", "label")
    for split, examples in sets.items():
        examples = list(examples.as_numpy_iterator())
        images, labels = data[split]
        got = [e["image"] for e in examples], [e["label"] for e in examples]
        assert content(*got) == content(images, labels)
        if "id" in info.features:
            width = 6 if name == "svhn_cropped" else 5
            place = {f"{split}_{i:0{width}d}".encode(): i for i in range(len(images))}
            for e in examples:
                np.testing.assert_array_equal(e["image"], images[place[e["id"]]])
        if name == "cifar100":
            assert all(e["coarse_label"] == e["label"] // 5 for e in examples)
    names = {"cifar100": FINE, "cifar10": ["airplane", "automobile", "bird"]}
    assert info.features["label"].names[:3] == names.get(name, info.features["label"].names)[:3]
    if name == "cifar100":
        assert info.features["coarse_label"].names == COARSE


@pytest.mark.parametrize(
    ("name", "kind", "file"),
    [
        ("cifar10", "folder", "data_batch_1"),
        ("cifar10", "python", "cifar-10-python.tar.gz"),
        ("cifar10", "binary", "cifar-10-binary.tar.gz"),
        ("cifar100", "folder", "train"),
        ("svhn_cropped", "extra", "train_32x32.mat"),
        ("mnist", "plain", "train-images-idx3-ubyte"),
        ("mnist", "gz", "train-images-idx3-ubyte"),
        ("kmnist", "gz", "train-images-idx3-ubyte.gz"),
    ],
)
def test_files_that_are_not_the_published_ones_are_refused(
    folder_tool, readers, tmp_path, name, kind, file
):
    write_raw(tmp_path / "raw", name, kind)
    path = tmp_path / "raw" / (file if kind != "gz" else f"{file.removesuffix('.gz')}.gz")
    algorithm, expected = readers.published(name)[file]
    content = path.read_bytes()
    content = gzip.decompress(content) if (name, kind) == ("mnist", "gz") else content
    digest = hashlib.new(algorithm, content).hexdigest()
    root = tmp_path / "sets"
    with pytest.raises(ConfigError) as error:
        folder_tool.build(name, tmp_path / "raw", root)
    assert f"{path} is not the published file: {algorithm} {digest}; wanted {expected}." in str(
        error.value
    )
    assert not root.exists()


@pytest.fixture
def build_mnist(folder_tool, tmp_path):
    """build_mnist(**options): builds mnist from made-up files."""
    write_raw(tmp_path / "raw", "mnist", "plain")

    def build(**options):
        options = {"checksums": {}, "counts": COUNTS} | options
        return folder_tool.build("mnist", tmp_path / "raw", tmp_path / "sets", **options)

    return build


def snapshot(folder):
    return {str(p.relative_to(folder)): p.stat().st_ino for p in folder.rglob("*")}


def test_a_set_that_is_there_is_replaced_only_on_demand(build_mnist, tmp_path):
    folder, _ = build_mnist()
    (folder / "mark").touch()
    before = snapshot(folder)
    # Left alone without a look at the raw files.
    assert build_mnist(counts={}) == (folder, False)
    assert snapshot(folder) == before
    assert build_mnist(overwrite=True) == (folder, True)
    assert not (folder / "mark").exists() and len(snapshot(folder)) == len(before) - 1
    (folder / "features.json").unlink()
    with pytest.raises(ConfigError, match="is no prepared set; --overwrite replaces it"):
        build_mnist()
    assert build_mnist(overwrite=True) == (folder, True)


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_end_in_the_middle_leaves_everything_as_it_was(
    build_mnist, readers, tmp_path, monkeypatch, kind
):
    build_mnist()
    before = snapshot(tmp_path / "sets")
    examples = readers.Raw._examples

    def broken(self, split):
        for index, pair in enumerate(examples(self, split)):
            if split == "test" and index == 1:
                assert len(list((tmp_path / "sets").glob("incomplete.mnist.*"))) == 1
                raise kind("in the middle")
            yield pair

    monkeypatch.setattr(readers.Raw, "_examples", broken)
    expected = ConfigError if kind is RuntimeError else kind
    with pytest.raises(expected, match="in the middle"):
        build_mnist(overwrite=True)
    assert snapshot(tmp_path / "sets") == before


def test_sigterm_removes_what_was_begun(tool, folder_tool, tmp_path, monkeypatch, capsys):
    def terminated(arguments):
        with folder_tool.workspace(tmp_path, "mnist") as folder:
            (folder / "file").touch()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(folder_tool, "run", terminated)
    before = signal.getsignal(signal.SIGTERM)
    assert tool.main(["tfds", "mnist", "--from=."]) == 143
    assert "Terminated" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_killed_run_left_is_removed_and_what_others_work_in_is_not(folder_tool, tmp_path):
    left, other = tmp_path / "incomplete.mnist.killed", tmp_path / "incomplete.kmnist.killed"
    left.mkdir()
    other.mkdir()
    with folder_tool.workspace(tmp_path, "mnist") as first:
        assert not left.exists() and other.exists()
        with folder_tool.workspace(tmp_path, "mnist") as second:
            assert first != second and first.is_dir()
    assert list(tmp_path.iterdir()) == [other]


@pytest.fixture
def tool(load_tool):
    return load_tool("prepare_data")


def test_the_command_says_what_it_wrote(tool, readers, tmp_path, monkeypatch, capsys):
    write_raw(tmp_path / "raw", "fashion_mnist", "gz")
    monkeypatch.setattr(readers, "published", lambda name: {})
    monkeypatch.setitem(readers._COUNTS, "fashion_mnist", COUNTS)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
    arguments = ["tfds", "fashion_mnist", f"--from={tmp_path / 'raw'}"]
    for extra, folder, flag in (
        ([], "default", ""),
        ([f"--data_dir={tmp_path / 'own'}"], "own", f" --data_dir={tmp_path / 'own'}"),
    ):
        assert tool.main([*arguments, *extra]) == 0
        out = capsys.readouterr().out
        assert f"Wrote {tmp_path / folder / 'fashion_mnist' / '3.0.1'}\n" in out
        assert re.search(r"train: 15 images, test: 3 images; \d\.\d MiB\.", out)
        assert f"python -m mpl_tf.train --dataset=fashion_mnist{flag}\n" in out
    assert tool.main(arguments) == 0
    out = capsys.readouterr().out
    assert "Left alone" in out and "--overwrite replaces it" in out and "Wrote" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["tfds", "imagenet", "--from=."],
            "Error: NAME must be one of .*received imagenet",
        ),
        (["tfds", "mnist", "--from=nowhere"], "Error: --from must be a folder; received nowhere"),
    ],
)
def test_users_errors_are_one_line_beside_the_help_and_status_2(
    tool, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert tool.main([*arguments, f"--data_dir={tmp_path / 'sets'}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert re.match(message, lines[0])
    assert lines[1:] == ["See python tools/prepare_data.py --help."]
    assert not (tmp_path / "sets").exists()


def test_a_folder_that_cannot_be_made_is_refused(tool, readers, tmp_path, monkeypatch, capsys):
    write_raw(tmp_path, "mnist", "plain")
    monkeypatch.setattr(readers, "published", lambda name: {})
    monkeypatch.setitem(readers._COUNTS, "mnist", COUNTS)
    assert tool.main(["tfds", "mnist", f"--from={tmp_path}", f"--data_dir={__file__}"]) == 2
    assert f"Error: {__file__} cannot be made a folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["tfds"], ["tfds", "mnist"], ["what"]])
def test_incomplete_command_lines_end_with_status_2(tool, capsys, arguments):
    with pytest.raises(SystemExit) as error:
        tool.main(arguments)
    assert error.value.code == 2 and "usage:" in capsys.readouterr().err


def test_the_keyboard_ends_with_status_130(tool, folder_tool, monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder_tool, "run", interrupted)
    assert tool.main(["tfds", "mnist", "--from=."]) == 130
    assert "Interrupted" in capsys.readouterr().err
